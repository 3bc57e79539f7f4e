"""Ray tracing of the built-in demo scenes, with numpy arrays in and out."""

import math
from dataclasses import dataclass

import numpy as np

from taichi_pynerf import runtime
from taichi_pynerf.demo import depth_kernels, surroundings_kernels, tracer_kernels
from taichi_pynerf.demo.paint_kernels import Paint
from taichi_pynerf.demo.shape_kernels import BITS_PER_WORD, Kind, Row

__all__ = [
    "DemoRenderer",
    "Kind",
    "Paint",
    "Row",
    "TracedScene",
    "render_surroundings",
]

SHADOW_CELLS = 128  # cells along each side of the light grid

NUM_COLUMNS = 18
NEAREST_COLUMN, FARTHEST_COLUMN = 7.0, 24.0  # distances from the z axis, world units


@dataclass(frozen=True)
class TracedScene:
    """The scene of the ray tracer. Lengths are in world units, z is up.

    Args:
        table: float32 [num_shapes, len(Row), 3], the geometry and colours of the shapes. Tracing
            is faster if shapes near each other follow each other.
        kinds: int32 [num_shapes, 2], the `Kind` and the `Paint` of each shape.
        occluders: float32 [num_occluders, 4], spheres (centre, radius) that block the sky's light.
        prints: int32 [height, width], the inks (0, 1, 2) of all printed textures in one sheet.
        frames: int32 [num_prints, 4], the part (row, column, height, width) of each print in it.
        to_light: direction of the key light, a unit vector.
        penumbra: half the angular width of the square key light, in radians.
        radius: all shapes lie within this distance of the world's origin.
    """

    table: np.ndarray
    kinds: np.ndarray
    occluders: np.ndarray
    prints: np.ndarray
    frames: np.ndarray
    to_light: tuple[float, float, float]
    penumbra: float
    radius: float


class DemoRenderer:
    """Renders views of a `TracedScene`; starts Taichi if nothing has yet.

    Raises:
        ValueError: the scene has no shape.
    """

    def __init__(self, scene: TracedScene):
        if not len(scene.table):
            raise ValueError("a scene has one shape or more")
        runtime.start()
        self.scene = scene
        self._light_frame = light_frame(scene.to_light)
        self._groups = shape_groups(scene.table)
        finished = bool(scene.table[:, [Row.MIRROR, Row.FINISH]].any())
        self._render = tracer_kernels.render_view_kernel(finished)
        self._shadow_lists = np.zeros((SHADOW_CELLS, SHADOW_CELLS, len(self._groups)), np.int32)
        tracer_kernels.list_shadow_shapes(
            self._shadow_lists,
            scene.table,
            self._groups,
            self._light_frame,
            scene.radius,
            scene.penumbra,
        )

    def render(
        self,
        pose: np.ndarray,
        *,
        resolution: int,
        camera_angle_x: float,
        samples_per_pixel: int,
        seed: int,
    ) -> np.ndarray:
        """Render one square view.

        Args:
            pose: [4, 4] camera-to-world matrix (OpenGL); the camera stands outside the scene.
            resolution: pixels along each side.
            camera_angle_x: horizontal field of view in radians.
            samples_per_pixel: a square number; one jittered sample falls in each of its strata.
            seed: seed of the jitter; the same seed gives the same picture.

        Returns:
            float32 [resolution, resolution, 4] in [0, 1]: display colours premultiplied by
            coverage, and coverage. A pixel is the mean over its square.

        Raises:
            ValueError: `samples_per_pixel` is no square number, or the camera is inside the scene.
        """
        strata = _strata(samples_per_pixel)
        scene = self.scene
        if np.linalg.norm(pose[:3, 3]) <= scene.radius:
            raise ValueError(f"the camera must be farther than {scene.radius} from the origin")
        image = np.zeros((resolution, resolution, 4), np.float32)
        self._render(
            image,
            np.zeros((resolution, resolution, len(self._groups)), np.int32),
            np.ascontiguousarray(pose, np.float32),
            scene.table,
            scene.kinds,
            self._groups,
            scene.occluders,
            scene.prints,
            scene.frames,
            self._light_frame,
            self._shadow_lists,
            scene.radius,
            scene.penumbra,
            _focal(resolution, camera_angle_x),
            strata,
            seed,
        )
        return image

    def depth(
        self,
        pose: np.ndarray,
        *,
        resolution: int,
        camera_angle_x: float,
        floor: float | None = None,
    ) -> np.ndarray:
        """Depth of a view at the middle of each pixel.

        Args:
            pose, resolution, camera_angle_x: as in `render`.
            floor: height of the ground of the surroundings (`render_surroundings`); None if there
                are no surroundings.

        Returns:
            float32 [resolution, resolution], distances along the optical axis in world units; 0
            where there is nothing or only sky.
        """
        image = np.zeros((resolution, resolution), np.float32)
        depth_kernels.render_view_depth(
            image,
            np.ascontiguousarray(pose, np.float32),
            self.scene.table,
            self.scene.kinds,
            all_shapes(len(self.scene.table)),
            _columns(),
            floor or 0.0,
            int(floor is not None),
            _focal(resolution, camera_angle_x),
            self.scene.radius,
        )
        return image


