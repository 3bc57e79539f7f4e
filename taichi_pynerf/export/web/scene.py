"""Export of a scene as a page: quantise it, measure what that costs, write one file or a folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.web.chunks import Packed, pack
from taichi_pynerf.export.web.frames import scene_shader
from taichi_pynerf.export.web.page import (
    check_folder,
    folder_files,
    page_text,
    remove_old_parts,
    write_files,
)
from taichi_pynerf.export.web.quantise import QuantisedModel, quantise, without_finest_levels
from taichi_pynerf.export.web.ranges import trained_shares
from taichi_pynerf.export.web.shader import reason_against_page, scene_text
from taichi_pynerf.export.web.views import scene_of_views
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.runs.scene_source import Views

MEGABYTE = 10**6
LEAST_TRAINED = 0.25  # share of the scene in which a page's finest level must have been trained


@dataclass(frozen=True)
class PageOptions:
    """How a page is written.

    Attributes:
        title: of the page.
        bits: of a table's number, 8 or 16.
        max_megabytes: finest levels are left out until the page is no larger; None for no limit.
        folder: files beside each other, which the page loads level by level, not one file.
    """

    title: str
    bits: int = 8
    max_megabytes: float | None = None
    folder: bool = False

    def __post_init__(self) -> None:
        if self.bits not in (8, 16):
            raise ConfigError(f"table_bits is {self.bits}: give 8 or 16")
        if self.max_megabytes is not None and not 0 < self.max_megabytes < math.inf:
            raise ConfigError(f"max_megabytes is {self.max_megabytes}: give a number above 0")

    def titled(self, title: str) -> PageOptions:
        """The same, with a title."""
        return replace(self, title=title)


@dataclass(frozen=True, eq=False)
class WebScene:
    """What was written.

    Attributes:
        path: the page, or the folder's index.html.
        num_bytes: of all files together.
        quantised: the model that the page shows, `quantised.model` being an ordinary one.
        levels_left_out: how many of the finest.
    """

    path: Path
    num_bytes: int
    quantised: QuantisedModel
    levels_left_out: int


def check_can_export(model: PyNeRF) -> None:
    """Raises:
    ConfigError: the page cannot show such a model; the message says what it lacks.
    """
    reason = reason_against_page(model.config)
    if reason is not None:
        raise ConfigError(f"a page does not cover {reason}")


def write_web_scene(
    model: PyNeRF,
    path: str | Path,
    options: PageOptions,
    views: Views | None = None,
    say: Callable[[str], object] = print,
) -> WebScene:
    """Write a model as a page.

    Args:
        model: a trained model; it is not changed.
        path: the file to write, or the folder with `options.folder`.
        options: how.
        views: the training views, if the scene is at hand.
        say: told in a line what was left out.

    Raises:
        ConfigError: the page does not cover such a model, cannot be as small as asked for with
            levels that are trained, or its folder holds other files.
    """
    check_can_export(model)
    if options.folder:
        check_folder(Path(path))
    scene = scene_of_views(views, model.renderer.box)
    whole = model.field.num_heads
    num_levels, shares = whole, trained_shares(model)
    while True:
        kept = model if num_levels == whole else without_finest_levels(model, num_levels)
        quantised = quantise(kept, options.bits)
        packed = pack(quantised)
        header = _header(quantised, packed, scene, options, whole)
        shader = scene_shader(packed.textures, scene_text(quantised, packed.texture))
        if options.folder:
            files = folder_files(header, shader, packed.chunks)
        else:
            files = {Path(path).name: page_text(header, shader, packed.chunks).encode()}
        num_bytes = sum(map(len, files.values()))
        limit = options.max_megabytes
        if limit is None or num_bytes <= limit * MEGABYTE:
            break
        if whole == 1:
            without_finest_levels(model, num_levels)  # says why it cannot be done
        if num_levels == 1:
            raise ConfigError(
                f"max_megabytes is {limit:g}: the coarsest level alone takes "
                f"{num_bytes / MEGABYTE:.2f} MB"
            )
        num_levels -= 1
        if shares[num_levels - 1] < LEAST_TRAINED:
            raise ConfigError(
                f"max_megabytes is {limit:g}: the page takes {num_bytes / MEGABYTE:.2f} MB with "
                f"{num_levels + 1} of {whole} levels, and fewer would show heads that are not "
                f"trained (the next in {shares[num_levels - 1]:.0%} of the scene); train with "
                "--multiscale, or with a smaller --hash_table_size, or allow that size"
            )
    if num_levels < whole:
        say(
            f"max_megabytes is {limit:g}: left out the {whole - num_levels} finest of {whole} "
            "levels"
        )
    folder = Path(path) if options.folder else Path(path).parent
    write_files(folder, files)
    if options.folder:
        remove_old_parts(folder, files)
    page = folder / ("index.html" if options.folder else Path(path).name)
    return WebScene(page, num_bytes, quantised, whole - num_levels)


def _header(
    quantised: QuantisedModel, packed: Packed, scene: dict, options: PageOptions, whole: int
) -> dict:
    """What the page's script reads first."""
    model = quantised.model
    color, small = packed.texture.networks[len(model.field.heads)], quantised.proposal_grid
    return {
        **packed.header,
        **scene,
        "title": options.title,
        "size": model.renderer.box.size,
        "aabb": list(model.renderer.box.aabb),
        "numLevels": model.field.num_heads,
        "levelsLeftOut": whole - model.field.num_heads,
        "firstLevel": len(model.field.resolutions) - model.field.num_heads,
        "resolutions": list(model.field.resolutions),
        "cost": {  # multiplications of one evaluation
            "head": packed.texture.networks[len(model.field.heads) - 1].multiplications,
            "color": color.multiplications,
            "small": packed.texture.networks[-1].multiplications if small else 0,
            "smallLevels": small.spec.num_levels if small else 0,
            "features": model.config.features_per_level,
            "smallFeatures": small.spec.features_per_level if small else 0,
        },
    }
