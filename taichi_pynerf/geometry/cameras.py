"""Cameras: the pose, the lens and the image size of each view.

Axes are OpenGL's: x right, y up, looking along -z. Image coordinates run right and down from the
top left corner of the image, in pixels; the centre of pixel (0, 0) is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch

from taichi_pynerf.geometry.distortion import (
    COEFFICIENTS,
    distort,
    fold_radius,
    has_inverse,
    undistort,
)


@dataclass(frozen=True, eq=False)
class Cameras:
    """The cameras of V views, each field one tensor over the views.

    Attributes:
        c2w: [V, 3, 4] float32, camera-to-world poses: a rotation beside the camera's position.
        fx, fy: [V] float32, focal lengths in pixels.
        cx, cy: [V] float32, the principal point in image coordinates.
        width, height: [V] int64, image sizes in pixels.
        distortion: [V, 6] float32, the lens's k1, k2, k3, k4, p1, p2 (see `distortion`), or None
            if no view has any.
        fisheye: [V] bool, whether the lens is a fisheye, which maps angles to the image instead of
            points of a plane; None if no lens is.
        panorama: [V] bool, whether the image is equirectangular: columns are longitudes, rows are
            latitudes, and fx, fy are pixels per radian; None if no image is.
        orthographic: [V] bool, whether all rays are parallel: fx, fy are pixels per world unit;
            None if no view is.
        eye_distance: [V] float32, for panoramas that are stereo pairs (VR180): the distance between
            the eyes, world units. Half spheres as the left and the right eye see them lie side by
            side. cx is the middle of the left one, and the right one begins at 2 cx. 0 means no
            pair; None if there are no pairs.

    Raises:
        ValueError: the shape or dtype of a field is not as above.
    """

    c2w: torch.Tensor
    fx: torch.Tensor
    fy: torch.Tensor
    cx: torch.Tensor
    cy: torch.Tensor
    width: torch.Tensor
    height: torch.Tensor
    distortion: torch.Tensor | None = None
    fisheye: torch.Tensor | None = None
    panorama: torch.Tensor | None = None
    orthographic: torch.Tensor | None = None
    eye_distance: torch.Tensor | None = None

    def __post_init__(self) -> None:
        num_views = len(self.c2w)
        shapes = {"c2w": (num_views, 3, 4), "distortion": (num_views, len(COEFFICIENTS))}
        dtypes = dict.fromkeys(("width", "height"), torch.int64)
        dtypes |= dict.fromkeys(("fisheye", "panorama", "orthographic"), torch.bool)
        for name, tensor in self._tensors().items():
            shape, dtype = shapes.get(name, (num_views,)), dtypes.get(name, torch.float32)
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                raise ValueError(
                    f"Cameras.{name} must be {dtype} of shape {list(shape)}, "
                    f"got {tensor.dtype} of shape {list(tensor.shape)}"
                )

    def __len__(self) -> int:
        return len(self.c2w)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """The fields that are not None, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in values.items() if tensor is not None}

    def to(self, device: torch.device | str) -> Cameras:
        """The same cameras with all tensors on `device`."""
        return Cameras(**{name: tensor.to(device) for name, tensor in self._tensors().items()})

    def select(self, indices: Sequence[int] | torch.Tensor) -> Cameras:
        """The cameras of some views, in the order of `indices`."""
        indices = torch.as_tensor(indices, dtype=torch.int64, device=self.c2w.device)
        return Cameras(**{name: tensor[indices] for name, tensor in self._tensors().items()})

    def downscaled(self, k: int) -> Cameras:
        """The cameras of the same views whose pixels are `k` times as wide and as high.

        Image coordinates start at the corner of the image, so the intrinsics are divided by `k`
        exactly. Up to `k - 1` columns and rows that do not fill a pixel are cut off at the right
        and the bottom.

        Raises:
            ValueError: `k` is less than 1, or would leave an image without pixels.
        """
        if k < 1:
            raise ValueError(f"cameras are downscaled by a factor of 1 or more, not {k}")
        width, height = self.width // k, self.height // k
        if len(self) and min(width.min(), height.min()) < 1:
            raise ValueError(f"downscaling by {k} would leave an image without pixels")
        return replace(
            self,
            fx=self.fx / k,
            fy=self.fy / k,
            cx=self.cx / k,
            cy=self.cy / k,
            width=width,
            height=height,
        )

    def resized(self, width: torch.Tensor, height: torch.Tensor) -> Cameras:
        """The cameras of the same views, with whole images resampled to new sizes [V]."""
        x, y = (width / self.width).float(), (height / self.height).float()
        return replace(
            self,
            fx=self.fx * x,
            fy=self.fy * y,
            cx=self.cx * x,
            cy=self.cy * y,
            width=width,
            height=height,
        )

    @property
    def perspective(self) -> bool:
        """Whether all views are of perspective lenses, distorted or not."""
        others = self.fisheye, self.panorama, self.orthographic, self.eye_distance
        return all(kind is None for kind in others)

    def is_panorama(self, view: int) -> bool:
        """Whether a view's image is equirectangular."""
        return self.panorama is not None and bool(self.panorama[view])

    def is_orthographic(self, view: int) -> bool:
        """Whether a view's rays are parallel."""
        return self.orthographic is not None and bool(self.orthographic[view])

    def is_fisheye(self, view: int) -> bool:
        """Whether a view's lens is a fisheye."""
        return self.fisheye is not None and bool(self.fisheye[view])

    def project(self, view: int, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Project world points into one view: the inverse of its rays.

        Args:
            view: index of the view.
            points: [N, 3] float32, in the world.

        Returns:
            pixels: [N, 2] float32, image coordinates (x, y), inside of the image or not; NaN for
                points that the lens cannot see: those behind a perspective camera, and those
                beyond the fold of the distortion.
            depth: [N] float32, distance along the optical axis, for panoramas from the camera,
                world units. For a stereo pair both are those of a single eye in the middle.
        """
        c2w = self.c2w[view]
        # The true inverse, as poses from files are only nearly rotations.
        x, y, z = ((points - c2w[:, 3]) @ torch.linalg.inv(c2w[:, :3]).T).unbind(-1)
        y, depth = -y, -z
        if self.is_panorama(view):
            angles = torch.atan2(x, depth), torch.atan2(y, torch.hypot(x, depth))
            distance = torch.sqrt(x * x + y * y + depth * depth)
            return self._to_pixels(view, *angles), distance
        if self.is_orthographic(view):
            return self._to_pixels(view, x, y).masked_fill(depth[:, None] <= 0, math.nan), depth
        if self.is_fisheye(view):
            radius = torch.hypot(x, y)
            stretch = torch.atan2(radius, depth) / radius.clamp_min(1e-12)
            seen = torch.ones_like(x, dtype=torch.bool)
        else:
            seen = depth > 0.0
            stretch = 1.0 / torch.where(seen, depth, 1.0)
        x, y = x * stretch, y * stretch
        if self.distortion is not None:
            seen &= torch.hypot(x, y) <= fold_radius(self.distortion[view].tolist())
            x, y = distort(x, y, self.distortion[view])
        return self._to_pixels(view, x, y).masked_fill(~seen[:, None], math.nan), depth

    def _to_pixels(self, view: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Image coordinates [N, 2] of points (x, y) in units of the focal lengths."""
        return torch.stack(
            [x * self.fx[view] + self.cx[view], y * self.fy[view] + self.cy[view]], dim=-1
        )

    def pixels_with_rays(self, view: int) -> torch.Tensor | None:
        """bool [H, W]: which pixels have a ray through the lens; None if all have.

        Far from the axis the polynomial of a distorted lens may fold back. The corners of a
        fisheye's image may lie outside of its circle.
        """
        if self.is_panorama(view) or self.is_orthographic(view):
            return None
        if self.distortion is None and not self.is_fisheye(view):
            return None
        width, height = int(self.width[view]), int(self.height[view])
        rows, columns = torch.arange(height), torch.arange(width)
        corner_rows, corner_columns = rows[[0, -1]], columns[[0, -1]]
        # The region that a lens sees has no holes: if it sees the border, it sees everything.
        border = [
            self._has_rays(view, corner_rows[:, None], columns[None]),
            self._has_rays(view, rows[:, None], corner_columns[None]),
        ]
        if all(bool(part.all()) for part in border):
            return None
        blocks = rows[:, None].split(256)
        return torch.cat([self._has_rays(view, block, columns[None]) for block in blocks])

    def pixels_with_rays_of(self, views: Sequence[int]) -> list[torch.Tensor | None]:
        """`pixels_with_rays` of several views; those through the same lens share one tensor."""
        known: dict[tuple, torch.Tensor | None] = {}
        lenses = [x.reshape(len(self), -1) for name, x in self._tensors().items() if name != "c2w"]
        found = []
        for view in views:
            lens = tuple(value for part in lenses for value in part[view].tolist())
            if lens not in known:
                known[lens] = self.pixels_with_rays(view)
            found.append(known[lens])
        return found

    def _has_rays(self, view: int, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Whether pixels have rays: bool, in the broadcast shape of `rows` and `columns`."""
        x = (columns + 0.5 - self.cx[view].cpu()) / self.fx[view].cpu()
        y = (rows + 0.5 - self.cy[view].cpu()) / self.fy[view].cpu()
        x, y = torch.broadcast_tensors(x, y)
        found = torch.ones_like(x, dtype=torch.bool)
        if self.distortion is not None:
            coefficients = self.distortion[view].cpu()
            found = has_inverse(x, y, coefficients.tolist())
            x, y, _ = undistort(x, y, coefficients)
        if self.is_fisheye(view):
            found &= torch.hypot(x, y) < math.pi - 1e-3
        return found

    @staticmethod
    def cat(parts: Sequence[Cameras]) -> Cameras:
        """All views of `parts`, one part after the other."""
        joined = {}
        for field in fields(Cameras):
            tensors = [getattr(part, field.name) for part in parts]
            known = next((tensor for tensor in tensors if tensor is not None), None)
            if known is not None:
                joined[field.name] = torch.cat(
                    [
                        known.new_zeros(len(part), *known.shape[1:]) if tensor is None else tensor
                        for part, tensor in zip(parts, tensors, strict=True)
                    ]
                )
        return Cameras(**joined)


def look_at(
    eye: Sequence[float] | torch.Tensor,
    target: Sequence[float] | torch.Tensor,
    up: Sequence[float] | torch.Tensor = (0.0, 0.0, 1.0),
) -> torch.Tensor:
    """The pose float32 [3, 4] of a camera at `eye` that looks at `target`, with `up` upwards.

    Raises:
        ValueError: `eye` and `target` coincide, or `up` points along the view.
    """
    eye, target, up = (torch.as_tensor(v, dtype=torch.float64) for v in (eye, target, up))
    backward = eye - target
    right = torch.linalg.cross(up, backward)
    if right.norm() <= 1e-9 * up.norm() * backward.norm():
        raise ValueError("look_at needs eye != target and an up that is not along the view")
    z = backward / backward.norm()
    x = right / right.norm()
    y = torch.linalg.cross(z, x)
    return torch.stack([x, y, z, eye], dim=1).float()
