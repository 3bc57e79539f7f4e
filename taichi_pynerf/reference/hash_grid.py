"""Multi-resolution hash grid encoding in plain torch."""

import itertools
from typing import Protocol

import torch
from torch import Tensor

HASH_PRIMES = (1, 2654435761, 805459861)


class GridSpec(Protocol):
    """The parts of a `HashGridSpec` that the twin reads."""

    @property
    def resolutions(self) -> tuple[int, ...]: ...
    @property
    def num_levels(self) -> int: ...
    @property
    def hash_table_size(self) -> int: ...
    @property
    def level_offsets(self) -> tuple[int, ...]: ...
    def dense(self, level: int) -> bool: ...


def vertex_index(vertices: Tensor, spec: GridSpec, level: int) -> Tensor:
    """Row of the table that holds a grid vertex.

    In a level whose dense grid fits its table every vertex has its own row. In finer levels,
    vertices share rows by the spatial hash of Instant-NGP (Müller et al. 2022, eq. 4).

    Args:
        vertices: integer vertex coordinates, int64 [..., 3], from 0 to the level's resolution.
        spec: the `HashGridSpec`.
        level: which level of the grid.

    Returns:
        Row of the whole table, int64 [...].
    """
    i, j, k = vertices.unbind(-1)
    if spec.dense(level):
        side = spec.resolutions[level] + 1
        row = i + side * (j + side * k)
    else:
        prime_i, prime_j, prime_k = HASH_PRIMES
        hashed = (i * prime_i) ^ (j * prime_j) ^ (k * prime_k)
        row = (hashed % 2**32) % spec.hash_table_size
    return spec.level_offsets[level] + row


def interpolate_level(positions: Tensor, table: Tensor, spec: GridSpec, level: int) -> Tensor:
    """Trilinear interpolation of one level's features.

    Args:
        positions: [M, 3] in [0, 1].
        table: [num_entries, F].
        spec: the `HashGridSpec`.
        level: which level of the grid.

    Returns:
        Features of that level, [M, F].
    """
    resolution = spec.resolutions[level]
    scaled = positions * resolution
    # The upper face of the box belongs to the last cell.
    cell = scaled.detach().floor().clamp(0, resolution - 1)
    fraction = (scaled - cell)[:, None, :]

    corners = torch.tensor(list(itertools.product((0, 1), repeat=3)))
    weight_x, weight_y, weight_z = torch.where(corners.bool(), fraction, 1 - fraction).unbind(-1)
    weights = weight_x * weight_y * weight_z
    rows = vertex_index(cell.long()[:, None, :] + corners, spec, level)
    return (weights[:, :, None] * table[rows]).sum(dim=1)


def hash_encode(
    positions: Tensor, table: Tensor, spec: GridSpec, level_begin: Tensor | None = None
) -> Tensor:
    """Features of all levels of a multi-resolution hash grid (Müller et al. 2022, section 3).

    Differentiable in `positions` (through the trilinear weights) and in `table`.

    Args:
        positions: [M, 3] in [0, 1].
        table: [num_entries, F].
        spec: the `HashGridSpec`.
        level_begin: int32 [L]; the samples before `level_begin[l]` do not need grid level `l`:
            they get zeros for it, and pass no gradient to it.

    Returns:
        Features, [M, L * F]; the columns of level 0 come first.
    """
    features = []
    for level in range(spec.num_levels):
        level_features = interpolate_level(positions, table, spec, level)
        if level_begin is not None:
            needed = torch.arange(positions.shape[0]) >= level_begin[level]
            level_features = level_features * needed[:, None]
        features.append(level_features)
    return torch.cat(features, dim=1)
