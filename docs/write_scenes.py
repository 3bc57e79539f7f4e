"""Trains the scenes of the gallery and writes their pages: `python docs/write_scenes.py [NAME …]`.

Runs and the photographs of the landscape go to outputs/scenes, and what is there is not made again;
pages go to docs/scenes, their pictures to docs/images/scenes. The tables are small, so that the
pages are, too.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from taichi_pynerf import runtime
from taichi_pynerf.export.web import PageOptions, write_web_scene
from taichi_pynerf.files import atomic_write
from taichi_pynerf.model.images import render_image
from taichi_pynerf.runs.runs import open_run

ROOT = Path(__file__).parents[1]
RUNS, PAGES = ROOT / "outputs" / "scenes", ROOT / "docs" / "scenes"
PICTURES = ROOT / "docs" / "images" / "scenes"
SMALL = ("--hash_table_size", 2**14, "--max_steps", 1000)
LANDSCAPE = "landscape"
PICTURE_WIDTH = 360


@dataclass(frozen=True)
class Entry:
    """A page of the gallery.

    Attributes:
        title: of the page.
        run: its run's name.
        max_megabytes: as `PageOptions` has it.
    """

    title: str
    run: str
    max_megabytes: float | None = None


ENTRIES = {
    "still_life": Entry("Still life", "still_life"),
    "still_life_coarse": Entry("Still life without its finest levels", "still_life", 0.4),
    LANDSCAPE: Entry("Still life in a landscape", LANDSCAPE),
}


def train(name: str) -> Path:
    """The run of some name, trained if it is not there: of the demo scene, or of its landscape."""
    run = RUNS / name
    if (run / "checkpoint.pth").exists():
        return run
    flags = [*SMALL, "--output_dir", RUNS, "--experiment_name", name]
    if name == LANDSCAPE:
        photos = RUNS / f"{name}_photos"
        if not photos.exists():
            _program("make_demo_scene", "--unbounded", "--output_dir", photos)
        flags += ["--multiscale", "--data_dir", photos]
    _program("train", *flags)
    return run


def _program(name: str, *flags: object) -> None:
    command = [sys.executable, "-m", f"taichi_pynerf.apps.{name}", *map(str, flags)]
    subprocess.run(command, check=True, cwd=ROOT)


@torch.no_grad()
def write_page(name: str, entry: Entry) -> None:
    """Write a page, and the picture that leads to it: what the page begins with."""
    opened = open_run(train(entry.run))
    views = opened.scene.views("train")
    options = PageOptions(entry.title, max_megabytes=entry.max_megabytes)
    written = write_web_scene(opened.model, PAGES / f"{name}.html", options, views)
    height = PICTURE_WIDTH * int(views.cameras.height[0]) // int(views.cameras.width[0])
    camera = views.cameras.select([0])
    camera = camera.resized(torch.tensor([PICTURE_WIDTH]), torch.tensor([height]))
    model, background = written.quantised.model, views.background
    rgb = render_image(model, camera, 0, views.near, views.far, background)["rgb"]
    picture = Image.fromarray((255 * rgb.clamp(0, 1)).round().numpy().astype(np.uint8))
    with atomic_write(PICTURES / f"{name}.webp") as file:
        picture.save(file, format="WEBP", quality=85)
    print(f"{written.num_bytes / 1e6:.2f} MB: {written.path}")


def main(names: list[str]) -> None:
    unknown = set(names) - set(ENTRIES)
    if unknown:
        sys.exit(f"no scene {', '.join(sorted(unknown))}; there are {', '.join(ENTRIES)}")
    runtime.start("cpu")
    for folder in (RUNS, PAGES, PICTURES):
        folder.mkdir(parents=True, exist_ok=True)
    for name in names or ENTRIES:
        write_page(name, ENTRIES[name])


if __name__ == "__main__":
    main(sys.argv[1:])
