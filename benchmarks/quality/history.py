"""How the code that made a result stands to the code of today, by the history of the checkout."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from taichi_pynerf.errors import ConfigError

NOT_NEEDED = ("viewer", "export", "apps", "api", "nerfstudio", "rendering", "reference")
"""Folders of the package that no row's figures depend on."""
DEPENDS_ON = (
    "taichi_pynerf",
    "benchmarks/quality/row_runs.py",
    *(f":(exclude)taichi_pynerf/{folder}" for folder in NOT_NEEDED),
)
"""What figures depend on, as git's pathspecs; rows themselves are compared with their results.

A change of a comment counts as well: what is called old may be good, and nothing that is called
current is old.
"""
CURRENT = "current"


class History:
    """The commits of a checkout.

    Args:
        root: its folder.

    Raises:
        ConfigError: it is no checkout, or one without its whole history.
    """

    def __init__(self, root: Path):
        self.root = root
        # A copy of the files may lie within the checkout of something else.
        if self._git("rev-parse", "--show-prefix") != "":
            raise ConfigError(
                f"{root}: this is no git checkout, whose history says which results are old"
            )
        if self._git("rev-parse", "--is-shallow-repository") != "false":
            raise ConfigError(
                f"{root}: this checkout has a part of its history alone: git fetch --unshallow"
            )
        self.changes = cache(self._changes)

    def state(self, result: dict, declared: dict | None) -> str:
        """A word for a table: "current", or what is old or unknown about a result, in bold.

        Args:
            result: as `run_row` gives it.
            declared: what its row is declared as today; None if there is no such row.
        """
        faults = []
        commits = [result["commit"], *result.get("commits", [])]
        changes = [self.changes(commit) for commit in dict.fromkeys(commits)]
        if None in changes:
            faults.append("unknown commit")
        most = max((number for number in changes if number), default=0)
        if most:
            faults.append(f"old: {most} change{'s' if most > 1 else ''} since")
        if any(_is_needed(line) for line in (result["changed_files"] or "").splitlines()):
            faults.append("had changes that are in no commit")
        if declared != result["declared"]:
            faults.append("row declared otherwise today")
        return f"**{', '.join(faults)}**" if faults else CURRENT

    def _changes(self, commit: str | None) -> int | None:
        """Number of commits since one that changed what figures depend on; None if unknown."""
        if not commit or self._git("merge-base", "--is-ancestor", commit, "HEAD") is None:
            return None
        found = self._git("rev-list", "--count", f"{commit}..HEAD", "--", *DEPENDS_ON)
        return None if found is None else int(found)

    def _git(self, *arguments: str) -> str | None:
        """What git answers; None if it fails or is not installed."""
        try:
            done = subprocess.run(
                ["git", "-C", str(self.root), *arguments], capture_output=True, text=True,
                check=False,
            )  # fmt: skip
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None


def _is_needed(line: str) -> bool:
    """Whether a line of `git status --porcelain` is of a file that figures depend on."""
    path = line[2:].strip().split(" -> ")[-1].strip('"')
    folder = path.split("/")[1] if path.startswith("taichi_pynerf/") else ""
    return path == DEPENDS_ON[1] or bool(folder and folder not in NOT_NEEDED)
