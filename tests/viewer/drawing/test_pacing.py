"""Shares of the time, and rays for the time."""

import pytest

from taichi_pynerf.viewer.drawing.pacing import Rate, RayBudget, TimeShare


@pytest.mark.parametrize("asked", [0.1, 0.3, 0.5, 0.8, 0.9])
@pytest.mark.parametrize(("step", "piece"), [(0.1, 0.15), (0.003, 0.08), (0.4, 0.02)])
def test_each_side_gets_its_share(asked, step, piece):
    share = TimeShare(asked)
    trained = drawn = 0.0
    while trained + drawn < 60.0:
        share.trained(step)
        trained += step
        while share.drawing_due > 0.0:
            share.drew(piece)
            drawn += piece
    assert trained / (trained + drawn) == pytest.approx(asked, rel=0.1)
    assert share.measured() == pytest.approx(asked, rel=0.25)  # of the last seconds alone


def test_a_pause_is_not_paid_back():
    share = TimeShare(0.5)
    share.trained(300.0)
    assert share.drawing_due == pytest.approx(10.0)
    share.drew(300.0)
    share.trained(10.1)
    assert share.drawing_due > 0.0


def test_what_drawing_does_not_need_is_trainings():
    share = TimeShare(0.5)
    share.trained(3.0)
    share.settle()
    assert share.drawing_due == 0.0
    share.drew(1.0)
    share.settle()
    share.trained(0.5)
    assert share.drawing_due == 0.0  # a debt stays one


def test_another_share_starts_without_debts():
    share = TimeShare(0.5)
    share.trained(1.0)
    share.share = 2.0
    assert share.share == 0.95
    assert share.drawing_due == 0.0


def test_nothing_measured_is_none():
    share = TimeShare()
    assert share.measured() is None
    share.trained(1.0)
    assert share.measured() == 1.0
    share.restart()
    assert share.measured() is None


@pytest.mark.parametrize("per_ray", [1e-6, 2e-5, 1e-3])
def test_the_budget_finds_the_rays_for_its_time(per_ray):
    budget = RayBudget(0.075)
    for _ in range(30):
        rays = int(budget.num_rays)
        budget.measured(rays, 0.004 + per_ray * rays)  # a call costs something too
    seconds = 0.004 + per_ray * budget.num_rays
    assert seconds == pytest.approx(0.075, rel=0.1)


def test_the_budget_leaves_time_for_the_rest_of_the_frame():
    budget = RayBudget(0.075)
    for _ in range(60):
        seconds = 2e-5 * int(budget.num_rays)
        budget.measured(int(budget.num_rays), seconds)
        budget.frame_took(seconds + 0.03)
    assert 2e-5 * budget.num_rays == pytest.approx(0.045, rel=0.1)
    for _ in range(60):  # where the rest alone takes too long, something is still drawn
        budget.frame_took(1.0)
    assert budget.seconds == pytest.approx(0.025)


def test_one_slow_frame_does_not_ruin_the_picture():
    budget = RayBudget(0.075, num_rays=4000)
    budget.measured(4000, 10.0)
    assert budget.num_rays == 2000


def test_rates_are_of_the_last_seconds():
    rate = Rate(memory=2.0)
    assert rate.per_second(0.0) == 0.0
    for i in range(50):
        rate.note(0.1 * i, amount=5.0)
    assert rate.per_second(4.9) == pytest.approx(50.0)
    assert rate.per_second(100.0) == 0.0
