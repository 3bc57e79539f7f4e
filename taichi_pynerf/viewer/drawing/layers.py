"""The values of each pixel from which every display mode starts."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from taichi_pynerf.model.renders import Rendered


@dataclass(frozen=True, eq=False)
class Layers:
    """Float32 maps on the CPU.

    Attributes:
        rgb: [H, W, 3] colour over black.
        depth: [H, W] distance along the ray, world units; 0 where nothing is seen.
        acc: [H, W] opacity.
        level: [H, W] mean pyramid level.
        normals: [H, W, 3] unit normals in the world, zeros where there are none; or None.
    """

    rgb: torch.Tensor
    depth: torch.Tensor
    acc: torch.Tensor
    level: torch.Tensor
    normals: torch.Tensor | None = None

    @classmethod
    def empty(cls, height: int, width: int, normals: bool = False) -> Layers:
        """Empty layers."""
        rgb, normal_map = torch.zeros(height, width, 3), torch.zeros(height, width, 3)
        depth, acc, level = (torch.zeros(height, width) for _ in range(3))
        return cls(rgb, depth, acc, level, normal_map if normals else None)

    def store(self, index: torch.Tensor, rendered: Rendered, normals: torch.Tensor | None) -> None:
        """Put rendered pixels in place; `index` [N] counts pixels row by row."""
        for name in Rendered.__dataclass_fields__:
            getattr(self, name).flatten(0, 1)[index] = getattr(rendered, name).cpu()
        if normals is not None:
            assert self.normals is not None
            self.normals.flatten(0, 1)[index] = normals.cpu()

    def crop(self, box: tuple[int, int, int, int]) -> Layers:
        """A window (left, top, right, bottom) on these layers."""
        left, top, right, bottom = box

        def cut(values: torch.Tensor) -> torch.Tensor:
            return values[top:bottom, left:right]

        return Layers(
            rgb=cut(self.rgb),
            depth=cut(self.depth),
            acc=cut(self.acc),
            level=cut(self.level),
            normals=None if self.normals is None else cut(self.normals),
        )
