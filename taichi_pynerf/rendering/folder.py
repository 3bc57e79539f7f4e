"""Rendering into a folder, which continues where an earlier render stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import torch

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.evaluation.evaluation import Metric, measure
from taichi_pynerf.evaluation.exif_exposure import exposed
from taichi_pynerf.files import json_text, open_to_append, refuse_links
from taichi_pynerf.model.images import RenderOptions, rays_bar, render_image
from taichi_pynerf.rendering.colormaps import depth_colors, level_colors
from taichi_pynerf.rendering.depth_files import write_depth_numbers
from taichi_pynerf.rendering.pictures import (
    normal_colors,
    to_bytes,
    without_background,
    write_depth,
    write_png,
)
from taichi_pynerf.rendering.view_sets import Shot, ViewSet
from taichi_pynerf.runs.runs import Run

LEDGER = "renders.jsonl"


@dataclass(frozen=True)
class Outputs:
    """The files to write for each image besides its colours, NAME.png.

    Attributes:
        depth: NAME_depth.png of 16 bits with NAME_depth.json, and NAME_depth_color.png.
        acc: NAME_acc.png, the opacity.
        levels: NAME_level.png, a heat map of the pyramid levels.
        depth_range: distances at the ends of the colour map; by default the range of what is seen.
        depth_format: one of `DEPTH_FORMATS`; NAME_depth.exr or .npz in place of the 16-bit PNG.
        normals: NAME_normal.png, in the axes of the scene's files.
        transparent: NAME.png has alpha instead of a background.
        exif_exposure: NAME.png has the exposure that the photograph's EXIF data predict, if the run
            knows how colours follow it. Metrics are of the render as it is.
    """

    depth: bool = False
    acc: bool = False
    levels: bool = False
    depth_range: tuple[float, float] | None = None
    depth_format: str = "png"
    normals: bool = False
    transparent: bool = False
    exif_exposure: bool = False

    def files(self, stem: str) -> list[str]:
        """Names of the files of an image."""
        suffixes = [".png"]
        if self.depth:
            numbers = [".png", ".json"] if self.depth_format == "png" else [f".{self.depth_format}"]
            suffixes += [f"_depth{suffix}" for suffix in numbers] + ["_depth_color.png"]
        suffixes += ["_normal.png"] if self.normals else []
        suffixes += ["_acc.png"] if self.acc else []
        suffixes += ["_level.png"] if self.levels else []
        return [stem + suffix for suffix in suffixes]

    def colored(self) -> list[str]:
        """Endings of the names of images that can be shown: "", "_acc", …"""
        flags = (
            (self.depth, "_depth_color"), (self.normals, "_normal"), (self.acc, "_acc"),
            (self.levels, "_level"),
        )  # fmt: skip
        return ["", *(suffix for wanted, suffix in flags if wanted)]

    def write(
        self, folder: Path, stem: str, out: dict, views: ViewSet, view: int, num_levels: int
    ) -> None:
        """Write the files of a view's image."""
        depth, acc = out["depth"], out["acc"]
        if self.depth:
            near, far = self.depth_range or (None, None)
            path = folder / f"{stem}_depth.{self.depth_format}"
            if self.depth_format == "png":
                write_depth(path, depth, acc, views.transform.scale)
            else:
                write_depth_numbers(path, out, views.cameras, view, views.transform)
            write_png(folder / f"{stem}_depth_color.png", depth_colors(depth, acc, near, far))
        if self.normals:
            normal = views.transform.undo_directions(out["normal"].numpy())
            write_png(folder / f"{stem}_normal.png", normal_colors(torch.from_numpy(normal)))
        if self.acc:
            write_png(folder / f"{stem}_acc.png", to_bytes(acc))
        if self.levels:
            write_png(folder / f"{stem}_level.png", level_colors(out["level"], acc, num_levels))
        picture = to_bytes(out["rgb"])
        if self.transparent:
            picture = without_background(out["rgb"], acc, views.background)
        write_png(folder / f"{stem}.png", picture)


