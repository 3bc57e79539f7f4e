"""Proposals: a small density field that says where along a ray the samples should fall.

Mip-NeRF 360 (Barron et al. 2022, section 3.1): the small field is evaluated in rounds. Each round
draws its samples from the weights of the round before. The large field is evaluated only at the
last, few samples. The small field has no colours. It learns to bound the weights of the large field
from above (`training.losses.proposal_loss`).

The samples of a ray depend on its histogram alone. No cells are taken as empty, so nothing in a
picture ends at the border of a cell.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.geometry.ruled_out import RuledOut
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.encodings import PyramidEncoder
from taichi_pynerf.model.field import truncated_exp
from taichi_pynerf.model.heads import mlp
from taichi_pynerf.ops.placement import interval_middles
from taichi_pynerf.ops.proposal_rounds import SmallField, proposal_rounds
from taichi_pynerf.ops.resampling import sample_pdf

NUM_LEVELS, BASE_RESOLUTION, FEATURES_PER_LEVEL = 4, 32, 2
HASH_TABLE_SIZE, HIDDEN_DIM = 2**17, 16
EXPLORE = 0.02  # share of the samples that fall anywhere on a ray
GOLDEN = 0.618034  # golden ratio; its multiples modulo 1, the rounds' offsets, spread evenly
FIRST_LOOK = 0.06  # share of the training after which only `EXPLORE` of the samples fall anywhere
FIRST_LESSONS = 256  # steps, all of which teach the small field


class Histogram(NamedTuple):
    """Weights along N rays.

    Attributes:
        borders: [N, S + 1] ascending, in the box's spacing.
        weights: [N, S] share of the light that ends in each interval.
    """

    borders: torch.Tensor
    weights: torch.Tensor


class Proposed(NamedTuple):
    """The results of the sampler "proposal" for N rays.

    Attributes:
        borders: [N, S + 1] of the samples, in the box's spacing.
        rounds: the weights of each round of the small field; none where it does not learn.
    """

    borders: torch.Tensor
    rounds: tuple[Histogram, ...]


class ProposalNetwork(nn.Module):
    """The small field: a hash grid of few levels and a narrow network, without a pyramid.

    Args:
        config: gives the scene box, and `proposal_resolution`: cells of the finest level across
            the field.
    """

    def __init__(self, config: PyNeRFConfig):
        super().__init__()
        self.box = SceneBox(config.aabb, config.unbounded, config.num_cascades)
        finest = config.proposal_resolution
        self.encoder = PyramidEncoder(
            num_levels=NUM_LEVELS,
            base_resolution=BASE_RESOLUTION,
            max_resolution=finest,
            features_per_level=FEATURES_PER_LEVEL,
            hash_table_size=HASH_TABLE_SIZE,
            scale_factor=(finest / BASE_RESOLUTION) ** (1 / (NUM_LEVELS - 1)),
        )
        self.network = mlp([self.encoder.total_features, HIDDEN_DIM, 1])
        self.shape = SmallField(self.encoder.spec, HIDDEN_DIM, config.unbounded)

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """Densities [M] at field positions [M, 3], per world unit.

        Of an unbounded scene they are per size of what is around (`SceneBox.closeness`).
        """
        return truncated_exp(self.network(self.encoder(positions)).squeeze(-1))


def propose(
    network: Callable[[torch.Tensor], torch.Tensor],
    box: SceneBox,
    rays: Rays,
    config: PyNeRFConfig,
    generator: torch.Generator | None = None,
    explore: float = EXPLORE,
    learn: bool = True,
    step: float = 1.0,
    *,
    ruled_out: RuledOut | None = None,
) -> Proposed:
    """Where the samples of the large field should fall.

    Args:
        network: the small field, or any function from field positions to densities. A
            `ProposalNetwork` that does not learn is asked by one kernel for all rounds.
        box: the scene box; its cascades say how far rays are followed.
        rays: N rays. No gradient reaches them from here.
        config: the rounds, and the number of samples of each round and of the large field.
        generator: jitters the samples; without it they are the same at every call.
        explore: share of the samples that fall anywhere on a ray.
        learn: whether the rounds are wanted too, differentiable in the network.
        step: length of the intervals as a share of training's: fewer samples or more.
        ruled_out: cells that count as empty, whatever the network says.
    """
    per_round, num_samples = (
        round(count / step) for count in (config.proposal_samples, config.fine_samples)
    )
    origins, dirs, ends = box.enter(rays)
    ends = box.to_spacing(ends)
    offset, turn = torch.full_like(ends[:, :1], 0.5), 0.0
    if generator is not None:  # one number per ray, shared by all rounds: see `Workers.own_draws`
        offset = torch.rand(offset.shape, generator=generator, device=offset.device)
        turn = GOLDEN
    if not learn and isinstance(network, ProposalNetwork):
        inner, outer = network.network.parameters()
        cells = ruled_out.cells if ruled_out is not None and ruled_out.has_cells else None
        borders = proposal_rounds(
            origins, dirs, ends, offset.squeeze(1), network.encoder.table, inner, outer,
            network.shape, cells, num_rounds=config.proposal_rounds, per_round=per_round,
            num_samples=num_samples, turn=turn, explore=explore, size=box.size,
        )  # fmt: skip
        return Proposed(borders, ())
    found, rounds = Histogram(ends, ends.new_ones(len(rays), 1)), []
    for number in range(config.proposal_rounds):
        shifted = (offset + (number + 1) * turn) % 1
        borders = draw_borders(found, per_round, shifted, explore)
        positions, lengths = interval_middles(origins, dirs, borders, box.size, box.unbounded)
        with torch.set_grad_enabled(learn):
            sigmas = network(positions.view(-1, 3))
            sigmas = sigmas if ruled_out is None else ruled_out.leave(sigmas, positions.view(-1, 3))
            weights = histogram_weights(sigmas.view_as(lengths) * lengths)
        if learn:
            rounds.append(Histogram(borders, weights))
        found = Histogram(borders, widened(weights.detach()))
    return Proposed(draw_borders(found, num_samples, offset, explore), tuple(rounds))


def histogram_weights(depths: torch.Tensor) -> torch.Tensor:
    """Compositing weights of rays that all have as many samples (NeRF, eq. 3). Differentiable.

    Args:
        depths: [N, S] optical depths of their intervals, densities times lengths.

    Returns:
        [N, S]; the sum along a ray is its opacity.
    """
    before = depths.cumsum(-1) - depths
    return (-before).exp() * -torch.expm1(-depths)


def widened(weights: torch.Tensor) -> torch.Tensor:
    """Weights [N, S] that reach into the neighbouring intervals (Mip-NeRF, section 3.2).

    Each is the mean of its maxima with either neighbour. So samples surround a surface even if it
    lies close to the border of an interval, or if the field has moved it a little since.
    """
    padded = torch.nn.functional.pad(weights, (1, 1), mode="replicate")
    larger = torch.maximum(padded[:, :-1], padded[:, 1:])
    return (larger[:, :-1] + larger[:, 1:]) / 2


def explore_share(progress: float) -> float:
    """Share of the samples that fall anywhere, when `progress` of the training is done.

    At first it is 1. Before the small field has learned anything, its weights are chance. Samples
    drawn from them would see a few places alone, and confirm what they see.
    """
    return max(EXPLORE, 1 - progress / FIRST_LOOK)


def learns(config: PyNeRFConfig, step: int, progress: float) -> bool:
    """Whether the small field learns in a step: always at first, later once in an interval.

    It follows the large field, which changes ever less; its lessons cost as much as a step of the
    large field (nerfacto skips them too).
    """
    at_first = step < FIRST_LESSONS or explore_share(progress) > EXPLORE
    return at_first or (step + 1) % config.proposal_interval == 0


@torch.no_grad()
def draw_borders(
    found: Histogram,
    num_samples: int,
    offset: torch.Tensor | float = 0.5,
    explore: float = EXPLORE,
) -> torch.Tensor:
    """Borders of intervals that fill the rays, most of them where a histogram has its weight.

    Args:
        found: the histogram.
        num_samples: S, the intervals of a ray; at least 2.
        offset: [N, 1] in [0, 1), or one number: the place of the inner borders of a ray within
            equal shares of its weight.
        explore: share of the borders that fall evenly on the whole ray.

    Returns:
        [N, S + 1], ascending; the first and the last are those of the histogram.
    """
    borders, weights = found
    first, last = borders[:, :1], borders[:, -1:]
    steps = torch.arange(num_samples - 1, device=borders.device)
    u = ((steps + offset) / (num_samples - 1)).expand(len(borders), -1)
    even = borders.diff(dim=-1) / (last - first).clamp_min(1e-12)
    shares = weights / weights.sum(-1, keepdim=True).clamp_min(1e-8)
    inner = sample_pdf(borders, shares.lerp(even, explore), u.contiguous())
    return torch.cat([first, inner, last], 1)
