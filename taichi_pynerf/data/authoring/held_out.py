"""Which photographs of a new scene are held out.

As many as where every eighth is held out, and each amid its neighbours: the photographs, sorted by
name, are cut into runs of equal length, and the middle one of each run is held out. Photographs are
mostly named in the order in which they were taken, so the first and the last stand at the ends of a
walk or a row, and show what no other does. A held-out photograph of such a place measures what
nobody could know, and training without it loses a part of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taichi_pynerf.errors import SceneError

EVERY = 8


def amid(count: int, every: int = EVERY) -> list[int]:
    """The indices to hold out of `count` photographs in order; none of a single one."""
    if count < 2:
        return []
    runs = -(-count // every)
    return [(2 * run + 1) * count // (2 * runs) for run in range(runs)]


def lists_of_splits(
    paths: Sequence[str], held_names: Sequence[str] | None = None, source: str | Path = ""
) -> dict[str, list[str]]:
    """The lists of `transforms.json` that say which images are held out.

    Args:
        paths: paths of all images with a pose, as in the file, in order.
        held_names: names in `images` of those to hold out; by default those amid the others.
        source: where these are from, for messages.

    Raises:
        SceneError: none of the named images got a pose, or none of the others.
    """
    if held_names is None:
        held = {paths[i] for i in amid(len(paths))}
    else:
        held = {f"images/{name}" for name in held_names}
    test = [path for path in paths if path in held]
    train = [path for path in paths if path not in held]
    if not test or not train:
        raise SceneError(
            f"{source}: {len(test)} of its images got a pose, and {len(train)} of the others: "
            "there must be some of both to hold it out"
        )
    return {"train_filenames": train, "val_filenames": test, "test_filenames": test}
