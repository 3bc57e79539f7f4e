"""Mutations that know a file's kind: most changed bytes alone make JSON or an archive unreadable.

So the parser's own checks are reached, and not its first line alone.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path

import taichi_pynerf
from benchmarks.reliability.children import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from damage import changed_archive, damaged_json, damaged_text

READERS = ("data", "rendering", "runs", "config.py", "settings.py")
"""Parts of the package whose words are members of files."""
TEXTS = (".txt", ".csv", ".xml", ".jsonl", ".ply")
ARCHIVES = (".npz", ".pth")


def mutated(
    suffix: str, data: bytes, seed: int, most: int, plain: Callable[[bytes], bytes]
) -> bytes:
    """Change a file.

    Args:
        suffix: of its name.
        data: its content.
        seed: the same one gives the same change.
        most: greatest length of the result.
        plain: libFuzzer's own mutation of bytes, which one in four files get.
    """
    if seed % 4:
        with contextlib.suppress(Exception):  # files that are broken already, in any way
            if suffix == ".json":
                return damaged_json(data, seed, members())[:most]
            if suffix in TEXTS:
                return damaged_text(data, seed)[:most]
            if suffix in ARCHIVES:
                return changed_archive(data, seed // 4, plain)[:most]
    return plain(data)


@functools.cache
def members() -> tuple[str, ...]:
    """Words in the code that reads files, which may be names of members."""
    root, found = Path(taichi_pynerf.__file__).parent, set[str]()
    for name in READERS:
        for path in [root / name] if name.endswith(".py") else (root / name).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.update(re.findall(r"^[A-Za-z][\w-]{0,30}$", node.value))
    return tuple(sorted(found))
