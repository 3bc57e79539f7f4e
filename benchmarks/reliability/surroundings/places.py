"""Languages without letters, homes that cannot be written, no `/dev/shm`, a read-only checkout.

What a process finds at its very start: each is tried in a process of its own, not in a fork.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Outcome
from benchmarks.reliability.children import ROOT, Done
from benchmarks.reliability.surroundings.peace import Peace

LANGUAGES = {
    "LANG=C": {"LANG": "C", "LC_ALL": "C"},
    "LANG=C and no UTF-8 at all": {
        "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
    },
}  # fmt: skip


def program(argv: list[str], environment: dict[str, str], mounts: str = "true") -> Done:
    """The training as a user starts it, on one processor.

    Args:
        argv: its flags.
        environment: variables that are changed.
        mounts: commands of a shell before it, whose mounts nobody else sees.
    """
    command = [sys.executable, str(ROOT / "apps" / "train.py"), *argv]
    if mounts != "true":  # only root may mount
        script = f'{mounts}; cd "$0"; exec "$@"'
        command = ["unshare", "-m", "sh", "-ec", script, str(ROOT), *command]
    found = subprocess.run(
        command, cwd=ROOT, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        preexec_fn=lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}),
    )  # fmt: skip
    out, err = (x.decode(errors="replace") for x in (found.stdout, found.stderr))
    return Done(found.returncode, out, err)


def languages(outcome: Outcome, peace: Peace) -> None:
    """A path with letters that the language does not have, in messages too."""
    for what, environment in LANGUAGES.items():
        scene = peace.folder / "scène 🦊"
        if not scene.exists():
            scene.symlink_to(peace.scene)
        name = f"🦊 {what}"
        argv = small_run.arguments(scene, peace.folder, name)
        fault = program(argv, environment).fault(0) or peace.fault_of(peace.folder / name)
        argv = small_run.arguments(scene / "absent", peace.folder, "absent")
        fault = fault or program(argv, environment).fault(2, "absent")
        outcome.note(what, fault, "trained, and an error in one line")


def homeless(outcome: Outcome, peace: Peace) -> None:
    """A home folder that cannot be made, even by root."""
    (peace.folder / "file").touch()
    environment = {"HOME": str(peace.folder / "file" / "home")}
    done = program(peace.argv("homeless"), environment)
    fault = done.fault(0, "kernels are compiled anew") or peace.fault_of(peace.folder / "homeless")
    outcome.note("a home folder that cannot be written", fault, "a warning")


def mounts(outcome: Outcome, peace: Peace) -> None:
    """What only root can try: no `/dev/shm`, and a checkout that cannot be written."""
    may = shutil.which("unshare") and os.geteuid() == 0
    if not may or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        outcome.skipped.append("no /dev/shm, a read-only checkout: only root can mount")
        return
    one = "mount -t tmpfs -o size=4k,ro tmpfs /dev/shm"
    done = program(peace.argv("no_shm"), {}, one)
    fault = done.fault(0) or peace.fault_of(peace.folder / "no_shm")
    outcome.note("a /dev/shm that cannot be written", fault, "the bits of a run in peace")
    read_only = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"'
    done = program(peace.argv("read_only"), {}, read_only)
    fault = done.fault(0) or peace.fault_of(peace.folder / "read_only")
    outcome.note("a read-only checkout", fault, "the bits of a run in peace")
    argv = peace.argv("x")
    argv[argv.index("--output_dir") + 1] = "outputs"
    done = program(argv, {}, read_only)
    outcome.note("an output in a read-only checkout", done.fault(2, "outputs"), done.last_words)
