"""Camera models by COLMAP's names, which nerfstudio and instant-ngp use too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from taichi_pynerf.data.scene_files import shown
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.distortion import COEFFICIENTS

PERSPECTIVE_MODELS = (
    "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV",
)  # fmt: skip
FISHEYE_MODELS = (
    "SIMPLE_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "OPENCV_FISHEYE",
    "THIN_PRISM_FISHEYE",
)  # fmt: skip
PANORAMA_MODELS = ("EQUIRECTANGULAR",)
ALIASES = {"SPHERICAL": "EQUIRECTANGULAR", "PERSPECTIVE": "PINHOLE"}
"""Other names of some models."""

# The meaning of each of COLMAP's parameters. Those in capitals must be 0.
_PARAMETERS = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "SIMPLE_FISHEYE": "f cx cy",
    "FISHEYE": "fx fy cx cy",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k1",
    "RADIAL_FISHEYE": "f cx cy k1 k2",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 K4 K5 K6",
    "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "THIN_PRISM_FISHEYE": "fx fy cx cy k1 k2 P1 P2 k3 k4 SX1 SY1",
}

UNDISTORT = (
    "let COLMAP's image_undistorter make images and cameras without distortion, and load these"
)

MAX_SIDE, MAX_FOCAL, MAX_COEFFICIENT = 1e5, 1e7, 1e3
"""Greatest values of a camera: pixels, pixels, and without a unit."""


@dataclass(frozen=True)
class Lens:
    """The intrinsics of one view, in pixels.

    Attributes:
        distortion: k1, k2, k3, k4, p1, p2.
        fisheye, panorama: as in `Cameras`.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = (0.0,) * 6
    fisheye: bool = False
    panorama: bool = False


def panorama_lens(width: int, height: int) -> Lens:
    """The lens of an equirectangular image of the whole sphere; `fx` is in pixels per radian."""
    return Lens(
        width=width,
        height=height,
        fx=width / (2 * math.pi),
        fy=height / math.pi,
        cx=0.5 * width,
        cy=0.5 * height,
        panorama=True,
    )


def angle_of_view(side: float, focal: float, *, in_angles: bool) -> float:
    """The angle in degrees that an image's side spans, without distortion.

    Args:
        side: width or height, pixels.
        focal: focal length along it, pixels.
        in_angles: places are proportional to angles, as in fisheyes and panoramas.
    """
    half = 0.5 * side / focal
    return math.degrees(2.0 * (half if in_angles else math.atan(half)))


def checked_model(where: str, model: object) -> str:
    """The name of a camera model, as COLMAP writes it.

    Raises:
        SceneError: the model is not supported.
    """
    name = model.upper().replace("-", "_") if isinstance(model, str) else model
    name = ALIASES.get(name, name) if isinstance(name, str) else name
    if name not in PERSPECTIVE_MODELS + FISHEYE_MODELS + PANORAMA_MODELS:
        known = ", ".join(PERSPECTIVE_MODELS + FISHEYE_MODELS + PANORAMA_MODELS)
        raise SceneError(
            f"{where}: the camera model {shown(model)} is not known (known: {known}); {UNDISTORT}"
        )
    return name


def lens_from_colmap(
    where: str, model: str, width: int, height: int, parameters: Sequence[float]
) -> Lens:
    """The lens of a camera given as in COLMAP.

    Raises:
        SceneError: its model is not supported, or its parameters are not valid.
    """
    model = checked_model(where, model)
    if not 1 <= min(width, height) <= max(width, height) <= MAX_SIDE:
        raise SceneError(f"{where}: {width}x{height} pixels: a side must be 1 to {MAX_SIDE:g}")
    if model in PANORAMA_MODELS:
        return panorama_lens(width, height)
    names = _PARAMETERS[model].split()
    if len(parameters) != len(names):
        raise SceneError(f"{where}: {model} has {len(names)} parameters, not {len(parameters)}")
    values = dict(zip(names, map(float, parameters), strict=True))
    unknown = [name.lower() for name, value in values.items() if name.isupper() and value != 0.0]
    if unknown:
        raise SceneError(
            f"{where}: the camera model {model} is known with {', '.join(unknown)} at 0 alone; "
            f"{UNDISTORT}"
        )
    lens = Lens(
        width=width,
        height=height,
        fx=values["fx" if "fx" in values else "f"],
        fy=values["fy" if "fy" in values else "f"],
        cx=values["cx"],
        cy=values["cy"],
        distortion=tuple(values.get(name, 0.0) for name in COEFFICIENTS),
        fisheye=model in FISHEYE_MODELS,
    )
    numbers = np.array([lens.fx, lens.fy, lens.cx, lens.cy, *lens.distortion])
    good = np.abs(numbers[:4]).max() <= MAX_FOCAL and np.abs(numbers[4:]).max() <= MAX_COEFFICIENT
    if not good or min(lens.fx, lens.fy) <= 0.0:  # not good if one is NaN
        raise SceneError(f"{where}: the camera's parameters are not valid: {list(numbers)}")
    return lens


def cameras_from_lenses(poses: np.ndarray, lenses: Sequence[Lens]) -> Cameras:
    """Cameras with V poses [V, 3, 4] and V lenses."""

    def column(name: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.tensor([getattr(lens, name) for lens in lenses], dtype=dtype)

    distortion, fisheye = column("distortion"), column("fisheye", torch.bool)
    panorama = column("panorama", torch.bool)
    return Cameras(
        c2w=torch.from_numpy(poses).float(),
        fx=column("fx"),
        fy=column("fy"),
        cx=column("cx"),
        cy=column("cy"),
        width=column("width", torch.int64),
        height=column("height", torch.int64),
        distortion=distortion if distortion.any() else None,
        fisheye=fisheye if fisheye.any() else None,
        panorama=panorama if panorama.any() else None,
    )
