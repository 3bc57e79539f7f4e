"""Pinhole cameras: where each view stands, how wide it sees, how many pixels it has.

Axes are OpenGL's: x right, y up, looking along -z. Image coordinates run right and down from the
top left corner of the image, in pixels; the centre of pixel (0, 0) is (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True, eq=False)
class Cameras:
    """The cameras of V views, each field one tensor over the views.

    Attributes:
        c2w: [V, 3, 4] float32, camera-to-world poses: a rotation beside the camera's position.
        fx, fy: [V] float32, focal lengths in pixels.
        cx, cy: [V] float32, the principal point in image coordinates.
        width, height: [V] int64, image sizes in pixels.

    Raises:
        ValueError: a field has another shape or dtype than above.
    """

    c2w: torch.Tensor
    fx: torch.Tensor
    fy: torch.Tensor
    cx: torch.Tensor
    cy: torch.Tensor
    width: torch.Tensor
    height: torch.Tensor

    def __post_init__(self) -> None:
        num_views = len(self.c2w)
        for field in fields(self):
            tensor = getattr(self, field.name)
            shape = (num_views, 3, 4) if field.name == "c2w" else (num_views,)
            dtype = torch.int64 if field.name in ("width", "height") else torch.float32
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                raise ValueError(
                    f"Cameras.{field.name} must be {dtype} of shape {list(shape)}, "
                    f"got {tensor.dtype} of shape {list(tensor.shape)}"
                )

    def __len__(self) -> int:
        return len(self.c2w)

    def to(self, device: torch.device | str) -> Cameras:
        """The same cameras with all tensors on `device`."""
        return Cameras(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def downscaled(self, k: int) -> Cameras:
        """The cameras of the same views whose pixels are `k` times as wide and as high.

        Image coordinates start at the corner of the image, so the intrinsics divide by `k` exactly;
        up to `k - 1` columns and rows that fill no pixel fall off at the right and the bottom.

        Raises:
            ValueError: `k` is less than 1, or would leave an image without pixels.
        """
        if k < 1:
            raise ValueError(f"cameras are downscaled by a factor of 1 or more, not {k}")
        width, height = self.width // k, self.height // k
        if len(self) and min(width.min(), height.min()) < 1:
            raise ValueError(f"downscaling by {k} would leave an image without pixels")
        return Cameras(
            c2w=self.c2w,
            fx=self.fx / k,
            fy=self.fy / k,
            cx=self.cx / k,
            cy=self.cy / k,
            width=width,
            height=height,
        )

    @staticmethod
    def cat(parts: Sequence[Cameras]) -> Cameras:
        """All views of `parts`, one part after the other."""
        return Cameras(
            **{
                f.name: torch.cat([getattr(part, f.name) for part in parts])
                for f in fields(Cameras)
            }
        )


def look_at(
    eye: Sequence[float] | torch.Tensor,
    target: Sequence[float] | torch.Tensor,
    up: Sequence[float] | torch.Tensor = (0.0, 0.0, 1.0),
) -> torch.Tensor:
    """The [3, 4] float32 pose of a camera at `eye` that looks at `target`, with `up` upwards.

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
