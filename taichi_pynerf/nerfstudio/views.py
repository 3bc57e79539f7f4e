"""nerfstudio's cameras and training images in the form that this package's functions take."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from nerfstudio.cameras.cameras import Cameras as StudioCameras
from nerfstudio.cameras.cameras import CameraType
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image

from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras

LENSES = (CameraType.PERSPECTIVE.value, CameraType.FISHEYE.value)
PANORAMA = CameraType.EQUIRECTANGULAR.value


def has_lenses(cameras: StudioCameras) -> bool:
    """Whether all cameras have lenses whose rays are taken from this package."""
    return _are_of(LENSES, cameras)


def _are_of(kinds: tuple[int, ...], cameras: StudioCameras) -> bool:
    return bool(torch.isin(cameras.camera_type.cpu(), torch.tensor(kinds)).all())


def cameras_from_studio(cameras: StudioCameras) -> Cameras:
    """V cameras of nerfstudio, on the CPU. Axes and image coordinates are the same there.

    Raises:
        SceneError: a camera is of none of the kinds perspective, fisheye and equirectangular.
    """
    if not _are_of((*LENSES, PANORAMA), cameras):
        raise SceneError("only perspective, fisheye and equirectangular cameras can be used here")
    cameras = cameras.flatten().to("cpu")
    columns = {
        name: getattr(cameras, name).view(-1).float().contiguous()
        for name in ("fx", "fy", "cx", "cy")
    }
    fisheye = (cameras.camera_type == CameraType.FISHEYE.value).view(-1)
    panorama = (cameras.camera_type == PANORAMA).view(-1)
    for name in ("fx", "fy"):
        columns[name] = torch.where(panorama, columns[name] / math.pi, columns[name])
    distortion = cameras.distortion_params
    if distortion is not None:  # of panoramas nerfstudio ignores it
        distortion = distortion.masked_fill(panorama[:, None], 0)
        distortion = distortion.float() if bool(distortion.any()) else None
    return Cameras(
        c2w=cameras.camera_to_worlds.float(),
        **columns,
        width=cameras.width.view(-1).long(),
        height=cameras.height.view(-1).long(),
        distortion=distortion,
        fisheye=fisheye if bool(fisheye.any()) else None,
        panorama=panorama if bool(panorama.any()) else None,
    )


def cameras_to_studio(
    cameras: Cameras, near: float | None = None, far: float | None = None
) -> StudioCameras:
    """The inverse of `cameras_from_studio`.

    Args:
        cameras: V cameras.
        near, far: bounds of the distance along their rays, for `bounds_of`.
    """
    bounds = {"near": near, "far": far}
    ones = torch.ones(len(cameras), 1)
    perspective = torch.full_like(cameras.width, CameraType.PERSPECTIVE.value)
    kinds = perspective
    if cameras.fisheye is not None:
        kinds = torch.where(cameras.fisheye, CameraType.FISHEYE.value, perspective)
    fx, fy = cameras.fx, cameras.fy
    if cameras.panorama is not None:
        # In nerfstudio a half circle to either side has length 1, as have both quarter circles.
        kinds = torch.where(cameras.panorama, PANORAMA, kinds)
        fx = torch.where(cameras.panorama, fx * math.pi, fx)
        fy = torch.where(cameras.panorama, fy * math.pi, fy)
    return StudioCameras(
        camera_to_worlds=cameras.c2w,
        fx=fx,
        fy=fy,
        cx=cameras.cx,
        cy=cameras.cy,
        width=cameras.width,
        height=cameras.height,
        distortion_params=cameras.distortion,
        camera_type=kinds,
        metadata={name: value * ones for name, value in bounds.items() if value is not None},
    )


def bounds_of(cameras: StudioCameras, near: float, far: float) -> tuple[float, float]:
    """The bounds that `cameras_to_studio` stored with the cameras; otherwise those given."""
    known = cameras.metadata or {}
    return (
        float(known["near"].min()) if "near" in known else near,
        float(known["far"].max()) if "far" in known else far,
    )


class TrainingViews:
    """The training images of a nerfstudio dataset, for fitting to the scene and for carving.

    Args:
        dataset: V images.
        unbounded: whether there is something outside of the scene box too.
        near, far: bounds of the distance along any ray, unless the cameras have their own.
        background: [3] background colour of images without alpha.
    """

    def __init__(
        self,
        dataset: InputDataset,
        unbounded: bool,
        near: float,
        far: float,
        background: torch.Tensor,
    ):
        self.dataset, self.background = dataset, background
        near, far = bounds_of(dataset.cameras, near, far)
        self.cameras = cameras_from_studio(dataset.cameras)
        self.scales = torch.ones(len(self.cameras), dtype=torch.int64)
        self.near, self.far, self.unbounded = near, far, unbounded
        self.aabb = tuple(dataset.scene_box.aabb.flatten().tolist())
        self.has_alpha = any(map(_has_alpha, dataset.image_filenames))
        self.exposures = torch.full((len(self.cameras),), torch.nan)  # nerfstudio reads no EXIF

    def __len__(self) -> int:
        return len(self.cameras)

    def image(self, index: int) -> torch.Tensor:
        """Image `index` as [H, W, 3] float32 in [0, 1], over the background."""
        image = torch.from_numpy(self.dataset.get_numpy_image(index)).float() / 255
        rgb, alpha = image[..., :3], image[..., 3:]
        return rgb if image.shape[2] == 3 else rgb * alpha + (1 - alpha) * self.background

    def alpha(self, index: int) -> torch.Tensor:
        """Opacity of image `index` as [H, W] uint8, 255 where it is opaque."""
        image = self.dataset.get_numpy_image(index)
        if image.shape[2] == 3:
            return torch.full(image.shape[:2], 255, dtype=torch.uint8)
        return torch.from_numpy(image[..., 3])

    def mask(self, index: int) -> torch.Tensor | None:
        """The pixels of image `index` that count, as [H, W] bool, or None if all do."""
        mask = self.dataset.get_data(index, image_type="uint8").get("mask")
        return None if mask is None else mask.squeeze(-1)


def _has_alpha(path: Path) -> bool:
    with Image.open(path) as image:
        return "A" in image.getbands()
