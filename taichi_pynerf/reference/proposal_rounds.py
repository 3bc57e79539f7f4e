"""Where the samples of rays should fall, as a small density field says, in plain torch."""

from collections.abc import Callable

import torch
from torch import Tensor

from taichi_pynerf.reference.proposals import interval_middles
from taichi_pynerf.reference.resampling import sample_pdf


def proposal_rounds(
    rays_o: Tensor,
    rays_d: Tensor,
    ends: Tensor,
    offsets: Tensor,
    density: Callable[[Tensor], Tensor],
    *,
    num_rounds: int,
    per_round: int,
    num_samples: int,
    turn: float,
    explore: float,
    size: float,
    unbounded: bool,
) -> Tensor:
    r"""Borders [N, S + 1] of the samples of N rays, from the rounds of a small field.

    In each round, with depths :math:`\tau_i = \sigma_i \, \ell_i` of its intervals,

    .. math::
        w_i = e^{-\sum_{j < i} \tau_j} (1 - e^{-\tau_i}), \qquad
        w'_i = \tfrac12 (\max(w_{i-1}, w_i) + \max(w_i, w_{i+1}))

    and the next round draws from :math:`w'`.

    Args:
        density: maps field positions [M, 3] to densities [M]; all else as in
            `ops.proposal_rounds`.
    """
    borders, weights = ends, torch.ones_like(ends[:, :1])
    for k in range(num_rounds):
        borders = draw_borders(borders, weights, per_round, (offsets + (k + 1) * turn) % 1, explore)
        positions, lengths = interval_middles(rays_o, rays_d, borders, size, unbounded)
        depths = density(positions.view(-1, 3)).view_as(lengths) * lengths
        weights = widened(torch.exp(depths - depths.cumsum(1)) * (1 - torch.exp(-depths)))
    return draw_borders(borders, weights, num_samples, offsets, explore)


def widened(weights: Tensor) -> Tensor:
    """Weights [N, B] that reach into the neighbouring bins."""
    padded = torch.cat([weights[:, :1], weights, weights[:, -1:]], 1)
    larger = torch.maximum(padded[:, :-1], padded[:, 1:])
    return (larger[:, :-1] + larger[:, 1:]) / 2


def draw_borders(
    borders: Tensor, weights: Tensor, num_samples: int, offsets: Tensor, explore: float
) -> Tensor:
    r"""Borders [N, S + 1] at equal shares of a histogram's weight, the ends included.

    The inner ones lie where the cumulative distribution of

    .. math::
        p_i = (1 - \epsilon) \, w_i / \textstyle\sum w + \epsilon \, |i| / \textstyle\sum |i|

    reaches :math:`(s + \text{offset}) / (S - 1)`, :math:`\epsilon` being `explore`.
    """
    lengths = borders.diff(dim=1)
    even = lengths / lengths.sum(1, keepdim=True).clamp_min(1e-12)
    shares = weights / weights.sum(1, keepdim=True).clamp_min(1e-8)
    steps = torch.arange(num_samples - 1, dtype=borders.dtype)
    u = (steps + offsets[:, None]) / (num_samples - 1)
    inner = sample_pdf(borders, (1 - explore) * shares + explore * even, u)
    return torch.cat([borders[:, :1], inner, borders[:, -1:]], 1)
