"""The run that met no trouble, to which others are held."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability import small_run


@dataclass(frozen=True)
class Peace:
    """It.

    Attributes:
        folder: for the runs of a campaign.
        scene: that it was trained on.
        bits: of its end.
    """

    folder: Path
    scene: Path
    bits: str

    def argv(self, name: str) -> list[str]:
        """The command line of a training like it."""
        return small_run.arguments(self.scene, self.folder, name)

    def fault_of(self, run_dir: Path) -> str | None:
        """What is wrong with a run that should be like this one; None if nothing is."""
        if small_run.step_of(run_dir) != small_run.STEPS:
            return f"it ended at step {small_run.step_of(run_dir)}"
        if small_run.bits_of(run_dir) != self.bits:
            return "other bits than those of a run in peace"
        return small_run.unreadable(run_dir)
