"""The images that a run uses: what a checkpoint keeps of its scene, and how to load it again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch

from taichi_pynerf.data.datasets import Dataset, MultiScaleDataset, PyNeRFDataset
from taichi_pynerf.data.description import standing
from taichi_pynerf.data.loading import exposures_of, read_scene, read_scene_files
from taichi_pynerf.data.locating import detect_dataset_type
from taichi_pynerf.data.placement import Placement, SceneTransform
from taichi_pynerf.data.scene import cameras_at
from taichi_pynerf.data.scene_files import LoadOptions, SceneFiles, shown
from taichi_pynerf.demo.scene import demo_scene_dir
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras

MULTISCALE = (1, 2, 4, 8)

# Types of the values of `SceneSource`, as a checkpoint from elsewhere may hold any.
_KINDS: dict[str, tuple[type, ...]] = {
    "data_dir": (str, NoneType), "dataset_type": (str, NoneType), "img_downscale": (int,),
    "multiscale": (bool,), "reduced_too": (bool,), "white_background": (bool,),
    "allow_external_paths": (bool,), "exposure": (float, int), "holdout": (int, NoneType),
    "colmap_path": (str, NoneType),
}  # fmt: skip

LONGEST_SIDE = 1600
"""Longest side, in pixels, of images that stay at full size by default, as in nerfstudio."""

LEAST_SIDE = 16
"""Shortest side, in pixels, of reduced images that photographs are trained on too."""


@dataclass(frozen=True, eq=False)
class Views:
    """The cameras of a split, for rendering its views without their images.

    Attributes:
        cameras: V cameras at full size.
        names: V names.
        near, far, aabb, transform: as in `SceneFiles`.
        background: float32 [3], the colour behind the scene.
        exposures: V exposures of the images by EXIF, in stops; NaN where unknown.
    """

    cameras: Cameras
    names: list[str]
    near: float
    far: float
    aabb: tuple[float, ...]
    background: torch.Tensor
    transform: SceneTransform
    exposures: list[float]


@dataclass(frozen=True)
class SceneSource:
    """The images that a run uses; kept in its checkpoint, so that they are found again.

    Attributes:
        data_dir: absolute path of the scene folder; None stands for the built-in demo scene, in
            this machine's cache.
        dataset_type: the folder's format; detected if None.
        img_downscale: divisor of the files' size; the quotient counts as full size.
        multiscale: train and test at the scales 1, 1/2, 1/4 and 1/8, all equally.
        reduced_too: train at these scales, the smaller ones less often, and test at full size.
        white_background: put transparent pixels on white instead of black.
        placement: how the scene is placed in its coordinates.
        allow_external_paths: let the scene name files outside of its folder.
        exposure: exposure of OpenEXR and Radiance HDR images, stops.
        holdout: N holds out every N-th image, 0 none; None leaves it to the scene.
        colmap_path: COLMAP's sparse model to take, relative to `data_dir`; None finds the largest.
    """

    data_dir: str | None
    dataset_type: str | None = None
    img_downscale: int = 1
    multiscale: bool = False
    reduced_too: bool = False
    white_background: bool = True
    placement: Placement = field(default_factory=Placement)
    allow_external_paths: bool = False
    exposure: float = 0.0
    holdout: int | None = None
    colmap_path: str | None = None

    def __post_init__(self) -> None:
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", str(Path(self.data_dir).absolute()))

    @property
    def several_scales(self) -> bool:
        """Whether the run is trained on reduced images too."""
        return self.multiscale or self.reduced_too

    @classmethod
    def fitted(
        cls,
        data_dir: str | Path | None,
        *,
        dataset_type: str | None = None,
        img_downscale: int | None = None,
        multiscale: bool | None = None,
        **more: Any,
    ) -> SceneSource:
        """The source of a new run. The folder decides what the caller leaves open.

        Args:
            data_dir: the scene folder; None stands for the built-in demo scene.
            dataset_type: the folder's format; detected if None.
            img_downscale: None halves the images until none is longer than `LONGEST_SIDE` pixels.
            multiscale: None turns it on for scenes that come at several scales: the demo scene and
                multi-scale folders. Other unbounded scenes, which are photographs, are then
                trained on their reduced images too. False: full size alone.
            more: the other attributes.

        Raises:
            SceneError: the scene cannot be read; the message says why.
        """
        undecided = multiscale is None
        if multiscale is None:
            multiscale = data_dir is None or (
                (dataset_type or detect_dataset_type(data_dir)) == "multiscale-blender"
            )
        source = cls(
            data_dir=None if data_dir is None else str(data_dir),
            dataset_type=dataset_type,
            img_downscale=1 if img_downscale is None else img_downscale,
            multiscale=multiscale,
            **more,
        )
        if data_dir is None:
            return source
        if img_downscale is None:
            source = source.reduced_to_fit()
        if undecided and not multiscale and source.files("train").unbounded:
            source = replace(source, reduced_too=True)
        return source

    def folder(self) -> Path:
        """The scene folder; the demo scene is made if it is not there."""
        return demo_scene_dir() if self.data_dir is None else Path(self.data_dir)

    def is_there(self) -> bool:
        """Whether the scene folder exists; the demo scene always does."""
        return self.data_dir is None or Path(self.data_dir).exists()

    def splits(self, *, with_images: bool = True) -> list[str]:
        """The splits that have images, or without `with_images` those that only have poses.

        Raises:
            SceneError: the folder is absent or in no known format.
        """
        scene = read_scene(self.folder(), self.dataset_type, self._options())
        return scene.held_out(self.holdout).split_names(with_images=with_images)

    def load(self, split: str, scales: Sequence[int] | None = None) -> Dataset:
        """One split of the scene, with the images that this source names.

        Args:
            split: "train", "val" or "test", as the scene has them.
            scales: divisors of full size; by default those that the run trains on, if this is the
                split "train", and else those that it is tested at.

        Raises:
            SceneError: the scene cannot be loaded; the message says why.
        """
        arguments: dict[str, Any] = {
            "data_dir": self.folder(),
            "split": split,
            "dataset_type": self.dataset_type,
            "img_downscale": self.img_downscale,
            "white_background": self.white_background,
            "placement": self.placement,
            "allow_external_paths": self.allow_external_paths,
            "exposure": self.exposure,
            "holdout": self.holdout,
            "colmap_path": self.colmap_path,
        }
        if self.multiscale or scales is not None:
            return MultiScaleDataset(**arguments, scales=scales or MULTISCALE)
        if self.reduced_too and split == "train":
            return MultiScaleDataset(**arguments, scales=self._fitting(), sampling="halved")
        return PyNeRFDataset(**arguments)

    def _fitting(self) -> list[int]:
        """The scales at which no training image becomes smaller than `LEAST_SIDE` pixels."""
        cameras = self.views("train").cameras
        side = int(torch.minimum(cameras.width, cameras.height).min())
        return [k for k in MULTISCALE if k == 1 or side // k >= LEAST_SIDE]

    def files(self, split: str) -> SceneFiles:
        """The scene's files of one split; no image is decoded.

        Raises:
            SceneError: the scene cannot be read; the message says why.
        """
        return read_scene_files(self.folder(), split, self.dataset_type, self._options())

    def points(self) -> np.ndarray | None:
        """[K, 3] float64 sparse points in the scene's coordinates, if its format has them.

        Raises:
            SceneError: the scene cannot be read.
        """
        scene = read_scene(self.folder(), self.dataset_type, self._options())
        if scene.points is None or not len(scene.points):
            return None
        return standing(scene, self.placement).transform.apply(scene.points)

    def views(self, split: str) -> Views:
        """The cameras of one split at full size, also for poses without images.

        Raises:
            SceneError: there is no such split, or the scene cannot be read.
        """
        files = self.files(split).at_full_size()
        factor = max(self.img_downscale // files.reduction, 1)
        return Views(
            cameras=cameras_at(files.cameras, [factor], files.names),
            names=files.names,
            near=files.near,
            far=files.far,
            aabb=files.aabb,
            background=torch.full((3,), float(self.white_background)),
            transform=files.transform,
            exposures=exposures_of(files),
        )

    def same_images(self, other: SceneSource, split: str) -> bool:
        """Whether another source has a split's images too, in the same coordinates.

        Raises:
            SceneError: there is no such split here, or a scene cannot be read.
        """
        files, its_files = (
            (one.folder(), one.img_downscale, one.exposure) for one in (self, other)
        )
        if files != its_files or split not in other.splits():
            return False
        mine, its = self.views(split), other.views(split)
        return mine.names == its.names and all(
            torch.equal(a, b)
            for a, b in ((mine.cameras.c2w, its.cameras.c2w), (mine.background, its.background))
        )

    def _options(self) -> LoadOptions:
        return LoadOptions(
            self.img_downscale,
            self.placement,
            self.allow_external_paths,
            self.exposure,
            self.holdout,
            self.colmap_path,
        )

    def reduced_to_fit(self) -> SceneSource:
        """This source, its images halved until none is longer than `LONGEST_SIDE` pixels.

        Photographs have more pixels than a training sees. Formats with several scales keep them.

        Raises:
            SceneError: the scene cannot be read; the message says why.
        """
        source = self
        while True:
            files = source.files("train")
            if files.scales is not None:
                return source
            cameras, factor = files.cameras, max(source.img_downscale // files.reduction, 1)
            side, k = int(torch.maximum(cameras.width, cameras.height).max()) // factor, 1
            while side > k * LONGEST_SIDE:
                k *= 2
            if k == 1:
                return source
            # Other files may be taken then. If all are reduced, their reduction has to divide it.
            k = math.lcm(k * source.img_downscale, files.file_scale)
            source = replace(source, img_downscale=k)

    def load_or_none(self, split: str) -> Dataset | None:
        """`load` for a split that the scene may lack."""
        return self.load(split) if split in self.splits() else None

    def at_full_size(self) -> SceneSource:
        """The same source without reduced images, as those of several scales load them."""
        return replace(self, multiscale=False, reduced_too=False)

    def at(self, data_dir: str | Path) -> SceneSource:
        """The same source in a folder that has moved."""
        return replace(self, data_dir=str(data_dir))

    def to_dict(self) -> dict:
        """Plain values, as a checkpoint or a JSON file holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict | None) -> SceneSource:
        """The inverse of `to_dict`.

        Raises:
            SceneError: these are not the values of a source.
        """
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or "data_dir" not in values or not set(values) <= known:
            raise SceneError("nothing says which scene this is of")
        for name, kinds in _KINDS.items():
            if name in values and type(values[name]) not in kinds:
                raise SceneError(f"the scene's {name} cannot be {shown(values[name])}")
        if "\0" in (values["data_dir"] or "") or values.get("img_downscale", 1) < 1:
            raise SceneError("the scene's folder or img_downscale cannot be used")
        try:
            placement = Placement(**values.get("placement", {}))
        except (TypeError, ValueError, OverflowError):
            raise SceneError("the placement of the scene is not one") from None
        return cls(**{**values, "placement": placement})
