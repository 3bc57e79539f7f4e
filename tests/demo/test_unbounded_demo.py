"""The demo scene in its landscape: the surroundings, and the nerfstudio folder."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from taichi_pynerf.demo.scene import SPLITS, DemoSceneSettings, view_poses
from taichi_pynerf.demo.tracer import render_surroundings
from taichi_pynerf.demo.unbounded import (
    CAMERA_ANGLE_X,
    DISTANCES,
    ELEVATIONS,
    FLOOR,
    exposed,
    make_unbounded_demo,
)
from taichi_pynerf.errors import ConfigError, SceneError
from taichi_pynerf.geometry.cameras import look_at

TINY = DemoSceneSettings(16, 4, 1, 2, DISTANCES, 4, 0)


def pose_at(eye, target):
    pose = np.eye(4)
    pose[:3] = look_at(eye, target).numpy()
    return pose


def render(pose, resolution, samples_per_pixel=16, inner_radius=0.1):
    return render_surroundings(
        pose,
        floor=FLOOR,
        inner_radius=inner_radius,
        resolution=resolution,
        camera_angle_x=CAMERA_ANGLE_X,
        samples_per_pixel=samples_per_pixel,
        seed=0,
    )


def seen_at(image, pose, points):
    """[N, 3] colours where a picture shows points, and [N] whether it does."""
    size = len(image)
    focal = 0.5 * size / math.tan(0.5 * CAMERA_ANGLE_X)
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    pixels = 0.5 * size + focal * local[:, :2] / -local[:, 2:] * (1.0, -1.0)
    shown = (local[:, 2] < 0) & (pixels > 0).all(-1) & (pixels < size).all(-1)
    column, row = np.clip(pixels.astype(int), 0, size - 1).T
    return image[row, column], shown


def test_ground_points_look_alike_from_two_cameras():
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-2, 2, (400, 2)), np.full(400, FLOOR)])
    first, second = pose_at((3.0, 0.5, 2.0), (0, 0, FLOOR)), pose_at((1.5, 3.0, 2.2), (0, 0, FLOOR))
    (a, in_a), (b, in_b) = (seen_at(render(p, 192), p, points) for p in (first, second))
    both = in_a & in_b
    assert both.sum() > 200
    assert np.corrcoef(a[both].ravel(), b[both].ravel())[0, 1] > 0.9
    # Another point's colour is no guess: the ground has a pattern.
    assert np.corrcoef(a[both].ravel(), np.roll(b[both], 1, axis=0).ravel())[0, 1] < 0.6


def test_horizon_is_level_and_every_direction_shows_something():
    image = render(pose_at((3.0, 0.0, 1.0), (0.0, 0.0, 1.0)), 64)
    assert image.min() > 0.0
    assert image.max() <= 1.0
    assert np.isfinite(image).all()
    upper, lower = image[:8].mean((0, 1)), image[40:].mean((0, 1))
    assert upper[2] > upper[0] + 0.02  # the sky is blue
    assert lower[0] >= lower[2]  # stone is not
    for rows in (image[:32], image[32:]):
        assert rows.std((0, 1)).max() > 0.03


def test_a_pixel_is_the_area_average_of_finer_pixels():
    pose = pose_at((2.0, 1.5, 0.6), (0.0, 0.0, 0.0))
    coarse, fine = render(pose, 24, 256), render(pose, 96, 64)
    averaged = fine.reshape(24, 4, 24, 4, 3).mean(axis=(1, 3))
    assert np.abs(coarse - averaged).mean() < 0.01


def test_cameras_stand_above_the_ground_inside_of_the_columns():
    for split in SPLITS:
        poses = view_poses(replace(DemoSceneSettings(), distances=DISTANCES), split, ELEVATIONS)
        assert poses[:, 2, 3].min() > FLOOR + 0.2
    with pytest.raises(ValueError, match="not above the ground"):
        render(pose_at((3.0, 0.0, FLOOR - 1), (0, 0, 0)), 8)
    with pytest.raises(ValueError, match="inside the columns"):
        render(pose_at((30.0, 0.0, 1.0), (0, 0, 0)), 8)


def test_folder_has_nerfstudios_layout(tmp_path):
    folder = make_unbounded_demo(tmp_path / "scene", TINY, progress=False)
    transforms = json.loads((folder / "transforms.json").read_text())
    assert transforms["camera_model"] == "PINHOLE"
    assert (transforms["w"], transforms["h"]) == (16, 16)
    assert 2 * math.atan(8 / transforms["fl_x"]) == pytest.approx(CAMERA_ANGLE_X)
    names = [frame["file_path"] for frame in transforms["frames"]]
    assert names == [name for split in SPLITS for name in transforms[f"{split}_filenames"]]
    assert [len(transforms[f"{split}_filenames"]) for split in SPLITS] == [4, 1, 2]
    poses = np.array([frame["transform_matrix"] for frame in transforms["frames"]])
    np.testing.assert_allclose(poses[:4], view_poses(TINY, "train", ELEVATIONS))
    for name in names:
        with Image.open(folder / name) as image:
            assert (image.mode, image.size) == ("RGB", (16, 16))


def test_wrong_settings_and_places_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match="columns stand behind"):
        make_unbounded_demo(tmp_path / "scene", replace(TINY, distances=(9.0,)))
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SceneError, match="is there already"):
        make_unbounded_demo(tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_exposures_differ_by_known_gains(tmp_path):
    plain = make_unbounded_demo(tmp_path / "plain", TINY, progress=False)
    varied = make_unbounded_demo(tmp_path / "varied", TINY, exposure_stops=1.0, progress=False)
    gains = json.loads((varied / "exposures.json").read_text())
    assert not (plain / "exposures.json").exists()
    assert len(gains) == 7
    for name, gain in gains.items():
        before, after = (np.asarray(Image.open(folder / name)) / 255 for folder in (plain, varied))
        assert np.abs(np.log2(gain)).max() <= 1.25
        np.testing.assert_allclose(after, exposed(before, np.array(gain)).clip(0, 1), atol=0.02)
    stops = np.log2(list(gains.values()))
    assert stops.std(0).min() > 0.2
    with pytest.raises(ConfigError, match="exposure_stops"):
        make_unbounded_demo(tmp_path / "wrong", TINY, exposure_stops=-1)


def test_depths_are_those_of_the_ground_and_of_what_two_cameras_see(tmp_path):
    settings = replace(TINY, resolution=64)
    folder = make_unbounded_demo(tmp_path / "scene", settings, depth=True, progress=False)
    transforms = json.loads((folder / "transforms.json").read_text())
    unit, focal = transforms["depth_unit_scale_factor"], transforms["fl_x"]
    column, row = np.meshgrid(np.arange(64) + 0.5 - 32, 32 - np.arange(64) - 0.5)
    for frame in transforms["frames"]:
        depth = np.asarray(Image.open(folder / frame["depth_file_path"])) * unit
        pose = np.array(frame["transform_matrix"])
        local = np.stack([column / focal, row / focal, -np.ones_like(row)], -1) * depth[..., None]
        points = local @ pose[:3, :3].T + pose[:3, 3]
        known = depth > 0
        assert known.mean() > 0.3
        assert points[known][:, 2].min() > FLOOR - 0.01
        on_ground = np.abs(points[..., 2] - FLOOR) < 0.01
        assert (on_ground & known).mean() > 0.1
        assert depth[known].min() > 0.5
