"""Cost of a training step on Vulkan beside the CPU: time by kernel, and bytes copied.

    python -m benchmarks.vulkan_step [--steps 48] [--warmup 32] [--other vulkan]

Both backends train the demo scene with the same seed and settings, each in a process of its own.
After some steps that are not counted, every kernel launch is timed to its end, and what goes to
the device and back is counted: where memory is not shared Taichi copies each torch tensor of a
launch both ways, and tensors that are kept on the device (`ops.residence`) go only when they
changed. Totals per step are printed as a table and as JSON, with the number of copies of whole
hash tables, which must be 0.
"""

import argparse
import collections
import json
import subprocess
import sys
import time

import taichi as ti

from benchmarks.stopwatch import watch_launches
from taichi_pynerf import MultiScaleTrainer, PyNeRF, PyNeRFConfig, runtime
from taichi_pynerf.ops import residence
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.training.scene_fit import fit_to_scene

import torch  # isort: skip  (after the package, which sets the thread policy)


class Profile:
    """Seconds and bytes of what steps are made of, summed by name.

    Attributes:
        seconds, copied: {part: seconds}, {part: bytes}.
        copies: bytes of each single copy.
    """

    def __init__(self):
        self.seconds, self.copied = collections.Counter(), collections.Counter()
        self.copies = []

    def add(self, name: str, seconds: float, *copies: int) -> None:
        self.seconds[name] += seconds
        self.copied[name] += sum(copies)
        self.copies += copies

    def watch(self) -> None:
        """Time all kernels and all copies of kept tensors from now on."""
        twin = residence._Twin
        upload, download = twin.upload, twin.download

        def timed_launch(launch_it, name, args):
            start = time.perf_counter()
            result = launch_it()
            ti.sync()
            copies = []
            if not runtime.shares_memory():
                tensors = [x.nbytes for x in args if isinstance(x, torch.Tensor)]
                copies = tensors + tensors  # there and back
            self.add(name, time.perf_counter() - start, *copies)
            return result

        def timed_upload(self_, tensor):
            if self_.version != tensor._version:
                with self._quietly(f"to the device: {list(tensor.shape)}", tensor.nbytes):
                    upload(self_, tensor)

        def timed_download(self_, tensor):
            if self_.ahead:
                with self._quietly(f"to the host: {list(tensor.shape)}", tensor.nbytes):
                    download(self_, tensor)

        watch_launches(timed_launch)
        twin.upload, twin.download = timed_upload, timed_download

    def _quietly(self, name: str, num_bytes: int):
        return _Part(self, name, num_bytes)


class _Part:
    """One entry of a profile; the kernels that Taichi copies with count as part of it."""

    def __init__(self, profile: Profile, name: str, num_bytes: int):
        self.profile, self.name, self.num_bytes = profile, name, num_bytes

    def __enter__(self):
        self.before = (
            self.profile.seconds.copy(), self.profile.copied.copy(), list(self.profile.copies),
        )  # fmt: skip
        self.start = time.perf_counter()

    def __exit__(self, *fault):
        self.profile.seconds, self.profile.copied, self.profile.copies = self.before
        self.profile.add(self.name, time.perf_counter() - self.start, self.num_bytes)


def measure(backend: str, num_warmup: int, num_steps: int) -> dict:
    """Train the demo scene on a backend, in this process."""
    runtime.start(backend)
    dataset = SceneSource(None, multiscale=True).load("train")
    config = PyNeRFConfig.preset("cpu", max_steps=num_warmup + num_steps, val_interval=0)
    config = fit_to_scene(config, dataset)
    model = PyNeRF(config)
    trainer = MultiScaleTrainer(model, config, dataset, progress=False)
    profile, times = Profile(), []

    def on_step(trainer, figures):
        times.append(time.perf_counter())
        if trainer.step == num_warmup:
            profile.watch()
            times[-1] = time.perf_counter()

    trainer.train(on_step=on_step)
    step_seconds = (times[-1] - times[num_warmup - 1]) / num_steps
    table_bytes = min(encoder.table.nbytes for encoder in model.field.encoders)
    parts = {
        name: {"ms": 1e3 * seconds / num_steps, "bytes": profile.copied[name] // num_steps}
        for name, seconds in profile.seconds.most_common()
    }
    kernels_ms = sum(part["ms"] for part in parts.values())
    return {
        "backend": backend,
        "device": runtime.device_name(),
        "ms_per_step": 1e3 * step_seconds,
        "torch_and_rest_ms": 1e3 * step_seconds - kernels_ms,
        "bytes_per_step": sum(profile.copied.values()) // num_steps,
        "greatest_copy": max(profile.copies, default=0),
        "table_bytes": table_bytes,
        "table_copies": sum(size >= table_bytes for size in profile.copies),
        "parts": parts,
    }


def print_table(found: dict[str, dict]) -> None:
    names = list(found)
    print(f"{'ms per step':<34}" + "".join(f"{name:>12}" for name in names) + "  MB copied")
    rows = dict.fromkeys(part for result in found.values() for part in result["parts"])
    for row in rows:
        parts = [found[name]["parts"].get(row) for name in names]
        copied = max((part["bytes"] for part in parts if part), default=0) / 1e6
        cells = "".join(f"{part['ms'] if part else 0:12.2f}" for part in parts)
        print(f"  {row:<32}{cells}{copied:11.3f}")
    for label, key in (("torch and the rest", "torch_and_rest_ms"), ("all", "ms_per_step")):
        print(f"  {label:<32}" + "".join(f"{found[name][key]:12.2f}" for name in names))
    for name, result in found.items():
        print(
            f"{name}, {result['device']}: {result['bytes_per_step'] / 1e6:.2f} MB copied per step, "
            f"the greatest copy {result['greatest_copy'] / 1e6:.2f} MB; the hash table is "
            f"{result['table_bytes'] / 1e6:.1f} MB and was copied {result['table_copies']} times"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=48, help="steps that are counted")
    parser.add_argument("--warmup", type=int, default=32, help="steps before; the first compile")
    parser.add_argument("--other", default="vulkan", choices=("vulkan", "cuda", "cpu"))
    parser.add_argument("--worker", choices=runtime.BACKENDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args.worker, args.warmup, args.steps)))
        return
    found = {}
    for backend in dict.fromkeys(("cpu", args.other)):
        command = [sys.executable, "-m", "benchmarks.vulkan_step", "--worker", backend]
        done = subprocess.run(
            [*command, "--steps", str(args.steps), "--warmup", str(args.warmup)],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        found[backend] = json.loads(done.stdout.splitlines()[-1])
    print_table(found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
