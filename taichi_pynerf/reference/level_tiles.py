"""Samples in tiles of one pyramid level each, and the outputs' activations, in plain torch."""

import torch
from torch import Tensor


def level_tiles(
    levels: Tensor, num_levels: int, two_heads: bool, num_places: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Sort samples by their lower level, and cut each level into tiles.

    Args:
        levels: [M] continuous pyramid levels.
        num_levels: L.
        two_heads: whether a sample uses the upper head too.
        num_places: places of a tile.

    Returns:
        samples [P], places [M], levels [B], shares [P, 1 or 2] and level_begin [L], as in
        `ops.level_tiles.LevelTiles`.
    """
    levels = levels.clamp(0, num_levels - 1)
    lower = levels.floor() if two_heads else levels.round()
    fraction = levels - lower if two_heads else torch.zeros_like(levels)
    num_tiles = len(levels) // num_places + num_levels
    samples = torch.zeros(num_tiles * num_places, dtype=torch.int64)
    places = torch.zeros(len(levels), dtype=torch.int64)
    shares = levels.new_zeros(num_tiles * num_places, 1 + two_heads)
    tile_levels = torch.full((num_tiles,), num_levels - 1)
    begins, tile = [], 0
    for level in range(num_levels):
        begins.append(tile * num_places)
        own = (lower == level).nonzero().squeeze(1)
        where = tile * num_places + torch.arange(len(own))
        samples[where], places[own], shares[where, 0] = own, where, 1 - fraction[own]
        if two_heads:
            shares[where, 1] = fraction[own]
        needed = -(-len(own) // num_places)
        tile_levels[tile : tile + needed] = level
        tile += needed
    lowest = [begins[max(level - 1, 0)] for level in range(num_levels)] if two_heads else begins
    return samples, places, tile_levels, shares, torch.tensor(lowest, dtype=torch.int32)


def activate(
    codes: Tensor, logits: Tensor, places: Tensor, max_logit: float
) -> tuple[Tensor, Tensor]:
    """Densities [M] and colours [M, 3] of the samples at places [M] of codes and logits."""
    bounded = codes[:, 0] + (codes[:, 0].clamp(max=max_logit) - codes[:, 0]).detach()
    return bounded[places].exp(), torch.sigmoid(logits)[places]
