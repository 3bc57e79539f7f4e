"""Several processes together train what one trains alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import ball_scene, rays_through_box, tiny_model

from taichi_pynerf import PyNeRFTrainer, runtime
from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.errors import BackendError, TrainingError
from taichi_pynerf.model.samples import draws_per_ray
from taichi_pynerf.training import distributed
from taichi_pynerf.training.distributed import Workers

sys.path.insert(0, str(Path(__file__).parent))

from distributed_run import SELDOM, SETTINGS, trained

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


def test_networks_without_a_gradient_rest_as_in_one_process(runs):
    alone = trained(Workers(), **SELDOM)
    steps = [count for _, count in alone["adam_steps"]]
    assert (min(steps), max(steps)) == (4, 12)
    together = runs[0][0]["seldom"]
    assert together["adam_steps"] == alone["adam_steps"]
    losses = [torch.tensor(run["steps"])[:, :2] for run in (together, alone)]
    torch.testing.assert_close(*losses, rtol=2e-3, atol=1e-5)


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


@pytest.mark.parametrize(
    ("visible", "claimed"), [(None, "3"), ("4,5,6,7", "7"), ("4,5", "-1"), ("", "-1")]
)
def test_each_process_claims_a_device_of_its_own(monkeypatch, visible, claimed):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")  # restored later, whatever it was
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    distributed.claim_device()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == claimed


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
def test_processes_on_different_backends_do_not_wait_for_each_other(monkeypatch, backend):
    """As with two processes and one CUDA device."""
    store, other = distributed.dist.HashStore(), {"cpu": "cuda", "cuda": "cpu"}[backend]
    store.set("backend 1", other)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distributed.dist, "rendezvous", lambda _: iter([(store, 0, 2)]))
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    with pytest.raises(
        BackendError, match=r"the 2 .* \(1 on cpu, 1 on cuda\): .*--nproc_per_node.*--backend cpu"
    ) as e:
        distributed.join(backend)
    assert "\n" not in str(e.value)
    assert store.get("backend 0").decode() == backend  # for the other one


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


# ---- how it ends ------------------------------------------------------------------------------


class FirstOfTwo(Workers):
    """The first of two processes, as it sees them; the other one adds nothing.

    Args:
        meanwhile: called while the processes agree; returns whether the other one is to stop.
    """

    def __init__(self, meanwhile=lambda: False):
        super().__init__(0, 2)
        self.meanwhile = meanwhile

    def agree(self, seconds, stop):
        return seconds, self.meanwhile() or stop

    def copy_from_first(self, model):
        pass

    def _reduce(self, tensor, operation):
        pass


def stopping_trainer(workers):
    data = PyNeRFDataset.from_scene(ball_scene(num_views=4), True)
    model = tiny_model(max_steps=6, batch_size=32)
    return PyNeRFTrainer(model, None, data, progress=False, workers=workers)


def test_a_request_to_stop_counts_when_all_processes_know_of_it():
    trainer, ends = stopping_trainer(FirstOfTwo()), []

    def on_step(trainer, _):
        if trainer.step == 2:
            trainer.request_stop()
        ends.append(trainer.finished())

    trainer.train(on_step)
    assert ends == [False, False, True]
    assert trainer.stop_requested


def test_the_other_process_stops_this_one_for_good():
    answers = iter([False, True, False])
    trainer = stopping_trainer(FirstOfTwo(lambda: next(answers)))
    trainer.train()
    assert trainer.step == 2
    assert trainer.stop_requested
    assert trainer.finished()


@pytest.mark.parametrize("count", [1, 2])
def test_a_request_that_comes_while_processes_agree_is_kept(count):
    class Signalled(FirstOfTwo):
        def agree(self, seconds, stop):
            if trainer.step == 1:
                trainer.request_stop()
            return seconds, stop

    workers = Signalled()
    workers.count = count
    trainer = stopping_trainer(workers)
    trainer.train()
    assert trainer.step == count  # two have to agree on it in the next step
    assert trainer.stop_requested
