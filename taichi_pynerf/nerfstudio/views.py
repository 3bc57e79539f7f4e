"""nerfstudio's cameras and training images, as this package's functions see them."""

from __future__ import annotations

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras as StudioCameras
from nerfstudio.cameras.cameras import CameraType
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image

from taichi_pynerf.cameras import Cameras
from taichi_pynerf.errors import SceneError

LENSES = (CameraType.PERSPECTIVE.value, CameraType.FISHEYE.value)


def has_lenses(cameras: StudioCameras) -> bool:
    """Whether all cameras are of a kind that this package has too."""
    return bool(torch.isin(cameras.camera_type.cpu(), torch.tensor(LENSES)).all())


def cameras_from_studio(cameras: StudioCameras) -> Cameras:
    """V cameras of nerfstudio, which has the same axes and image coordinates, on the CPU.

    Raises:
        SceneError: a camera is neither a perspective nor a fisheye camera.
    """
    if not has_lenses(cameras):
        raise SceneError("only perspective and fisheye cameras can be used here")
    cameras = cameras.flatten().to("cpu")
    columns = {
        name: getattr(cameras, name).view(-1).float().contiguous()
        for name in ("fx", "fy", "cx", "cy")
    }
    distortion = cameras.distortion_params
    if distortion is not None and not bool(distortion.any()):
        distortion = None
    fisheye = (cameras.camera_type == CameraType.FISHEYE.value).view(-1)
    return Cameras(
        c2w=cameras.camera_to_worlds.float(),
        **columns,
        width=cameras.width.view(-1).long(),
        height=cameras.height.view(-1).long(),
        distortion=None if distortion is None else distortion.float(),
        fisheye=fisheye if bool(fisheye.any()) else None,
    )


def cameras_to_studio(cameras: Cameras) -> StudioCameras:
    """The inverse of `cameras_from_studio`."""
    perspective = torch.full_like(cameras.width, CameraType.PERSPECTIVE.value)
    kinds = perspective
    if cameras.fisheye is not None:
        kinds = torch.where(cameras.fisheye, CameraType.FISHEYE.value, perspective)
    return StudioCameras(
        camera_to_worlds=cameras.c2w,
        fx=cameras.fx,
        fy=cameras.fy,
        cx=cameras.cx,
        cy=cameras.cy,
        width=cameras.width,
        height=cameras.height,
        distortion_params=cameras.distortion,
        camera_type=kinds,
    )


class TrainingViews:
    """What `fit_to_scene` and `possible_cells` ask of a dataset, from one of nerfstudio's.

    Attributes:
        cameras: V cameras.
        scales: [V] all 1.
        near, far: bounds of the distance along any ray.
        aabb: the scene box.
        unbounded: whether things stand outside of the scene box too.
    """

    def __init__(self, dataset: InputDataset, unbounded: bool, near: float, far: float):
        self.dataset = dataset
        self.cameras = cameras_from_studio(dataset.cameras)
        self.scales = torch.ones(len(self.cameras), dtype=torch.int64)
        self.near, self.far, self.unbounded = near, far, unbounded
        self.aabb = tuple(dataset.scene_box.aabb.flatten().tolist())

    def __len__(self) -> int:
        return len(self.cameras)

    def alpha(self, index: int) -> torch.Tensor:
        """Opacity of image `index` as [H, W] uint8, 255 where it is opaque."""
        size = (int(self.cameras.width[index]), int(self.cameras.height[index]))
        with Image.open(self.dataset.image_filenames[index]) as image:
            if image.mode not in ("RGBA", "LA"):
                return torch.full(size[::-1], 255, dtype=torch.uint8)
            alpha = image.getchannel("A")
            alpha = alpha if alpha.size == size else alpha.resize(size)
            return torch.from_numpy(np.array(alpha))
