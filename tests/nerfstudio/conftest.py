"""Shared parts of the plugin's tests, which are skipped if nerfstudio is not installed."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny import ball_scene, roughen, tiny_model

sys.path.insert(0, str(Path(__file__).parent))

from torchvision_shim import declare_operators

# A module of it, for the name alone is also this folder's.
if importlib.util.find_spec("nerfstudio.engine") is not None:
    declare_operators()

SIZE = 32


@pytest.fixture(scope="session")
def ball_folder(tmp_path_factory):
    """The ball of `tiny.ball_scene` as a Blender scene of 10, 2 and 2 views."""
    folder = tmp_path_factory.mktemp("scenes") / "ball"
    for split, num_views in (("train", 10), ("val", 2), ("test", 2)):
        write_ball_split(folder, split, num_views)
    return folder


def write_ball_split(folder: Path, split: str, num_views: int) -> None:
    (folder / split).mkdir(parents=True)
    scene = ball_scene(num_views, SIZE, split)
    frames = []
    for i, image in enumerate(scene.images):
        Image.fromarray(image).save(folder / split / f"r_{i}.png")
        pose = [*scene.cameras.c2w[i].tolist(), [0.0, 0.0, 0.0, 1.0]]
        frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": pose})
    half = 0.5 * SIZE / float(scene.cameras.fx[0])
    content = {"camera_angle_x": 2 * math.atan(half), "frames": frames}
    (folder / f"transforms_{split}.json").write_text(json.dumps(content))


@pytest.fixture
def rough_model():
    """A model that shows something, of a chosen configuration."""

    def build(**settings):
        model = tiny_model(**settings).eval()
        roughen(model.field)
        return model

    return build
