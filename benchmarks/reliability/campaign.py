"""What a campaign finds: tries, each of which held or not, and its line in the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from taichi_pynerf.errors import ConfigError


@dataclass(frozen=True)
class Options:
    """The options of the command line.

    Attributes:
        quick: a few tries, in seconds.
        folder: an existing folder for runs and scenes of the campaign, to be removed by the caller.
        seed: of the moments, damages and places that are drawn.
        minutes: time of the campaigns that run by the clock; 0: each its own.
        pythons: interpreters for `versions`, before those that it finds.
        parts: of a campaign that has parts with names; empty: all of them.
    """

    quick: bool
    folder: Path
    seed: int = 0
    minutes: float = 0.0
    pythons: tuple[Path, ...] = ()
    parts: tuple[str, ...] = ()

    def chosen(self, parts: Sequence[str], usual: Sequence[str] | None = None) -> list[str]:
        """The parts of a campaign that are to be tried, in its order.

        Args:
            parts: all that it has.
            usual: those that are tried if none is named; None: all.

        Raises:
            ConfigError: for a name that is none of them.
        """
        unknown = [name for name in self.parts if name not in parts]
        if unknown:
            raise ConfigError(f"no part {', '.join(unknown)}: choose from {', '.join(parts)}")
        chosen = self.parts or (parts if usual is None else usual)
        return [name for name in parts if name in chosen]

    def size(self, usual: int, quick: int) -> int:
        """A number of tries."""
        return quick if self.quick else usual


@dataclass(frozen=True)
class Try:
    """One try.

    Attributes:
        what: what was done.
        held: whether all went as promised.
        words: what the program said, or what was lost.
    """

    what: str
    held: bool
    words: str = ""


@dataclass
class Outcome:
    """The tries of a campaign.

    Attributes:
        tries: in their order.
        skipped: what could not be tried here, with the reason.
        figures: {name: value} that belong beside the table.
        whole: whether the campaign came to its end.
    """

    tries: list[Try] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    figures: dict = field(default_factory=dict)
    whole: bool = False

    def note(self, what: str, fault: str | None, words: str = "") -> None:
        """Add a try, and print it.

        Args:
            fault: what was lost; None if nothing was.
            words: what the program said.
        """
        self.tries.append(Try(what, fault is None, fault or words))
        print(f"  {'held' if fault is None else 'LOST'}  {what}: {fault or words}", flush=True)

    @property
    def lost(self) -> list[Try]:
        """The tries that did not hold."""
        return [one for one in self.tries if not one.held]

    def to_dict(self) -> dict:
        return {
            "tried": len(self.tries),
            "survived": len(self.tries) - len(self.lost),
            "lost": len(self.lost),
            "whole": self.whole,
            "figures": self.figures,
            "skipped": self.skipped,
            "tries": [dataclasses.asdict(one) for one in self.tries],
        }


def table(results: dict[str, dict]) -> str:
    """The table of campaigns as Markdown.

    Args:
        results: {campaign: content of its JSON file}.
    """
    lines = ["| campaign | tried | survived | lost | command |", "| --- | --- | --- | --- | --- |"]
    for found in results.values():
        lines.append(
            f"| {found['claim']} | {found['tried']} | {found['survived']} | {found['lost']} | "
            f"`{found['command']}` |"
        )
    for name, found in results.items():
        lines += [f"\n{name}, not tried: {reason}" for reason in found["skipped"]]
        if not found["whole"]:
            lines.append(f"\n{name}: interrupted")
        lines += [f"\n{name}, lost: {t['what']}: {t['words']}" for t in found["tries"]
                  if not t["held"]]  # fmt: skip
    return "\n".join(lines) + "\n"
