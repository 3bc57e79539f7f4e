"""How well a folder fits a format."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from taichi_pynerf.data.scene_files import read_json
from taichi_pynerf.errors import SceneError


class Fit(NamedTuple):
    """How well a folder fits a format.

    Attributes:
        fits: the folder is a scene of the format.
        found: the evidence for the format, in words; empty if there is none.
        missing: the first thing that the folder lacks for the format.
        is_claimed: the folder claims this format, but its description is broken.
    """

    fits: bool
    found: str = ""
    missing: str = ""
    is_claimed: bool = False


def frames_in(path: Path) -> tuple[int, str]:
    """The number of frames in a JSON file, and the fault in words if there are none."""
    try:
        content = read_json(path)
    except SceneError as error:
        return 0, str(error).removeprefix(f"{path}: ")
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        return 0, "it has no list frames"
    return len(frames), ""
