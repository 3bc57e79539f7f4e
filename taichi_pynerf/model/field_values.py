"""Values of a field at samples, and what is kept of them from one call to the next."""

import dataclasses
from collections.abc import Sequence

import torch

from taichi_pynerf.model.heads import LevelSlices


@dataclasses.dataclass(frozen=True)
class FieldOutputs:
    """The field's values at M samples, in the order in which they were given.

    Attributes:
        sigmas: [M] densities per world unit.
        rgbs: [M, 3] colours in [0, 1].
        slices: the level-sorted order in which the heads worked; None where they worked on tiles.
        head_outputs: per head, the outputs of its rows (density logit and features) in sorted
            order; empty with `PyramidField.one_pass`.
    """

    sigmas: torch.Tensor
    rgbs: torch.Tensor
    slices: LevelSlices | None = None
    head_outputs: list[torch.Tensor] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class FieldCodes:
    """The field's values at M samples before colours: see `PyramidField.codes`.

    Attributes:
        sigmas: [M] densities per world unit, in the order in which the samples were given.
        codes: [R, 1 + geo_feature_dim] inputs of the colour network, sorted by level.
        rows: int64 [M] the row of each sample's code.
        features: [R, F] grid features, sorted likewise; None if each level has its own grid.
    """

    sigmas: torch.Tensor
    codes: torch.Tensor
    rows: torch.Tensor
    features: torch.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class KnownFeatures:
    """Features already computed for M samples: those of sample `i` are `rows[index[i]]`.

    Attributes:
        rows: [K, F] grid features.
        index: int64 [M] the row of each sample.
        codes: [K, 1 + geo_feature_dim] the heads' blended outputs; None if not known.
    """

    rows: torch.Tensor
    index: torch.Tensor
    codes: torch.Tensor | None = None


def known_of(found: Sequence[FieldCodes], index: torch.Tensor) -> KnownFeatures:
    """The results of one or more calls of `PyramidField.codes`, put together.

    Args:
        found: the results.
        index: int64 [M] the samples' rows in the results laid end to end.
    """
    features = [codes.features for codes in found if codes.features is not None]
    return KnownFeatures(torch.cat(features), index, torch.cat([codes.codes for codes in found]))
