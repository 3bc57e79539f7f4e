"""Inspection of a scene's cameras: figures and warnings from its description."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from taichi_pynerf.data.aim import looks_away
from taichi_pynerf.data.authoring.folder_report import ignored_lines, taken_lines
from taichi_pynerf.data.description import Description, files_of
from taichi_pynerf.data.formats.lenses import angle_of_view
from taichi_pynerf.data.images import read_header
from taichi_pynerf.data.locating import FORMATS, locate_scene, probe_formats
from taichi_pynerf.data.pixels import in_proportion
from taichi_pynerf.data.placement import focus_point
from taichi_pynerf.data.scene_files import LoadOptions, SceneFiles
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.distortion import COEFFICIENTS

FEW_VIEWS = 10
"""Number of views below which there is a warning."""
NARROW, WIDE = 5.0, 150.0
"""Horizontal angles of view, in degrees, outside of which a focal length is implausible."""

OFF_CENTRE = 0.15
"""Greatest plausible distance of a principal point from the centre, in widths or heights."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """A scene folder's description, all splits.

    Attributes:
        data_dir, dataset_type: the folder and its format.
        splits: the description of each split at full size, by name.
        scene: the description of all splits.
        exposure: exposure in stops, for images whose values are proportional to light.
    """

    data_dir: Path
    dataset_type: str
    splits: dict[str, SceneFiles]
    scene: Description
    exposure: float = 0.0

    def contents(self) -> list[str]:
        """Lines about the files that are read, and about those that are not and why."""
        fits = probe_formats(self.scene.data_dir)
        taken = taken_lines(self.scene, self.splits)
        return taken + ignored_lines(self.scene, self.splits, self.dataset_type, fits)

    @property
    def poses(self) -> np.ndarray:
        """float64 [V, 3, 4], the distinct camera-to-world poses of all splits together."""
        poses = np.concatenate([f.cameras.c2w.double().numpy() for f in self.splits.values()])
        return np.unique(poses, axis=0)

    @property
    def first(self) -> SceneFiles:
        """The split that stands for what all splits share."""
        return next(iter(self.splits.values()))

    def summary(self) -> str:
        """A summary in a few lines of text."""
        first, poses = self.first, self.poses
        distances = np.linalg.norm(poses[:, :, 3] - _middle(first.aabb), axis=1)
        pitch = np.degrees(np.arcsin(np.clip(-poses[:, 2, 2], -1.0, 1.0)))
        low, high = np.array(first.aabb[:3]), np.array(first.aabb[3:])
        lines = [
            f"{self.data_dir}: {self.dataset_type}",
            "views      " + ", ".join(f"{len(f.names)} {name}" for name, f in self.splits.items()),
            *(f"lens       {line}" for line in _lenses(list(self.splits.values()))),
            f"bounds     near {first.near:.4g}, far {first.far:.4g}",
            f"scene box  {_numbers(low)} to {_numbers(high)}"
            + (", unbounded: more stands outside of it" if first.unbounded else ""),
            f"cameras    {_numbers(poses[:, :, 3].min(0))} to {_numbers(poses[:, :, 3].max(0))}",
            f"           {distances.min():.4g} to {distances.max():.4g} from the box's middle, "
            f"median {np.median(distances):.4g}",
            f"           pitch {pitch.min():.0f} to {pitch.max():.0f} degrees (0 is level); "
            f"nearest to all optical axes: {_numbers(focus_point(poses))}",
        ]
        return "\n".join(lines)

    def warnings(self) -> list[str]:
        """Probable faults, a line each."""
        first, poses = self.first, self.poses
        found = []
        num_views = len(poses)
        away = looks_away(poses, first.aabb)
        if num_views > 1 and away.sum() > num_views / 2:
            found.append(
                f"{away.sum()} of {num_views} cameras look away from the scene box: poses may be "
                "world-to-camera, or have their camera's y down and z forward (OpenCV), where "
                "OpenGL's y up and z backward is meant"
            )
        elif away.any():
            names = [name for f in self.splits.values() for name in _away_names(f)]
            found.append(
                f"{away.sum()} of {num_views} cameras look away from the scene box: "
                f"{', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
            )
        positions = poses[:, :, 3]
        spread = np.linalg.norm(positions - positions.mean(0), axis=1).max()
        reach = max(np.linalg.norm(positions - _middle(first.aabb), axis=1).max(), 1e-12)
        if num_views > 1 and spread < 1e-3 * reach:
            found.append("all cameras stand in one place: such views do not show depth")
        ups = poses[:, :, 1]
        upside_down = ups @ ups.mean(0) < 0.0
        if upside_down.any():
            found.append(f"{upside_down.sum()} of {num_views} cameras are upside down to the rest")
        pictured = {name: f for name, f in self.splits.items() if f.has_images}
        images = {path for f in pictured.values() for path in f.at_full_size().image_paths}
        distinct = np.concatenate([f.cameras.c2w.double().numpy() for f in pictured.values()])
        num_pictured = len(np.unique(distinct, axis=0))
        if num_pictured < len(images):
            found.append(f"{len(images) - num_pictured} views have the very pose of another one")
        if num_views < FEW_VIEWS:
            found.append(f"{num_views} views are few; 30 or more are good")
        for name, files in self.splits.items():
            found.extend(f"{name}: {line}" for line in _lens_warnings(files))
            found.extend(f"{name}: {line}" for line in _mask_warnings(files))
        return found


def inspect_scene(
    data_dir: str | Path, dataset_type: str | None = None, options: LoadOptions | None = None
) -> Inspection:
    """Read the descriptions of all splits of a scene folder.

    Raises:
        SceneError: the folder or a description is wrong; the message says what.
    """
    options = options or LoadOptions()
    if options.colmap_path is not None:
        dataset_type = dataset_type or "colmap"
    folder, dataset_type = locate_scene(data_dir, dataset_type)
    scene = FORMATS[dataset_type].read(folder, options).held_out(options.holdout)
    names = [name for images in (True, False) for name in scene.split_names(with_images=images)]
    if not names:
        raise SceneError(f"{data_dir}: there is no split in this folder")
    names = sorted(names, key=lambda name: (name != "train", name == "test", name))
    splits = {name: files_of(scene, name, options) for name in names}
    return Inspection(Path(data_dir), dataset_type, splits, scene, options.exposure)


def _middle(aabb: tuple[float, ...]) -> np.ndarray:
    return 0.5 * (np.array(aabb[:3]) + np.array(aabb[3:]))


def _away_names(files: SceneFiles) -> list[str]:
    files = files.at_full_size()
    away = looks_away(files.cameras.c2w.double().numpy(), files.aabb)
    return [name for name, is_away in zip(files.names, away, strict=True) if is_away]


def _numbers(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in values + 0.0) + ")"


def _angles(files: SceneFiles) -> np.ndarray:
    """Horizontal angles of view [V] in degrees, without distortion."""
    cameras = files.cameras
    sides = zip(cameras.width.tolist(), cameras.fx.tolist(), strict=True)
    return np.array([
        angle_of_view(*pair, in_angles=_sees_in_angles(cameras, view))
        for view, pair in enumerate(sides)
    ])  # fmt: skip


def _sees_in_angles(cameras: Cameras, view: int) -> bool:
    return cameras.is_fisheye(view) or cameras.is_panorama(view)


def _kind(cameras: Cameras, view: int) -> str:
    if cameras.is_panorama(view):
        return "panorama"
    return "fisheye" if cameras.is_fisheye(view) else "perspective"


def _lenses(splits: list[SceneFiles]) -> list[str]:
    """A line for each kind of lens and image size."""
    counts: dict[str, int] = {}
    for files in splits:
        cameras = files.cameras
        for i, angle in enumerate(_angles(files)):
            line = (
                f"{cameras.width[i]}x{cameras.height[i]} pixels, {_kind(cameras, i)}, "
                f"{angle:.1f} degrees wide, focal length {cameras.fx[i]:.1f} {cameras.fy[i]:.1f}, "
                f"centre {cameras.cx[i]:.1f} {cameras.cy[i]:.1f}"
            )
            if cameras.distortion is not None and bool(cameras.distortion[i].any()):
                pairs = zip(COEFFICIENTS, cameras.distortion[i].tolist(), strict=True)
                line += ", " + " ".join(f"{name} {value:.3g}" for name, value in pairs if value)
            counts[line] = counts.get(line, 0) + 1
    lines = [f"{line} ({count} images)" for line, count in counts.items()]
    return lines if len(lines) <= 6 else [*lines[:5], f"… and {len(lines) - 5} more lenses"]


def _mask_warnings(files: SceneFiles) -> list[str]:
    """Masks whose sizes do not fit their images, which training would refuse."""
    odd = []
    for path, width, height in zip(
        files.mask_paths or (),
        files.cameras.width.tolist(),
        files.cameras.height.tolist(),
        strict=False,
    ):
        if path is not None:
            header = read_header(path)
            sizes = (header.stored_size, header.upright_size)
            if not any(in_proportion((h, w), (height, width)) for w, h in sizes):
                odd.append(f"{path.name} is {header.width}x{header.height}, not {width}x{height}")
    if not odd:
        return []
    return [
        f"{len(odd)} masks have other proportions than their images, and training refuses them: "
        f"{', '.join(odd[:2])}{', …' if len(odd) > 2 else ''}"
    ]


def _lens_warnings(files: SceneFiles) -> list[str]:
    cameras, found = files.cameras, []
    angles = _angles(files)
    flat = np.array([not _sees_in_angles(cameras, view) for view in range(len(cameras))])
    odd = flat & ((angles < NARROW) | (angles > WIDE))
    if odd.any():
        found.append(
            f"{odd.sum()} lenses see {angles[odd].min():.0f} to {angles[odd].max():.0f} degrees: "
            "the focal length may be meant for another image size"
        )
    off_x = (cameras.cx / cameras.width - 0.5).abs().max()
    off_y = (cameras.cy / cameras.height - 0.5).abs().max()
    if max(off_x, off_y) > OFF_CENTRE:
        found.append(
            "the principal point is far from the middle: it may be meant for another image size"
        )
    return found
