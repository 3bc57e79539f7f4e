"""A model in few bits: what a page holds of it, and the model that these numbers mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.web.ranges import quantise_ranges
from taichi_pynerf.export.web.reach import entries_reached
from taichi_pynerf.model.encodings import PyramidEncoder
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.ops.hash_grid import HashGridSpec

STEPS_PER_RMS = 4  # of a hashed level in 8 bits

_NUMPY = {8: np.int8, 16: np.int16}


@dataclass(frozen=True, eq=False)
class QuantisedGrid:
    """A hash grid in whole numbers.

    Attributes:
        spec: the grid's shape.
        codes: per level int8 or int16 [entries, features].
        steps: per level what a code of 1 stands for.
    """

    spec: HashGridSpec
    codes: list[np.ndarray]
    steps: list[float]

    @property
    def bits(self) -> int:
        return 8 * self.codes[0].itemsize


@dataclass(frozen=True, eq=False)
class QuantisedModel:
    """What a page holds of a model.

    Attributes:
        model: an ordinary model that renders what the page shows: its tables, weights and trained
            levels are the quantised ones.
        grid: the field's features.
        proposal_grid: the small field's; None with other samplers.
        ranges: uint8 [R, R, R, 2] of `quantise_ranges`, the trained levels.
    """

    model: PyNeRF
    grid: QuantisedGrid
    proposal_grid: QuantisedGrid | None
    ranges: np.ndarray


@torch.no_grad()
def quantise(model: PyNeRF, bits: int = 8) -> QuantisedModel:
    """Round a model's tables to `bits` bits, its weights to half precision, and its trained levels.

    Args:
        model: it is not changed.
        bits: of a table's number, 8 or 16.
    """
    twin = PyNeRF(model.config).eval()
    twin.load_state_dict(model.state_dict())
    networks: list[nn.Module] = [twin.field.heads, twin.field.color_heads]
    ranges = quantise_ranges(twin)  # the levels that are read follow from them
    grid = _quantise_encoder(twin.field.shared_encoder, bits, entries_reached(twin))
    proposal_grid = None
    if twin.proposals is not None:
        small = twin.proposals.encoder
        proposal_grid = _quantise_encoder(small, bits, [None] * small.spec.num_levels)
        networks.append(twin.proposals.network)
    for network in networks:
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    return QuantisedModel(twin, grid, proposal_grid, ranges)


def _quantise_encoder(
    encoder: PyramidEncoder, bits: int, reached: list[torch.Tensor | None]
) -> QuantisedGrid:
    """Round an encoder's table in place; entries that no sample reaches become 0.

    Args:
        reached: per level bool [entries]; None for all.
    """
    spec, table = encoder.spec, encoder.table_for_torch().detach().cpu()
    rounded, codes, steps = torch.empty_like(table), [], []
    for level, (first, size) in enumerate(zip(spec.level_offsets, spec.level_sizes, strict=True)):
        rows, read = table[first : first + size], reached[level]
        if read is not None:
            rows = rows * read.unsqueeze(1)
        used = rows if read is None or not read.any() else rows[read]
        step = _step(used, bits, hashed=not spec.dense(level))
        most = 2 ** (bits - 1) - 1
        code = (rows / step).round().clamp(-most, most)
        rounded[first : first + size] = code * step
        codes.append(code.numpy().astype(_NUMPY[bits]))
        steps.append(step)
    encoder.load_state_dict({"table": rounded})
    return QuantisedGrid(spec, codes, steps)


def _step(rows: torch.Tensor, bits: int, hashed: bool) -> float:
    """The width of a step, as a float32 number.

    The largest number takes all bits. Most are far smaller: in 8 bits a hashed level, whose entries
    are noisy with what collides in them, has steps of a quarter of its numbers' root mean square.
    That costs some hundredths of a dB and saves a third of the file.
    """
    step = rows.abs().max() / (2 ** (bits - 1) - 1)
    if hashed and bits == 8:
        step = torch.maximum(step, rows.square().mean().sqrt() / STEPS_PER_RMS)
    return float(step.clamp_min(1e-12))


@torch.no_grad()
def without_finest_levels(model: PyNeRF, num_levels: int) -> PyNeRF:
    """The same scene with its `num_levels` coarsest pyramid levels: an ordinary, coarser model.

    Heads see features of their own level and coarser ones only, so what is left is whole.

    Raises:
        ConfigError: the model has a single head, which sees all levels.
    """
    if model.field.num_heads == 1:
        raise ConfigError(
            "a single level's one head needs the whole grid, so no level of it can be left out: "
            "train with the pyramid (without --single_level)"
        )
    coarser = PyNeRF(model.config.replace(num_levels=num_levels)).eval()
    state = model.state_dict()
    kept = {
        name: state[name][: len(tensor)] if name.endswith(".table") else state[name]
        for name, tensor in coarser.state_dict().items()
    }
    for name in ("level_min", "level_max"):
        levels = kept[f"trained_levels.{name}"]
        # Infinite where nothing was trained, and it stays so.
        kept[f"trained_levels.{name}"] = torch.where(
            levels.isfinite(), levels.clamp_max(num_levels - 1), levels
        )
    coarser.load_state_dict(kept)
    return coarser
