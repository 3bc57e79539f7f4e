"""How settings change while training goes on."""

from collections.abc import Mapping

MAX_RAYS_PER_STEP = 2**17


def learning_rate_factor(step: int, progress: float, warmup_steps: int, final: float) -> float:
    """Linear warm-up, then exponential decay to `final` at progress 1.

    Args:
        step: number of steps done.
        progress: share of the training that is done, in [0, 1].
        warmup_steps: steps until the full rate; 0: no warm-up.
        final: factor at the end.
    """
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return warmup * final ** min(max(progress, 0.0), 1.0)


def next_num_rays(num_rays: int, num_samples: int, samples_per_batch: int) -> int:
    """Number of rays that should give the next step about `samples_per_batch` samples.

    At most twice as many as before, as the first batches after an update of the grid can mislead.

    Args:
        num_rays, num_samples: rays and samples of the step before.
        samples_per_batch: the number of samples wanted; 0 keeps the number of rays.
    """
    if not samples_per_batch:
        return num_rays
    wanted = num_rays * samples_per_batch / max(num_samples, 1)
    return int(min(wanted, 2 * num_rays, MAX_RAYS_PER_STEP)) or 1


def sighted_rays(num_rays: int, share: float, progress: float) -> int:
    """Number of a step's rays that go to sparse points: ever fewer, and none at the end.

    Points put surfaces where they belong at first. Later colours know better, and places with
    many points should not be seen more often than others.

    Args:
        num_rays: rays of the step.
        share: the share of them when training begins.
        progress: share of the training that is done.
    """
    return int(num_rays * share * max(0.0, 1.0 - progress))


def scale_at(step: int, scale_schedule: Mapping[int, int]) -> int:
    """The finest image scale in use at a step.

    Args:
        scale_schedule: {first step: scale}, such as {0: 8, 2000: 4, 5000: 2, 10000: 1}.

    Raises:
        ValueError: an empty schedule, or none of its entries has begun.
    """
    begun = [first for first in scale_schedule if first <= step]
    if not begun:
        raise ValueError(f"scale_schedule has no entry for step {step}: let it begin at 0")
    return scale_schedule[max(begun)]