def render_to_folder(
    run: Run,
    views: ViewSet,
    folder: str | Path,
    *,
    options: RenderOptions | None = None,
    outputs: Outputs | None = None,
    metrics: Mapping[str, Metric] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> list[dict]:
    """Render images into a folder, except those that are there already.

    The files of an image are complete or absent. Lines in `renders.jsonl` list finished images with
    their checkpoint, camera and metrics. After a crash, another call continues with the image that
    was being rendered.

    Args:
        run: the run with the model.
        views: the views to render.
        folder: folder for the images; created if absent.
        options: options of rendering.
        outputs: files to write besides colours.
        metrics: {name: metric}, for the shots that have a photograph.
        overwrite: render existing images again.
        progress: show a progress bar.

    Returns:
        {"name", "scale", metric: value, …} of each shot.

    Raises:
        ConfigError: the folder holds other renders under the same names, and `overwrite` is off.
        RunFolderError: a folder in it is a link.
        OSError: a file cannot be written.
    """
    options, outputs, metrics = options or RenderOptions(), outputs or Outputs(), metrics or {}
    options = replace(options, normals=outputs.normals)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keys = {
        shot.stem: _key(run, views, view, options, outputs) for view, shot in enumerate(views.shots)
    }
    done = {} if overwrite else _read_ledger(folder)
    for stem, key in keys.items():
        if stem in done and done[stem]["key"] != key:
            raise ConfigError(
                f"{folder}: {stem}.png there is of another checkpoint, camera or setting: give "
                "--overwrite, or another --output_dir"
            )

    def finished(shot: Shot) -> bool:
        wanted = set(metrics) if shot.truth else set()
        files = outputs.files(shot.stem)
        return (
            shot.stem in done
            and wanted <= set(done[shot.stem]["metrics"])
            and set(files) <= set(done[shot.stem]["files"])
            and all((folder / file).is_file() for file in files)
        )

    left = [view for view, shot in enumerate(views.shots) if not finished(shot)]
    num_levels = len(run.model.field.resolutions)
    with rays_bar(views.cameras, left, options, progress) as bar:
        for view in left:
            shot = views.shots[view]
            out = render_image(
                run.model, views.cameras, view, views.near, views.far, views.background, options,
                bar.update,
            )  # fmt: skip
            place = (folder / shot.stem).parent
            refuse_links(folder, place)
            place.mkdir(parents=True, exist_ok=True)
            gain = _gain(run, shot, outputs)
            shown = out if gain == 1 else {**out, "rgb": exposed(out["rgb"], gain)}
            outputs.write(folder, shot.stem, shown, views, view, num_levels)
            figures = {}
            if shot.truth and metrics:
                target, mask = shot.truth()
                figures = measure(out["rgb"], target, metrics, mask, shot.exposure)
            # Other files of an earlier render of the same image are still its own.
            files = outputs.files(shot.stem)
            files += [x for x in done.get(shot.stem, {}).get("files", ()) if x not in files]
            line = {"stem": shot.stem, "key": keys[shot.stem], "files": files, "metrics": figures}
            _append(folder, line)
            done[shot.stem] = line
    return [
        {"name": shot.name, "scale": shot.scale, **_figures(done[shot.stem], metrics)}
        for shot in views.shots
    ]


def _gain(run: Run, shot: Shot, outputs: Outputs) -> float:
    """Factor on the colours of a shot's picture."""
    if run.response is None or not outputs.exif_exposure:
        return 1.0
    return run.response.gain(shot.exposure)


def _figures(line: dict, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """A line's metrics; null in JSON stands for a value that is not finite."""
    kinds = ("psnr", "psnr_exif", "psnr_fitted")
    missing = dict.fromkeys(kinds, math.inf)  # an image without error
    return {
        name: missing.get(name, math.nan) if line["metrics"][name] is None
        else line["metrics"][name]
        for name in metrics
        if name in line["metrics"]
    }  # fmt: skip


def _key(run: Run, views: ViewSet, view: int, options: RenderOptions, outputs: Outputs) -> str:
    """A digest of everything that determines an image's pixels."""
    camera = vars(views.cameras.select([view]))
    facts = [
        [run.checkpoint.stat().st_mtime_ns, run.step],
        {name: tensor.tolist() for name, tensor in camera.items() if tensor is not None},
        [views.near, views.far, views.background.tolist()],
        [options.level, options.supersample],
    ]
    if options.crop is not None:
        facts.append(astuple(options.crop))
    ruled_out = run.model.field.ruled_out
    if ruled_out.has_cells:
        facts.append(hashlib.sha256(ruled_out.cells.cpu().numpy().tobytes()).hexdigest())
    if outputs.transparent:
        facts.append("transparent")
    gain = _gain(run, views.shots[view], outputs)
    if gain != 1:
        facts.append(["gain", gain])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _read_ledger(folder: Path) -> dict[str, dict]:
    """{stem: its last line}; a line that a crash truncated is skipped."""
    lines: dict[str, dict] = {}
    path = folder / LEDGER
    found = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for text in found.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            line = json.loads(text)
            lines[line["stem"]] = {
                "key": str(line["key"]),
                "files": list(line.get("files", ())),  # older releases did not say
                "metrics": dict(line["metrics"]),
            }
    return lines


def _append(folder: Path, line: dict) -> None:
    path = folder / LEDGER
    try:
        with open_to_append(path) as file:
            file.write(json_text(line).encode() + b"\n")
    except OSError as error:
        error.filename = str(path)
        raise
