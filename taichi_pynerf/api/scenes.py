"""Scenes: photographs with their cameras, by split."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from taichi_pynerf.api.camera import Camera
from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.data.scene import cameras_at
from taichi_pynerf.data.scene_files import SceneFiles, finest_views
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.rendering.camera_paths import camera_path, path_cameras
from taichi_pynerf.runs.scene_source import SceneSource


class LoadedScene:
    """A scene folder: descriptions are read at once, images when they are needed.

    Get one from `load_scene`.

    Attributes:
        source: the folder and how it is read; kept in a run's checkpoint.
        splits: the splits with images, among "train", "val" and "test". A split of poses without
            images has only cameras.
    """

    def __init__(self, source: SceneSource) -> None:
        self.source = source
        self.splits: list[str] = source.splits()
        self._posed: list[str] = source.splits(with_images=False)
        self._files: dict[str, SceneFiles] = {}
        self._datasets: dict[str, Dataset] = {}

    def __repr__(self) -> str:
        return f"LoadedScene({str(self.folder)!r}, splits {', '.join(self.splits)})"

    @property
    def folder(self) -> Path:
        """The scene folder."""
        return self.source.folder()

    def dataset(self, split: str = "train") -> Dataset:
        """One split's pixels and rays, for trainers. Images are decoded once.

        Raises:
            SceneError: there is no such split, or an image cannot be read.
        """
        if split not in self._datasets:
            self._check(split, self.splits)
            self._datasets[split] = self.source.load(split)
        return self._datasets[split]

    def cameras(self, split: str = "train") -> list[Camera]:
        """One split's cameras at full size, with their lens distortion.

        Raises:
            SceneError: no such split.
        """
        cameras = self._cameras(split)
        return [Camera(cameras.select([view])) for view in range(len(cameras))]

    def image(self, index: int, split: str = "train") -> np.ndarray:
        """A photograph at full size, [H, W, 3] float32 in [0, 1], over the scene's background.

        Args:
            index: index of the image, as in `cameras`.

        Raises:
            SceneError: there is no such split, or an image cannot be read.
            IndexError: there is no such image.
        """
        dataset = self.dataset(split)
        full_size = finest_views(dataset.scales)
        if not 0 <= index < len(full_size):
            raise IndexError(f"image {index} of {len(full_size)}")
        return dataset.image(full_size[index]).numpy()

    def camera_path(
        self,
        kind: str = "orbit",
        num_frames: int = 120,
        *,
        width: int | None = None,
        height: int | None = None,
    ) -> list[Camera]:
        """Cameras for a film, laid out around the training cameras.

        Args:
            kind: "spiral", "orbit", "interpolate" or "zoom", as in `--camera_path`.
            num_frames: the number of frames.
            width, height: frame size in pixels; by default the first training image's.

        Raises:
            ValueError: no such kind, fewer than 1 frame, or a width without a height.
        """
        if (width is None) != (height is None):
            raise ValueError("width and height belong together: give both or neither")
        like = self._cameras("train")
        poses = camera_path(kind, like.c2w, num_frames)
        if width is None or height is None:
            width, height = int(like.width[0]), int(like.height[0])
        cameras = path_cameras(like, poses, width, height)
        return [Camera(cameras.select([frame])) for frame in range(num_frames)]

    @property
    def transform(self) -> SceneTransform:
        """The transform from the coordinates of the scene's files to those used here.

        `transform.apply_to_poses(poses)` converts poses [V, 3, 4] of the files' world.
        """
        return self.files("train").transform

    @cached_property
    def background(self) -> np.ndarray:
        """[3] float32, the colour behind transparent pixels."""
        return np.full(3, float(self.source.white_background), dtype=np.float32)

    def files(self, split: str = "train") -> SceneFiles:
        """The description of one split by the scene's files. It is read once.

        Raises:
            SceneError: there is no such split, or the files cannot be read.
        """
        if split not in self._files:
            self._check(split, self.splits + self._posed)
            self._files[split] = self.source.files(split)
        return self._files[split]

    def _cameras(self, split: str) -> Cameras:
        """One split's cameras at full size."""
        files = self.files(split).at_full_size()
        factor = self.source.img_downscale // files.reduction
        return cameras_at(files.cameras, [max(factor, 1)], files.names)

    def _check(self, split: str, known: list[str]) -> None:
        if split not in known:
            raise SceneError(
                f"{self.folder}: there is no split {split!r}; splits in this folder: "
                f"{', '.join(known) or 'none'}"
            )


def load_scene(
    path: str | Path | None = None,
    *,
    dataset_type: str | None = None,
    img_downscale: int | None = None,
    multiscale: bool | None = None,
    white_background: bool = True,
    **more: Any,
) -> LoadedScene:
    """Open a scene folder of any known format.

    Args:
        path: the scene folder; None opens the built-in demo scene, which is ray-traced the first
            time and then cached.
        dataset_type: the folder's format ("blender", "llff", "nerfstudio", "colmap", …); detected
            by default.
        img_downscale: use the images reduced by this factor. By default they are halved until
            none is longer than 1,600 pixels.
        multiscale: train and test at scales 1, 1/2, 1/4 and 1/8. By default only scenes that come
            at several scales, such as the demo scene; photographs of unbounded scenes are trained
            at all of them and tested at full size. False: full size alone.
        white_background: put transparent pixels on white instead of black.
        more: other attributes of `SceneSource`: `placement`, `holdout`, `exposure`, …

    Raises:
        SceneError: the folder is absent, in no known format or damaged; the message says which.

    Example:
        >>> scene = load_scene("data/nerf_synthetic/lego", img_downscale=2)
        >>> image = scene.image(0, "test")
    """
    if img_downscale is not None and (not isinstance(img_downscale, int) or img_downscale < 1):
        raise SceneError(f"img_downscale is {img_downscale!r}: give a whole number from 1 on")
    source = SceneSource.fitted(
        path,
        dataset_type=dataset_type,
        img_downscale=img_downscale,
        multiscale=multiscale,
        white_background=white_background,
        **more,
    )
    return LoadedScene(source)
