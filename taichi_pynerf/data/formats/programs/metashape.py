"""Agisoft Metashape's cameras as XML (File > Export > Export Cameras…) beside the photographs.

Format: the appendix on camera models of Metashape's manual. A camera's transform is
camera-to-chunk, for a camera that looks along +z with y down. The transform of the component, or of
the chunk, leads from there to the world. Metashape's p1 and p2 are OpenCV's p2 and p1.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens, panorama_lens
from taichi_pynerf.data.formats.poses import opengl_pose
from taichi_pynerf.data.formats.programs.views import (
    View,
    description_of,
    image_side,
    number,
    numbers,
)
from taichi_pynerf.data.scene_files import LoadOptions, read_bytes, shown, warn_once
from taichi_pynerf.errors import SceneError

KINDS = ("frame", "fisheye", "spherical")
MAX_SKEW = 1e-3  # skew that is ignored without a warning, as a share of the focal length


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    path, others = _file(data_dir)
    if path is None:
        if others:
            return Fit(False, others[0].name, f"{others[0].name} has no Metashape chunk")
        return Fit(False, "", "no Metashape XML")
    return Fit(True, f"{path.name}, Metashape's cameras")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the first chunk that has cameras.

    Raises:
        SceneError: the file or all of its images are missing, or a value in it is wrong.
    """
    path, _ = _file(data_dir)
    if path is None:
        path = next(iter(sorted(data_dir.glob("*.xml"))), None)
        if path is None:
            raise SceneError(f"{data_dir}: no XML file of Metashape's cameras here")
    chunk = _chunk(path)
    lenses = _lenses(path, chunk)
    worlds = {
        component.get("id"): _world(f"{path}: component", component)
        for component in chunk.iterfind("components/component")
    }
    own = _world(f"{path}: chunk", chunk)
    views, lonely, unknown = [], [], []
    for camera in chunk.iterfind("cameras//camera"):
        label = camera.get("label") or ""
        where = f"{path}: camera {shown(label)}"
        transform = camera.find("transform")
        if (camera.get("enabled") or "true").lower() in ("0", "false") or not label:
            continue
        if transform is None:
            lonely.append(label)
            continue
        if camera.get("sensor_id") not in lenses:
            unknown.append(label)
            continue
        matrix = numbers(where, "transform", transform.text or "", 16).reshape(4, 4)
        rotation, translation, scale = worlds.get(camera.get("component_id")) or own
        place = scale * rotation @ matrix[:3, 3] + translation
        pose = opengl_pose(rotation @ matrix[:3, :3], place)
        views.append(View(where, label, pose, lenses[camera.get("sensor_id")]))
    for names, what in (
        (lonely, "are not aligned"),
        (unknown, "have a sensor that is not calibrated"),
    ):
        if names:
            warn_once(
                f"{path}: {len(names)} cameras {what} and are left out: {shown(', '.join(names))}"
            )
    return description_of(data_dir, path, views, options)


def _file(data_dir: Path) -> tuple[Path | None, list[Path]]:
    """The first XML file of a folder that has a chunk with cameras, and others of Metashape's."""
    others: list[Path] = []
    for path in sorted(data_dir.glob("*.xml")):
        try:
            _chunk(path)
            return path, others
        except SceneError:
            if _is_claimed(path):
                others.append(path)
    return None, others


def _is_claimed(path: Path) -> bool:
    """Whether an XML file, perhaps broken, is one of Metashape's."""
    try:
        return any(tag in read_bytes(path) for tag in (b"<chunk", b"<document"))
    except SceneError:
        return False


def _chunk(path: Path) -> ElementTree.Element:
    data = read_bytes(path)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # entities could expand without end
        raise SceneError(f"{path}: XML with definitions of its own is not read")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise SceneError(f"{path}: broken XML ({error})") from None
    chunks = [root] if root.tag == "chunk" else list(root.iterfind("chunk"))
    chunks = [chunk for chunk in chunks if chunk.find("cameras//camera") is not None]
    if not chunks:
        raise SceneError(f"{path}: no chunk with cameras in this XML")
    if len(chunks) > 1:
        warn_once(f"{path}: {len(chunks)} chunks; the first is taken")
    return chunks[0]


def _lenses(path: Path, chunk: ElementTree.Element) -> dict[str | None, Lens]:
    """The lenses of the calibrated sensors, by number."""
    lenses = {}
    for sensor in chunk.iterfind("sensors/sensor"):
        where = f"{path}: sensor {shown(sensor.get('id'))}"
        size = sensor.find("resolution")
        if size is None:
            continue
        width, height = (image_side(where, name, size.get(name)) for name in ("width", "height"))
        kind = sensor.get("type", "frame")
        if kind not in KINDS:
            raise SceneError(
                f"{where}: type {shown(kind)} is not known (known: {', '.join(KINDS)})"
            )
        if kind == "spherical":
            lenses[sensor.get("id")] = panorama_lens(width, height)
            continue
        calibrations = sensor.findall("calibration")
        adjusted = [c for c in calibrations if c.get("class") == "adjusted"] or calibrations
        if adjusted:
            lenses[sensor.get("id")] = _lens(where, adjusted[-1], width, height, kind)
    return lenses


def _lens(where: str, calibration: ElementTree.Element, width: int, height: int, kind: str) -> Lens:
    def value(name: str) -> float:
        text = calibration.findtext(name)
        return 0.0 if text is None else number(where, name, text)

    focal = value("f")
    if abs(value("b2")) > MAX_SKEW * abs(focal):
        warn_once(f"{where}: its skew (b2) is left out")
    return Lens(
        width=width,
        height=height,
        fx=focal + value("b1"),
        fy=focal,
        cx=0.5 * width + value("cx"),
        cy=0.5 * height + value("cy"),
        distortion=tuple(value(name) for name in ("k1", "k2", "k3", "k4", "p2", "p1")),
        fisheye=kind == "fisheye",
    )


def _world(where: str, owner: ElementTree.Element) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation, translation and scale of a component or chunk; the identity if it has none."""
    transform = owner.find("transform")
    rotation, translation, scale = np.eye(3), np.zeros(3), 1.0
    if transform is None:
        return rotation, translation, scale
    if transform.find("rotation") is not None:
        rotation = numbers(where, "rotation", transform.findtext("rotation"), 9).reshape(3, 3)
    if transform.find("translation") is not None:
        translation = numbers(where, "translation", transform.findtext("translation"), 3)
    if transform.find("scale") is not None:
        scale = number(where, "scale", transform.findtext("scale"))
        if not 1e-9 < scale < 1e9:
            raise SceneError(f"{where}: scale is {scale:g}: it must be a positive number")
    return rotation, translation, scale
