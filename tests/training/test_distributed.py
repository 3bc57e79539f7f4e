"""Several processes together train what one trains alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import rays_through_box, tiny_model

from taichi_pynerf import runtime
from taichi_pynerf.errors import BackendError, TrainingError
from taichi_pynerf.model.samples import draws_per_ray
from taichi_pynerf.training import distributed
from taichi_pynerf.training.distributed import Workers

sys.path.insert(0, str(Path(__file__).parent))

from distributed_run import SETTINGS, trained

ROOT = Path(__file__).parents[2]


def torchrun(*command, num_processes=2):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone",
         f"--nproc_per_node={num_processes}", *map(str, command)],
        capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The records of two processes, and the folder of the first one."""
    folder = tmp_path_factory.mktemp("together")
    torchrun(Path(__file__).parent / "distributed_run.py", folder)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)], folder


def test_two_processes_see_the_losses_of_one(runs):
    alone = torch.tensor(trained(Workers())["steps"])
    together = torch.tensor(runs[0][0]["steps"])
    assert len(alone) == SETTINGS["max_steps"]
    assert alone[-1, 0] < 0.7 * alone[0, 0]  # it learns: there is something to agree on
    torch.testing.assert_close(together[:, :2], alone[:, :2], rtol=2e-3, atol=1e-5)
    # A sample on the border of what is hidden may fall on either side of it.
    torch.testing.assert_close(together[:, 2:], alone[:, 2:], rtol=5e-3, atol=2)
    torch.testing.assert_close(together[0], alone[0], rtol=1e-6, atol=1e-7)


def test_all_processes_hold_the_same_model_to_the_bit(runs):
    (first, second), _ = runs
    assert first == second


def test_the_first_process_alone_writes(runs):
    _, folder = runs
    assert (folder / "run0" / "log.jsonl").is_file()
    assert not (folder / "run1").exists()


@pytest.mark.parametrize(("num_rays", "count"), [(10, 1), (10, 3), (2, 2), (7, 4)])
def test_shares_are_all_rays_once(num_rays, count):
    shares = [range(num_rays)[Workers(rank, count).share(num_rays)] for rank in range(count)]
    assert [ray for share in shares for ray in share] == list(range(num_rays))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_share_draws_what_one_process_would_have_drawn():
    whole = torch.Generator().manual_seed(3)
    expected, after = torch.rand(11, generator=whole), whole.get_state()
    drawn = []
    for rank in range(3):
        generator, workers = torch.Generator().manual_seed(3), Workers(rank, 3)
        with workers.own_draws(generator, 11):
            share = workers.share(11)
            drawn.append(torch.rand(share.stop - share.start, generator=generator))
        assert torch.equal(generator.get_state(), after)
    assert torch.equal(torch.cat(drawn), expected)


def test_shares_of_the_hierarchical_sampler_are_what_one_process_would_have_sampled():
    model = tiny_model(sampler="hierarchical", num_samples=7, num_importance=5)
    rays = rays_through_box(11)
    per_ray = draws_per_ray(model.config)
    whole = torch.Generator().manual_seed(3)
    expected = model.renderer.train_rays(rays, whole).samples
    parts = []
    for rank in range(3):
        generator, workers = torch.Generator().manual_seed(3), Workers(rank, 3)
        with workers.own_draws(generator, 11, per_ray):
            share = rays[workers.share(11)]
            parts.append(model.renderer.train_rays(share, generator).samples)
        assert torch.equal(generator.get_state(), whole.get_state())
    for name in ("t_starts", "t_ends"):
        assert torch.equal(torch.cat([getattr(x, name) for x in parts]), getattr(expected, name))


def test_processors_are_shared_by_the_processes_here(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    alone = runtime.hardware.available_cpus()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert runtime.hardware.available_cpus() == max(1, alone // 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert runtime.hardware.available_cpus() == 1


@pytest.mark.parametrize(("visible", "claimed"), [(None, "3"), ("4,5,6,7", "7"), ("4,5", "5")])
def test_each_process_claims_a_device_of_its_own(monkeypatch, visible, claimed):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")  # empty as good as absent
    distributed.claim_device()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == claimed


def test_vulkan_trains_in_one_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BackendError, match="torchrun"):
        distributed.join("vulkan")


def test_a_process_that_does_not_answer_is_told_of_in_one_line(monkeypatch):
    def gone(*_):
        raise RuntimeError("Connection closed by peer [127.0.0.1]:4000\nmore")

    monkeypatch.setattr(distributed.dist, "get_backend", lambda: "gloo")
    monkeypatch.setattr(distributed.dist, "all_reduce", gone)
    with pytest.raises(
        TrainingError, match=r"another of the 2 processes has ended .*--resume"
    ) as e:
        Workers(0, 2).sum({"loss": 1.0})
    assert "\n" not in str(e.value)


def test_without_torchrun_one_works_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    workers = distributed.join("cpu")
    assert (workers.rank, workers.count, workers.first) == (0, 1, True)
