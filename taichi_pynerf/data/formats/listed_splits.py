"""Splits in a table beside a model, as of the photo collections of NeRF in the Wild.

`NAME.tsv` has the columns filename, id, split and dataset; split is "train" or "test". Images whose
id is empty, and those that are not listed, are in neither: the authors left them out.
"""

from __future__ import annotations

import csv
from pathlib import Path

from taichi_pynerf.data.scene_files import note, read_text, warn_once
from taichi_pynerf.errors import SceneError

COLUMNS = ("filename", "split")


def listed_splits(data_dir: Path, names: list[str]) -> dict[str, list[int]] | None:
    """The splits that a table gives; None without one.

    Args:
        data_dir: the scene folder.
        names: V images.

    Raises:
        SceneError: the table is not text, or leaves no image for training.
    """
    note(data_dir)
    for path in sorted(data_dir.glob("*.tsv")):
        rows = list(csv.DictReader(read_text(path).splitlines(), delimiter="\t"))
        if not rows or not set(COLUMNS) <= set(rows[0]):
            continue
        if not {row["filename"] for row in rows} & set(names):
            continue  # a table of other images
        used = {row["filename"]: row["split"] for row in rows if row.get("id", "all") != ""}
        held = [i for i, name in enumerate(names) if used.get(name) == "test"]
        train = [i for i, name in enumerate(names) if used.get(name, "test") != "test"]
        if not train:
            raise SceneError(f"{path}: leaves no image for training")
        idle = len(names) - len(train) - len(held)
        warn_once(
            f"{path}: says which {len(held)} of {len(names)} images are held out"
            + (f", and leaves {idle} out" if idle else "")
        )
        return {"train": train, "val": held, "test": held} if held else {"train": train}
    return None