def all_shapes(num_shapes: int) -> np.ndarray:
    """int32 [1, 1, num_words]: the list that holds every shape."""
    counts = np.clip(num_shapes - np.arange(0, num_shapes, BITS_PER_WORD), 0, BITS_PER_WORD)
    return ((1 << counts) - 1).astype(np.int32)[None, None]


def shape_groups(table: np.ndarray) -> np.ndarray:
    """float32 [num_words, 4]: centre and radius of a sphere around each word's shapes.

    Args:
        table: as in `TracedScene`.
    """
    groups = []
    for first in range(0, len(table), BITS_PER_WORD):
        rows = table[first : first + BITS_PER_WORD].astype(np.float64)
        ends, radii = rows[:, [Row.BOUND_A, Row.BOUND_B]], rows[:, Row.BOUND_RADIUS, :1]
        low, high = (ends - radii[:, None]).min((0, 1)), (ends + radii[:, None]).max((0, 1))
        centre = 0.5 * (low + high)
        reach = (np.linalg.norm(ends - centre, axis=-1) + radii).max()
        groups.append([*centre, 1.0001 * reach + 1e-5])  # float32 tests must not lose any
    return np.array(groups, np.float32)


def render_surroundings(
    pose: np.ndarray,
    *,
    floor: float,
    inner_radius: float,
    resolution: int,
    camera_angle_x: float,
    samples_per_pixel: int,
    seed: int,
) -> np.ndarray:
    """Render the surroundings of a still life: ground, columns, mountains and clouds.

    Args:
        pose: [4, 4] camera-to-world matrix (OpenGL); the camera stands above the ground, between
            the still life and the columns (`NEAREST_COLUMN`).
        floor: height of the ground.
        inner_radius: radius of the still life's shadow on the ground, around the z axis.
        resolution, camera_angle_x, samples_per_pixel, seed: as `DemoRenderer.render`.

    Returns:
        float32 [resolution, resolution, 3] in [0, 1], display colours; every pixel is opaque.

    Raises:
        ValueError: `samples_per_pixel` is no square number, or the camera stands elsewhere.
    """
    eye = pose[:3, 3]
    out = np.linalg.norm(eye[:2])
    if eye[2] <= floor or out >= NEAREST_COLUMN - 1.0:
        raise ValueError(f"the camera at {eye.tolist()} is not above the ground inside the columns")
    image = np.zeros((resolution, resolution, 3), np.float32)
    surroundings_kernels.render_surroundings(
        image,
        np.ascontiguousarray(pose, np.float32),
        _columns(),
        floor,
        inner_radius,
        _focal(resolution, camera_angle_x),
        _strata(samples_per_pixel),
        seed,
    )
    return image


def _columns() -> np.ndarray:
    """float32 [NUM_COLUMNS, 4]: x, y, radius and height, spread evenly over a ring."""
    rng = np.random.default_rng(0)
    index = np.arange(NUM_COLUMNS)
    out = NEAREST_COLUMN + (FARTHEST_COLUMN - NEAREST_COLUMN) * np.sqrt((index + 0.5) / NUM_COLUMNS)
    angle = index * math.pi * (3.0 - math.sqrt(5.0))
    radius = rng.uniform(0.35, 0.9, NUM_COLUMNS)
    height = rng.uniform(2.0, 7.0, NUM_COLUMNS)
    columns = np.stack([out * np.cos(angle), out * np.sin(angle), radius, height], axis=-1)
    return columns.astype(np.float32)


def _strata(samples_per_pixel: int) -> int:
    strata = math.isqrt(samples_per_pixel)
    if strata < 1 or strata * strata != samples_per_pixel:
        raise ValueError(f"samples_per_pixel must be a square, got {samples_per_pixel}")
    return strata


def _focal(resolution: int, camera_angle_x: float) -> float:
    """Focal length in pixels."""
    return 0.5 * resolution / math.tan(0.5 * camera_angle_x)


def light_frame(to_light: tuple[float, float, float]) -> np.ndarray:
    """float32 [3, 3]: two unit vectors across the light, then the unit vector towards it."""
    toward = np.asarray(to_light, np.float64)
    toward /= np.linalg.norm(toward)
    across = np.cross([0.0, 0.0, 1.0] if abs(toward[2]) < 0.9 else [1.0, 0.0, 0.0], toward)
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(toward, across), toward]).astype(np.float32)
