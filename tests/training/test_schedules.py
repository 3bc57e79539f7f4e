import pytest

from taichi_pynerf.training.optimization.schedules import (
    learning_rate_factor,
    next_num_rays,
    scale_at,
    sighted_rays,
)

SCHEDULE = {0: 8, 2000: 4, 5000: 2, 10000: 1}


def test_warm_up_is_linear_from_the_first_step_to_the_full_rate():
    factors = [learning_rate_factor(step, 0.0, warmup_steps=4, final=0.1) for step in range(6)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_without_warm_up_the_first_step_has_the_full_rate():
    assert learning_rate_factor(0, 0.0, warmup_steps=0, final=0.1) == 1.0


def test_decay_is_exponential_in_the_progress():
    factors = [
        learning_rate_factor(100, progress, warmup_steps=10, final=0.01)
        for progress in (0.0, 0.25, 0.5, 1.0)
    ]
    assert factors == pytest.approx([1.0, 0.01**0.25, 0.1, 0.01])


@pytest.mark.parametrize(("progress", "expected"), [(-1.0, 1.0), (2.0, 0.1)])
def test_progress_beyond_the_ends_counts_as_the_ends(progress, expected):
    assert learning_rate_factor(9, progress, 1, 0.1) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "scale"),
    [(0, 8), (1999, 8), (2000, 4), (4999, 4), (5000, 2), (10000, 1), (10**9, 1)],
)
def test_scale_of_a_step_is_the_last_that_has_begun(step, scale):
    assert scale_at(step, SCHEDULE) == scale
    assert scale_at(step, dict(reversed(SCHEDULE.items()))) == scale  # in whatever order


@pytest.mark.parametrize("schedule", [{}, {5: 2}])
def test_a_schedule_without_a_beginning_is_refused(schedule):
    with pytest.raises(ValueError, match="begin at 0"):
        scale_at(4, schedule)


def test_the_number_of_rays_follows_the_samples_they_had():
    assert next_num_rays(1000, 20000, 10000) == 500
    assert next_num_rays(1000, 8000, 12000) == 1500
    assert next_num_rays(1000, 100, 12000) == 2000  # at most double
    assert next_num_rays(1000, 0, 12000) == 2000
    assert next_num_rays(2**17, 1000, 2**18) == 2**17
    assert next_num_rays(1, 1000, 1) == 1
    assert next_num_rays(1000, 5, 0) == 1000


def test_rays_to_sparse_points_become_fewer_and_end():
    counts = [sighted_rays(1000, 0.2, progress) for progress in (0.0, 0.25, 0.5, 1.0, 1.5)]
    assert counts == [200, 150, 100, 0, 0]
    assert sighted_rays(1000, 0.0, 0.0) == 0
