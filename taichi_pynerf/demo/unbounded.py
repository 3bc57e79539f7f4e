"""The demo scene's still life in a landscape: an unbounded scene in nerfstudio's layout.

The still life of `scene.py`, seen from nearby, stands on a ground that reaches to the horizon, amid
columns, mountains and clouds. Every pixel is opaque, and most distances are far beyond any scene
box.
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
from taichi_pynerf.data.linear_images import light_of, srgb
from taichi_pynerf.demo.scene import SPLITS, DemoSceneSettings, view_poses
from taichi_pynerf.demo.still_life import GROUND, PLINTH_HEIGHT, PLINTH_RADIUS, still_life
from taichi_pynerf.demo.tracer import NEAREST_COLUMN, DemoRenderer, render_surroundings
from taichi_pynerf.errors import ConfigError

CAMERA_ANGLE_X = math.radians(65.0)
ELEVATIONS = (math.radians(4.0), math.radians(45.0))
DISTANCES = (2.2, 3.0)
FARTHEST = NEAREST_COLUMN - 1.5
FLOOR = GROUND - PLINTH_HEIGHT
DEPTH_UNIT = 1e-3  # world units per step of a depth image
MAX_STOPS = 4.0  # greatest `exposure_stops`


def make_unbounded_demo(
    out_dir: Path | str,
    settings: DemoSceneSettings | None = None,
    *,
    exposure_stops: float = 0.0,
    depth: bool = False,
    progress: bool = True,
) -> Path:
    """Render the unbounded demo scene into `out_dir`, which must be new or empty; return it.

    Writes `images/<split>_<view>.png` and a `transforms.json` with the three splits' file names.
    The folder appears under its name only when it is complete.

    Args:
        settings: by default those of the demo scene with distances `DISTANCES`; distances may be
            `FARTHEST` at most.
        exposure_stops: spread of the pictures' exposures, as in `random_gains`. If it is not 0,
            `exposures.json` holds the gains of each picture.
        depth: write `depths/<split>_<view>.png` too, in thousandths of a unit, as nerfstudio does.
        progress: show a progress bar.

    Raises:
        ConfigError: a distance is too large, or `exposure_stops` is not in [0, 4].
        SceneError: `out_dir` is not empty, or it cannot be written.
    """
    settings = settings or replace(DemoSceneSettings(), distances=DISTANCES)
    if max(settings.distances) > FARTHEST:
        raise ConfigError(
            f"distances of the unbounded scene must be {FARTHEST} or less, for columns stand "
            f"behind; got {list(settings.distances)}"
        )
    if not 0 <= exposure_stops <= MAX_STOPS:
        raise ConfigError(f"exposure_stops is {exposure_stops}: it must be in [0, {MAX_STOPS:g}]")
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
    if depth:
        transforms["depth_unit_scale_factor"] = DEPTH_UNIT
    exposures: dict[str, list[float]] = {}
    total = sum(settings.num_views(split) for split in SPLITS)
    with (
        new_scene_folder(out_dir) as folder,
        tqdm(total=total, desc="unbounded demo", unit="view", disable=not progress) as bar,
    ):
        (folder / "images").mkdir()
        if depth:
            (folder / "depths").mkdir()
        for split_index, split in enumerate(SPLITS):
            jitter = np.random.default_rng([settings.seed, split_index, 1])
            names = []
            gains = random_gains(settings.num_views(split), exposure_stops, settings.seed, split)
            for i, pose in enumerate(view_poses(settings, split, ELEVATIONS)):
                names.append(f"images/{split}_{i:03d}.png")
                seed = int(jitter.integers(2**31))
                image = exposed(_view(renderer, pose, settings, seed), gains[i])
                image = (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
                Image.fromarray(image).save(folder / names[-1])
                exposures[names[-1]] = gains[i].tolist()
                frame = {"file_path": names[-1], "transform_matrix": pose.tolist()}
                if depth:
                    frame["depth_file_path"] = f"depths/{split}_{i:03d}.png"
                    values = _depth(renderer, pose, settings)
                    Image.fromarray(values).save(folder / frame["depth_file_path"])
                transforms["frames"].append(frame)
                bar.update()
            transforms[f"{split}_filenames"] = names
        (folder / "transforms.json").write_text(json.dumps(transforms, indent=2) + "\n")
        if exposure_stops:
            (folder / "exposures.json").write_text(json.dumps(exposures, indent=2) + "\n")
    return Path(out_dir)


def random_gains(num_views: int, stops: float, seed: int, split: str) -> np.ndarray:
    """Gains float64 [V, 3] of each view's channels, in linear light.

    They imitate a camera with automatic exposure. Exposures differ by up to `stops` powers of two
    to either side. White balance changes red and blue by up to a quarter of that against green.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), 2])
    exposure = rng.uniform(-stops, stops, (num_views, 1))
    balance = rng.uniform(-stops, stops, (num_views, 3)) / 4
    balance[:, 1] = 0.0
    return 2.0 ** (exposure + balance)


def exposed(image: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Display colours [H, W, 3] (sRGB) of a picture whose light is multiplied by `gains` [3]."""
    if (gains == 1.0).all():
        return image
    return srgb(light_of(image) * gains)


def _view(
    renderer: DemoRenderer, pose: np.ndarray, settings: DemoSceneSettings, seed: int
) -> np.ndarray:
    """float [resolution, resolution, 3]: the still life over its surroundings."""
    options: dict[str, Any] = {
        "resolution": settings.resolution,
        "camera_angle_x": CAMERA_ANGLE_X,
        "samples_per_pixel": settings.samples_per_pixel,
        "seed": seed,
    }
    front = renderer.render(pose, **options)
    behind = render_surroundings(pose, floor=FLOOR, inner_radius=PLINTH_RADIUS, **options)
    return front[..., :3] + (1.0 - front[..., 3:]) * behind


def _depth(renderer: DemoRenderer, pose: np.ndarray, settings: DemoSceneSettings) -> np.ndarray:
    """uint16 [resolution, resolution] in `DEPTH_UNIT`s; 0 where depth is unknown or too large."""
    depth = renderer.depth(
        pose, resolution=settings.resolution, camera_angle_x=CAMERA_ANGLE_X, floor=FLOOR
    )
    values = np.round(depth / DEPTH_UNIT)
    return np.where(values < 2**16, values, 0).astype(np.uint16)
