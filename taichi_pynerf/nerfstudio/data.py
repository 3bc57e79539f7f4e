"""This package's scene formats as a data parser of nerfstudio.

Cameras, scene box and units are those of `apps/train.py` for the same folder, so that a converted
run sees the same scene.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from nerfstudio.data.dataparsers.base_dataparser import (
    DataParser,
    DataParserConfig,
    DataparserOutputs,
)
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from nerfstudio.utils.colors import get_color

from taichi_pynerf.data.image_files import DYNAMIC_MASK
from taichi_pynerf.data.placement import Placement
from taichi_pynerf.data.scene_files import SceneFiles, warn_once
from taichi_pynerf.nerfstudio.views import cameras_to_studio
from taichi_pynerf.runs.scene_source import SceneSource

# What a data parser and a source of this package call by one name.
SAME = (
    "dataset_type", "img_downscale", "placement", "allow_external_paths", "exposure", "holdout",
    "colmap_path",
)  # fmt: skip


@dataclass
class PyNeRFDataParserConfig(DataParserConfig):
    """A scene folder in any format that taichi_pynerf reads."""

    _target: type = field(default_factory=lambda: PyNeRFDataParser)
    data: Path = Path("data")
    """The scene folder."""
    dataset_type: str | None = None
    """The format; by default it is detected."""
    img_downscale: int = 1
    """Use images that are reduced by this factor, if the folder has any."""
    placement: Placement = field(default_factory=Placement)
    """The placement of the scene in its coordinates."""
    allow_external_paths: bool = False
    """Let the scene name files outside of its folder."""
    exposure: float = 0.0
    """Exposure in stops of OpenEXR and Radiance HDR images. nerfstudio opens none; it goes into
    the checkpoint."""
    holdout: int | None = None
    """N holds out every N-th image, 0 none; by default the scene decides."""
    colmap_path: str | None = None
    """COLMAP's sparse model to take, relative to the scene folder; by default the largest."""
    alpha_color: str | None = "white"
    """Colour behind transparent pixels; None keeps their alpha."""


class PyNeRFDataParser(DataParser):
    """Reads a split's description; nerfstudio loads the images."""

    config: PyNeRFDataParserConfig

    def _generate_dataparser_outputs(
        self, split: str = "train", **kwargs: Any
    ) -> DataparserOutputs:
        config = self.config
        source = source_of_parser(config)
        files = source.files(present_split(source, split))
        if files.scales is not None:  # in the order of a loaded scene, scale by scale
            files = files.select(files.scales.argsort(stable=True).tolist())
        known = {"scales": files.scales, "pixel_weights": files.pixel_weights}
        transform = torch.from_numpy(files.transform.matrix).float()
        masks = _masks_of(files)
        color = config.alpha_color
        return DataparserOutputs(
            image_filenames=files.image_paths,
            cameras=cameras_to_studio(files.cameras, files.near, files.far),
            alpha_color=None if color is None else get_color(color),
            scene_box=SceneBox(aabb=torch.tensor(files.aabb).view(2, 3)),
            mask_filenames=masks,
            dataparser_transform=transform,
            dataparser_scale=float(files.transform.scale),
            metadata={name: value for name, value in known.items() if value is not None},
        )


def present_split(source: SceneSource, split: str) -> str:
    """The split, or if the scene lacks it, another one to compare with."""
    known = source.splits()
    other = {"val": "test", "test": "val"}.get(split, split)
    return next((name for name in (split, other) if name in known), "train")


def _masks_of(files: SceneFiles) -> list[Path] | None:
    """The masks as nerfstudio needs them: one per image, black where pixels do not count."""
    paths = files.mask_paths or []
    masks = [path for path in paths if path is not None and not path.name.startswith(DYNAMIC_MASK)]
    has_circles = any(radius is not None for radius in files.circle_radii or [])
    if has_circles or (paths and len(masks) < len(paths)):
        warn_once(
            f"{files.image_paths[0].parent}: nerfstudio takes masks of all images or none, black "
            "where pixels do not count, and no circles: the masks here are not used"
        )
    return masks if masks and len(masks) == len(paths) else None


def source_of(dataparser: DataParserConfig, img_downscale: int) -> SceneSource | None:
    """The scene of a run of nerfstudio, for its checkpoint.

    None if this package would not see the same scene in the same coordinates.
    """
    if isinstance(dataparser, BlenderDataParserConfig) and dataparser.scale_factor == 1:
        return SceneSource(
            str(dataparser.data),
            "blender",
            img_downscale,
            white_background=dataparser.alpha_color != "black",
        )
    if isinstance(dataparser, PyNeRFDataParserConfig):
        source = source_of_parser(dataparser)
        return replace(source, img_downscale=max(img_downscale, source.img_downscale))
    return None


def source_of_parser(config: PyNeRFDataParserConfig) -> SceneSource:
    """The scene that a data parser reads."""
    return SceneSource(
        str(config.data),
        white_background=config.alpha_color != "black",
        **{name: getattr(config, name) for name in SAME},
    )


def parser_of_source(source: SceneSource) -> PyNeRFDataParserConfig:
    """The inverse of `source_of_parser`."""
    return PyNeRFDataParserConfig(
        data=source.folder(),
        alpha_color="white" if source.white_background else "black",
        **{name: getattr(source, name) for name in SAME},
    )


any_scene = DataParserSpecification(
    PyNeRFDataParserConfig(), "Scene folders of any format that taichi_pynerf reads"
)
multiscale_blender = DataParserSpecification(
    PyNeRFDataParserConfig(dataset_type="multiscale-blender"),
    "Mip-NeRF's multi-scale Blender folders",
)
