"""The built-in demo scenes as folders in NeRF-synthetic ("Blender") layout, made once and cached.

They show a still life, a plant or a drum kit (`SCENES`) from several distances. Near views show
fine detail; in far views the detail is smaller than a pixel. A field must get both right. Colours
are straight RGBA on a transparent background, as in the NeRF-synthetic scenes.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from taichi_pynerf.data.authoring.scene_folder import new_scene_folder
from taichi_pynerf.demo.foliage import foliage
from taichi_pynerf.demo.glossy import glossy
from taichi_pynerf.demo.still_life import still_life
from taichi_pynerf.demo.tracer import DemoRenderer, TracedScene
from taichi_pynerf.errors import ConfigError, SceneError
from taichi_pynerf.files import cache_folder

CAMERA_ANGLE_X = math.radians(50.0)
LOOK_AT = (0.0, 0.0, -0.18)  # world units
LOOK_AT_JITTER = 0.08  # greatest shift of the point looked at, per axis, world units
ELEVATIONS = (math.radians(10.0), math.radians(70.0))
NEAREST, FARTHEST = 1.8, 50.0  # allowed distances of cameras, world units
GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DemoScene:
    """A built-in scene.

    Args:
        build: makes its shapes, the same at every call.
        contents: what it shows, in words.
        version: raise it when the same settings give other pictures.
    """

    build: Callable[[], TracedScene]
    contents: str
    version: int = 1


STILL_LIFE = "still-life"
SCENES = {
    STILL_LIFE: DemoScene(still_life, "checks, print, wires and a glazed ball on a plinth"),
    "foliage": DemoScene(foliage, "a weeping fig with hundreds of leaves in a glazed pot"),
    "glossy": DemoScene(glossy, "a drum kit and balls of lacquer, chrome, brass and glaze"),
}
"""{name: scene}; the still life is the default."""


@dataclass(frozen=True)
class DemoSceneSettings:
    """The settings that determine a demo scene's pictures.

    Args:
        resolution: pixels along each side of a picture; a multiple of 8, so that it can be
            halved three times.
        num_train, num_val, num_test: views in each split.
        distances: the cameras' distances from the point they look at, in world units, used in
            turn; the scene has a radius of about 1.4.
        samples_per_pixel: a square number: the jittered samples whose mean is a pixel.
        seed: seed of the camera placement and the jitter.

    Raises:
        ConfigError: a value is out of its range.
    """

    resolution: int = 256
    num_train: int = 72
    num_val: int = 8
    num_test: int = 16
    distances: tuple[float, ...] = (2.6, 4.0, 6.0)
    samples_per_pixel: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "distances", tuple(float(d) for d in self.distances))
        for name in ("resolution", "num_train", "num_val", "num_test", "samples_per_pixel"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number from 1 on, got {value!r}")
        if self.resolution % 8:
            raise ConfigError(f"resolution must be a multiple of 8, got {self.resolution}")
        if math.isqrt(self.samples_per_pixel) ** 2 != self.samples_per_pixel:
            raise ConfigError(
                f"samples_per_pixel must be a square (16, 64, 256), got {self.samples_per_pixel}"
            )
        if not self.distances or not all(NEAREST <= d <= FARTHEST for d in self.distances):
            raise ConfigError(
                f"distances must lie between {NEAREST} and {FARTHEST}, got {list(self.distances)}"
            )
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"seed must be a whole number from 0 on, got {self.seed!r}")

    def num_views(self, split: str) -> int:
        return {"train": self.num_train, "val": self.num_val, "test": self.num_test}[split]


def demo_scene_dir(
    cache_root: Path | str | None = None,
    *,
    scene: str = STILL_LIFE,
    progress: bool = True,
    **settings: Any,
) -> Path:
    """The folder of a demo scene with these settings. If it is missing, it is made.

    Args:
        cache_root: folder of all cached scenes; by default the project's `cache_folder`.
        scene: its name in `SCENES`.
        progress: show a progress bar while the scene is made.
        settings: fields of `DemoSceneSettings`.

    Raises:
        ConfigError: an unknown scene, or a setting is out of its range.
        SceneError: the folder cannot be written.
    """
    version = demo_scene(scene).version
    key = DemoSceneSettings(**settings)
    digest = hashlib.sha256(json.dumps(asdict(key), sort_keys=True).encode()).hexdigest()[:12]
    stem = "demo_scene" if scene == STILL_LIFE else f"demo_{scene}"
    folder = Path(cache_root or cache_folder()) / f"{stem}_v{version}_{digest}"
    if not folder.is_dir():
        try:
            make_demo_scene(folder, scene=scene, progress=progress, **settings)
        except SceneError:
            if not folder.is_dir():  # otherwise another process made the same scene first
                raise
    return folder


def make_demo_scene(
    out_dir: Path | str,
    *,
    scene: str = STILL_LIFE,
    resolution: int = DemoSceneSettings.resolution,
    num_train: int = DemoSceneSettings.num_train,
    num_val: int = DemoSceneSettings.num_val,
    num_test: int = DemoSceneSettings.num_test,
    distances: tuple[float, ...] = DemoSceneSettings.distances,
    samples_per_pixel: int = DemoSceneSettings.samples_per_pixel,
    seed: int = DemoSceneSettings.seed,
    progress: bool = True,
) -> Path:
    """Render a demo scene into `out_dir`, which must be new or empty; return it.

    The folder appears under its name only when it is complete. `scene` is a name in `SCENES`.
    The settings are those of `DemoSceneSettings`; `progress` shows a progress bar.

    Raises:
        ConfigError: an unknown scene, or a setting is out of its range.
        SceneError: `out_dir` is not empty, or it cannot be written.
    """
    settings = DemoSceneSettings(
        resolution, num_train, num_val, num_test, distances, samples_per_pixel, seed
    )
    demo_scene(scene)
    with new_scene_folder(out_dir) as folder:
        _write_scene(folder, scene, settings, progress)
    return Path(out_dir)


def demo_scene(name: str) -> DemoScene:
    """The scene of this name.

    Raises:
        ConfigError: there is none; the message lists the names.
    """
    if name not in SCENES:
        raise ConfigError(f"the demo scene must be one of {', '.join(SCENES)}, got {name!r}")
    return SCENES[name]


def view_poses(
    settings: DemoSceneSettings, split: str, elevations: tuple[float, float] = ELEVATIONS
) -> np.ndarray:
    """Camera-to-world matrices (OpenGL) of a split, float64 [num_views, 4, 4].

    Azimuths advance by the golden angle from a random start. The sine of the elevation rises
    evenly. Distances are used in turn, so that each distance sees all sides.
    """
    num_views = settings.num_views(split)
    rng = np.random.default_rng([settings.seed, SPLITS.index(split)])
    start = rng.uniform(0.0, 2.0 * math.pi)
    low, high = (math.sin(angle) for angle in elevations)
    poses = []
    for i in range(num_views):
        azimuth = start + i * GOLDEN_ANGLE
        up = low + (high - low) * (i + 0.5) / num_views
        out = math.sqrt(1.0 - up * up)
        backward = np.array([out * math.cos(azimuth), out * math.sin(azimuth), up])
        look_at = LOOK_AT + rng.uniform(-LOOK_AT_JITTER, LOOK_AT_JITTER, 3)
        distance = settings.distances[i % len(settings.distances)]
        poses.append(_look_along(look_at + distance * backward, backward))
    return np.stack(poses)


def _look_along(eye: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """The upright pose of a camera at `eye` that looks against the unit vector `backward`."""
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(backward, right), backward, eye], axis=1)
    return pose


def _write_scene(folder: Path, scene: str, settings: DemoSceneSettings, progress: bool) -> None:
    renderer = DemoRenderer(SCENES[scene].build())
    name: dict[str, Any] = {} if scene == STILL_LIFE else {"scene": scene}
    description = {**name, "version": SCENES[scene].version, **asdict(settings)}
    (folder / "demo_scene.json").write_text(json.dumps(description, indent=2) + "\n")
    total = sum(settings.num_views(split) for split in SPLITS)
    with tqdm(total=total, desc=f"demo scene {scene}", unit="view", disable=not progress) as bar:
        for split_index, split in enumerate(SPLITS):
            (folder / split).mkdir()
            jitter = np.random.default_rng([settings.seed, split_index, 1])
            frames = []
            for i, pose in enumerate(view_poses(settings, split)):
                image = renderer.render(
                    pose,
                    resolution=settings.resolution,
                    camera_angle_x=CAMERA_ANGLE_X,
                    samples_per_pixel=settings.samples_per_pixel,
                    seed=int(jitter.integers(2**31)),
                )
                Image.fromarray(straight_rgba(image)).save(folder / split / f"r_{i}.png")
                frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": pose.tolist()})
                bar.update()
            transforms = {"camera_angle_x": CAMERA_ANGLE_X, "frames": frames}
            (folder / f"transforms_{split}.json").write_text(json.dumps(transforms, indent=2))


def straight_rgba(premultiplied: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 4] straight colours and alpha, from float [H, W, 4] in [0, 1] premultiplied.

    Colours without coverage are black.
    """
    alpha = premultiplied[..., 3:]
    colour = premultiplied[..., :3] / np.maximum(alpha, 1e-6)
    rgba = np.concatenate([colour, alpha], axis=-1)
    return (np.clip(rgba, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
