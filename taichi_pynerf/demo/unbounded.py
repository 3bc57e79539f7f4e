"""The demo scene's still life in a landscape: a scene without bounds, in nerfstudio's layout.

The same still life as in `demo_scene.py`, seen from nearby, on a ground that reaches to the
horizon, with columns, mountains and clouds: every pixel is opaque, and most of the distances are
far beyond any scene box.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from taichi_pynerf.data.authoring.scene_folder import new_scene_folder
from taichi_pynerf.demo.scene import SPLITS, DemoSceneSettings, view_poses
from taichi_pynerf.demo.still_life import GROUND, PLINTH_HEIGHT, PLINTH_RADIUS, still_life
from taichi_pynerf.demo.tracer import NEAREST_COLUMN, DemoRenderer, render_surroundings
from taichi_pynerf.errors import ConfigError

CAMERA_ANGLE_X = math.radians(65.0)
ELEVATIONS = (math.radians(4.0), math.radians(45.0))
DISTANCES = (2.2, 3.0)
FARTHEST = NEAREST_COLUMN - 1.5
FLOOR = GROUND - PLINTH_HEIGHT


def make_unbounded_demo(
    out_dir: Path | str, settings: DemoSceneSettings | None = None, *, progress: bool = True
) -> Path:
    """Render the unbounded demo scene into `out_dir`, which must be new or empty; return it.

    Writes `images/<split>_<view>.png` and a `transforms.json` with the three splits' file names.
    The folder appears under its name only when it is complete.

    Args:
        settings: by default the demo scene's with distances `DISTANCES`; here they may be
            `FARTHEST` at most.
        progress: show a bar.

    Raises:
        ConfigError: a distance is too large.
        SceneError: `out_dir` is not empty, or it cannot be written.
    """
    settings = settings or replace(DemoSceneSettings(), distances=DISTANCES)
    if max(settings.distances) > FARTHEST:
        raise ConfigError(
            f"distances of the unbounded scene must be {FARTHEST} or less, for columns stand "
            f"behind; got {list(settings.distances)}"
        )
    renderer = DemoRenderer(still_life())
    focal = 0.5 * settings.resolution / math.tan(0.5 * CAMERA_ANGLE_X)
    transforms: dict[str, Any] = {
        "camera_model": "PINHOLE",
        "w": settings.resolution,
        "h": settings.resolution,
        "fl_x": focal,
        "fl_y": focal,
        "cx": 0.5 * settings.resolution,
        "cy": 0.5 * settings.resolution,
        "frames": [],
    }
    total = sum(settings.num_views(split) for split in SPLITS)
    with (
        new_scene_folder(out_dir) as folder,
        tqdm(total=total, desc="unbounded demo", unit="view", disable=not progress) as bar,
    ):
        (folder / "images").mkdir()
        for split_index, split in enumerate(SPLITS):
            jitter = np.random.default_rng([settings.seed, split_index, 1])
            names = []
            for i, pose in enumerate(view_poses(settings, split, ELEVATIONS)):
                names.append(f"images/{split}_{i:03d}.png")
                seed = int(jitter.integers(2**31))
                Image.fromarray(_view(renderer, pose, settings, seed)).save(folder / names[-1])
                transforms["frames"].append(
                    {"file_path": names[-1], "transform_matrix": pose.tolist()}
                )
                bar.update()
            transforms[f"{split}_filenames"] = names
        (folder / "transforms.json").write_text(json.dumps(transforms, indent=2) + "\n")
    return Path(out_dir)


def _view(
    renderer: DemoRenderer, pose: np.ndarray, settings: DemoSceneSettings, seed: int
) -> np.ndarray:
    """uint8 [resolution, resolution, 3]: the still life over its surroundings."""
    options: dict[str, Any] = {
        "resolution": settings.resolution,
        "camera_angle_x": CAMERA_ANGLE_X,
        "samples_per_pixel": settings.samples_per_pixel,
        "seed": seed,
    }
    front = renderer.render(pose, **options)
    behind = render_surroundings(pose, floor=FLOOR, inner_radius=PLINTH_RADIUS, **options)
    rgb = front[..., :3] + (1.0 - front[..., 3:]) * behind
    return (np.clip(rgb, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
