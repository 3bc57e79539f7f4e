"""The trainable encoding of positions."""

from typing import Any

import torch
from torch import nn

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.model.pyramid import create_pyramid_hierarchy
from taichi_pynerf.ops.bridge import once_differentiable
from taichi_pynerf.ops.hash_grid import HashGridSpec, hash_encode
from taichi_pynerf.ops.residence import keep_on_device, to_host
from taichi_pynerf.ops.touched_rows import mark_touched_rows


def table_bytes(config: PyNeRFConfig) -> int:
    """Size of a model's hash tables in bytes, in 32-bit numbers.

    Raises:
        ConfigError: the kernels cannot reach so many entries.
    """
    assert isinstance(config.max_resolution, int)  # PyNeRF refuses "auto"
    resolutions = create_pyramid_hierarchy(
        config.num_levels, config.base_resolution, config.scale_factor, config.max_resolution
    )
    shared = config.share_feature_grid or config.single_level
    counts = [len(resolutions)] if shared else range(1, len(resolutions) + 1)
    features, size = config.features_per_level, config.hash_table_size
    grids = (HashGridSpec(tuple(resolutions[:count]), features, size) for count in counts)
    return sum(4 * grid.num_entries * features for grid in grids)


class PyramidEncoder(nn.Module):
    """A multi-resolution hash grid whose levels are the levels of the pyramid.

    Args:
        num_levels, base_resolution, max_resolution, scale_factor: the resolutions, as in
            `create_pyramid_hierarchy`.
        features_per_level: features per table entry.
        hash_table_size: entries per level at most, a power of two.

    Attributes:
        table: [E, features_per_level], the entries of all levels.
        accumulate_in_place: whether backward passes add the table's gradient into `table.grad`.
            Otherwise each pass allocates a tensor as large as the table.

    Example:
        >>> PyramidEncoder(num_levels=4, hash_table_size=2**14)(torch.rand(10, 3)).shape
        torch.Size([10, 16])
    """

    def __init__(
        self,
        num_levels: int = 8,
        base_resolution: int = 16,
        max_resolution: int = 2048,
        features_per_level: int = 4,
        hash_table_size: int = 2**20,
        scale_factor: float = 2.0,
    ):
        super().__init__()
        resolutions = create_pyramid_hierarchy(
            num_levels, base_resolution, scale_factor, max_resolution
        )
        self.spec = HashGridSpec(tuple(resolutions), features_per_level, hash_table_size)
        self.table = nn.Parameter(torch.empty(self.spec.num_entries, features_per_level))
        nn.init.uniform_(self.table, -1e-4, 1e-4)  # instant-ngp, section 4
        keep_on_device(self.table)
        self.accumulate_in_place = False

    @property
    def total_features(self) -> int:
        return self.spec.num_features

    def forward(
        self,
        positions: torch.Tensor,
        level_begin: torch.Tensor | None = None,
        known_features: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Encode positions.

        Args:
            positions: [N, 3] in [0, 1].
            level_begin, known_features: see `taichi_pynerf.ops.hash_grid.hash_encode`.

        Returns:
            [N, total_features], coarsest level first.
        """
        into = None
        if self.accumulate_in_place and torch.is_grad_enabled():
            if self.table.grad is None:
                self.table.grad = mark_touched_rows(keep_on_device(torch.zeros_like(self.table)))
            into = self.table.grad
        return hash_encode(
            positions, self.table, self.spec, level_begin,
            accumulate_into=into, known_features=known_features,
        )  # fmt: skip

    def table_for_torch(self) -> torch.Tensor:
        """The current table [E, F], for torch to read. Gradients through it reach the table."""
        into = self.table.grad if self.accumulate_in_place else None
        return _ReadTable.apply(to_host(self.table), into)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        to_host(self.table)
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        to_host(self.table)
        super()._load_from_state_dict(*args, **kwargs)


class _ReadTable(torch.autograd.Function):
    """Identity, whose gradient joins the one that kernels gather, on whichever device holds it."""

    @staticmethod
    def forward(
        ctx: Any, table: torch.Tensor, accumulate_into: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.accumulate_into = accumulate_into
        return table.view_as(table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, None]:
        if ctx.accumulate_into is None:
            return grad, None
        to_host(ctx.accumulate_into).add_(grad)
        return None, None
