"""Each benchmark runs in its quick form, where figures are meaningless but findings must exist."""

import json
import math

import pytest

from benchmarks import __main__ as program
from benchmarks import harness, step_beside, time_to_quality, workload
from benchmarks.harness import Case, Options, Report
from taichi_pynerf.errors import ConfigError

# Those left out are of a trained run, or in processes of their own.
LEFT_OUT = ("render_scales", "memory", "scaling", "levers", "step_beside")
QUICK = [name for name in program.NAMES if name not in LEFT_OUT]


@pytest.fixture(scope="module", autouse=True)
def scenes(tmp_path_factory):
    """A cache of scenes that is removed after the tests."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TAICHI_PYNERF_CACHE", str(tmp_path_factory.mktemp("cache")))
    workload.workload.cache_clear()
    yield
    patch.undo()
    workload.workload.cache_clear()


@pytest.mark.parametrize("name", QUICK)
def test_runs_and_leaves_its_figures(name, tmp_path, capsys):
    program.main([name, "--quick", "--output_dir", str(tmp_path)])
    written = json.loads((tmp_path / f"{name}.json").read_text())
    printed = capsys.readouterr().out
    assert written["machine"]["torch_threads"] >= 1
    assert written["findings"]
    for what, value in written["findings"].items():
        assert value is not None
        assert math.isfinite(value)
        assert what in printed
        assert what in (tmp_path / f"{name}.md").read_text()
    for rows in written["tables"].values():
        assert rows
        assert all(row.keys() == rows[0].keys() for row in rows)
        assert all(row.get("median ms", 1) > 0 for row in rows)


def test_every_benchmark_says_what_it_measures(capsys):
    program.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(program.NAMES)
    assert all(len(line.split()) > 4 for line in lines)


def test_an_unknown_benchmark_is_named():
    with pytest.raises(ConfigError, match="encoed"):
        program.main(["encoed"])


def test_calls_are_made_in_turn_after_uncounted_ones():
    made = []
    cases = {
        "a": lambda: made.append("a"),
        "b": Case(lambda: made.append("b"), lambda: made.append("prepare b")),
    }
    found = harness.time_calls(cases, rounds=2, warm_up=1)
    assert made == ["a", "prepare b", "b"] * 3
    assert all(0 <= t.least <= t.median <= t.greatest for t in found.values())


def test_implementations_that_differ_are_not_timed():
    import torch

    ones = torch.ones(3)
    harness.require_equal("same", ones, ones + 1e-7, 1e-6)
    with pytest.raises(RuntimeError, match="features"):
        harness.require_equal("features", ones, 1.1 * ones, 1e-3)
    with pytest.raises(RuntimeError, match="features"):
        harness.require_equal("features", ones * math.nan, ones, 1e-3)


def test_slope_is_the_exponent():
    sizes = [10, 100, 1000]
    assert harness.log_log_slope(sizes, [3 * n**1.5 for n in sizes]) == pytest.approx(1.5)


def test_tables_for_people():
    report = Report("sizes", {"times": [{"what": "ours", "ms": 1.25}]}, {"ratio": 2.0})
    assert report.text() == "sizes\ntimes\nwhat    ms\nours  1.25\nratio: 2"
    assert report.text(markdown=True) == (
        "sizes\n\n### times\n\n| what | ms |\n| --- | --- |\n| ours | 1.25 |\n\n- ratio: 2"
    )


def test_time_to_a_mark_lies_between_the_tests():
    curve = [{"seconds": t, "PSNR dB": p} for t, p in ((10, 20.0), (20, 24.0), (40, 28.0))]
    assert time_to_quality.time_to(26.0, curve) == pytest.approx(30)
    assert time_to_quality.time_to(19.0, curve) == 10
    assert time_to_quality.time_to(30.0, curve) is None


def test_a_peer_is_run_and_read():
    options = Options(peer="{python} -c \"print('t={seconds}s step=1 psnr=25.25 rest')\"")
    assert time_to_quality.run_peer(options, 60.0) == [{"seconds": 60.0, "PSNR dB": 25.25}]
    with pytest.raises(ConfigError, match="psnr="):
        time_to_quality.run_peer(Options(peer="{python} -c pass"), 1.0)


def test_step_beside_says_what_it_needs(tmp_path):
    for options in (Options(), Options(other=str(tmp_path)), Options(checkpoint="run")):
        with pytest.raises(ConfigError, match="--other and --checkpoint"):
            step_beside.measure(options)
    with pytest.raises(ConfigError, match="no taichi_pynerf"):
        step_beside.measure(Options(other=str(tmp_path), checkpoint="run"))
    nowhere = Options(other=str(step_beside.ROOT), checkpoint="run", other_checkpoint=str(tmp_path))
    with pytest.raises(ConfigError, match=r"--other_checkpoint .*: there is no checkpoint"):
        step_beside.measure(nowhere)


def test_step_beside_compares_the_medians_of_turns_made_in_turn(capsys):
    asked = []

    class Fake:
        def __init__(self, name, times):
            self.name, self.times = name, iter(times)

        def ask(self, case):
            asked.append(self.name)
            ms = next(self.times)
            return {"ms": ms, "processor ms": 2 * ms, "samples": 10.0}

    both = {"new": Fake("new", [99, 1, 5, 2]), "old": Fake("old", [99, 8, 4, 1])}
    report = Report("title")
    step_beside.add_case(report, "a step", both, rounds=3)
    assert asked == ["new", "old"] * 4
    assert [row["median ms"] for row in report.tables["a step"]] == [2, 4]  # the first is left out
    assert report.findings["a step: share of the other's time"] == 0.5
    assert report.findings["a step: share of the other's processor time"] == 0.5


def test_a_program_that_ended_is_told(tmp_path):
    broken = step_beside.Program(tmp_path, {})
    with pytest.raises(RuntimeError, match="ended"):
        broken.ask("a frame")
    broken.end()
