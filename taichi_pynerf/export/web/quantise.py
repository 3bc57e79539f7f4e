"""A model in few bits: what a page holds of it, and the model that these numbers mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.model.encodings import PyramidEncoder
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.ops.hash_grid import HashGridSpec

UNSEEN = 255  # the least level of a cell where nothing was trained
RANGE_STEPS = 254  # of the range from the coarsest to the finest level
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
        ranges: uint8 [G, G, G, 2], least and greatest trained level of each cell in steps of
            (L - 1) / `RANGE_STEPS`; the least is `UNSEEN` where nothing was trained.
    """

    model: PyNeRF
    grid: QuantisedGrid
    proposal_grid: QuantisedGrid | None
    ranges: np.ndarray


@torch.no_grad()
def quantise(model: PyNeRF, bits: int = 8) -> QuantisedModel:
    """Round a model's tables to `bits` bits, its weights to half precision, its levels to 1/254.

    Args:
        model: it is not changed.
        bits: of a table's number, 8 or 16.
    """
    twin = PyNeRF(model.config).eval()
    twin.load_state_dict(model.state_dict())
    networks: list[nn.Module] = [twin.field.heads, twin.field.color_heads]
    grid = _quantise_encoder(twin.field.shared_encoder, bits)
    proposal_grid = None
    if twin.proposals is not None:
        proposal_grid = _quantise_encoder(twin.proposals.encoder, bits)
        networks.append(twin.proposals.network)
    for network in networks:
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    return QuantisedModel(twin, grid, proposal_grid, _quantise_ranges(twin))


def _quantise_encoder(encoder: PyramidEncoder, bits: int) -> QuantisedGrid:
    """Round an encoder's table in place."""
    spec, table = encoder.spec, encoder.table_for_torch().detach().cpu()
    rounded, codes, steps = torch.empty_like(table), [], []
    for level, (first, size) in enumerate(zip(spec.level_offsets, spec.level_sizes, strict=True)):
        rows = table[first : first + size]
        step = _step(rows, bits, hashed=not spec.dense(level))
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


def _quantise_ranges(model: PyNeRF) -> np.ndarray:
    """Round the trained levels in place, and forget them where no sample falls."""
    trained, last = model.trained_levels, max(model.field.num_heads - 1, 1)
    state = trained.state_dict()
    low, high = state["level_min"].cpu(), state["level_max"].cpu()
    seen = low <= high
    met = _cells_met(model)
    if met is not None:
        seen &= met
    codes = torch.full((len(low), 2), UNSEEN, dtype=torch.uint8)
    codes[:, 1] = 0
    for column, level in enumerate((low, high)):
        code = (level[seen] * (RANGE_STEPS / last)).round().clamp(0, RANGE_STEPS)
        codes[seen, column] = code.to(torch.uint8)
    step = np.float32(last / RANGE_STEPS)
    levels = codes.float() * float(step)
    trained.load_state_dict(
        {
            "level_min": torch.where(seen, levels[:, 0], torch.inf),
            "level_max": torch.where(seen, levels[:, 1], -torch.inf),
        }
    )
    g = trained.resolution
    return codes.view(g, g, g, 2).numpy()


def _cells_met(model: PyNeRF) -> torch.Tensor | None:
    """bool [G**3]: the cells of the trained levels that a sample can fall in; None for all.

    Known of a bounded scene that is marched. The others need no place in the file.
    """
    occupied, g = model.occupancy.occupied.cpu(), model.trained_levels.resolution
    if model.proposals is not None or model.config.unbounded or len(occupied) > 1:
        return None
    # A cell of one grid is met if any that it overlaps in the other is occupied.
    pooled = torch.nn.functional.adaptive_max_pool3d((occupied != 0)[None].float(), g)
    return pooled.flatten() > 0


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
