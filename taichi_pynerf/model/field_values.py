"""What a field says of samples, and what is known of them from one call to the next."""

import dataclasses
from collections.abc import Sequence

import torch

from taichi_pynerf.model.heads import LevelSlices


@dataclasses.dataclass(frozen=True)
class FieldOutputs:
    """What the field says of M samples, in the order they were given.

    Attributes:
        sigmas: [M] densities per world unit.
        rgbs: [M, 3] colours in [0, 1].
        slices: the level-sorted order in which the heads worked.
        head_outputs: per head, its rows' outputs (density logit and features) in sorted order;
            none where `PyramidField.one_pass`.
    """

    sigmas: torch.Tensor
    rgbs: torch.Tensor
    slices: LevelSlices
    head_outputs: list[torch.Tensor]


@dataclasses.dataclass(frozen=True)
class FieldCodes:
    """What the field knows of M samples before colours: see `PyramidField.codes`.

    Attributes:
        sigmas: [M] densities per world unit, in the order the samples were given.
        codes: [M, 1 + geo_feature_dim] what the colour network is given, in sorted order.
        rows: int64 [M], where each sample's code is.
        features: [M, F] of the grid, in sorted order; None where each level has its own grid.
    """

    sigmas: torch.Tensor
    codes: torch.Tensor
    rows: torch.Tensor
    features: torch.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class KnownFeatures:
    """What is known of M samples: the grid's features of sample `i` are `rows[index[i]]`.

    Attributes:
        rows: [K, F].
        index: int64 [M].
        codes: [K, 1 + geo_feature_dim] the heads' blended outputs; None: not known.
    """

    rows: torch.Tensor
    index: torch.Tensor
    codes: torch.Tensor | None = None


def known_of(found: Sequence[FieldCodes], index: torch.Tensor) -> KnownFeatures:
    """What one or more calls of `PyramidField.codes` found.

    Args:
        index: int64 [M], the samples' rows in all calls' codes, one call after the other.
    """
    features = [codes.features for codes in found if codes.features is not None]
    return KnownFeatures(torch.cat(features), index, torch.cat([codes.codes for codes in found]))
