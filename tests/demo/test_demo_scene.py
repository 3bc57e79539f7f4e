"""The built-in demo scene: its ray tracer, its folder and its cache."""

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image

from taichi_pynerf.apps import make_demo_scene as make_demo_scene_app
from taichi_pynerf.demo import scene as demo_scene
from taichi_pynerf.demo.font import draw_text
from taichi_pynerf.demo.scene import (
    CAMERA_ANGLE_X,
    LOOK_AT,
    LOOK_AT_JITTER,
    DemoSceneSettings,
    demo_scene_dir,
    make_demo_scene,
    straight_rgba,
    view_poses,
)
from taichi_pynerf.demo.still_life import GROUND, still_life
from taichi_pynerf.demo.tracer import DemoRenderer, Kind, Paint, Row, TracedScene
from taichi_pynerf.errors import ConfigError, SceneError

TINY = {
    "resolution": 16,
    "num_train": 6,
    "num_val": 1,
    "num_test": 3,
    "samples_per_pixel": 4,
    "progress": False,
}
LIT_SIDE = (-0.52, -0.50, 0.69)


@pytest.fixture(scope="module")
def renderer():
    return DemoRenderer(still_life())


@pytest.fixture(scope="module")
def tiny_scene(tmp_path_factory):
    return make_demo_scene(tmp_path_factory.mktemp("demo") / "scene", **TINY)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def render(renderer, pose, resolution, samples_per_pixel, seed=0):
    return renderer.render(
        pose,
        resolution=resolution,
        camera_angle_x=CAMERA_ANGLE_X,
        samples_per_pixel=samples_per_pixel,
        seed=seed,
    )


def one_shape(kind, *, axis=(0.0, 0.0, 1.0), size):
    """A grey matt shape at the origin."""
    table = np.zeros((1, len(Row), 3), np.float32)
    table[0, Row.AXIS], table[0, Row.SIZE] = axis, size
    table[0, Row.SIDE] = 1.0, 0.0, 0.0  # of a leaf
    table[0, Row.BOUND_RADIUS, 0] = 1.3
    table[0, [Row.COLOUR, Row.COLOUR_2, Row.COLOUR_3]] = 0.2
    table[0, Row.GLOSS] = 0.0, 1.0, 0.0
    return TracedScene(
        table=table,
        kinds=np.array([[kind, Paint.PLAIN]], np.int32),
        occluders=np.array([[0.0, 0.0, -9.0, 0.1]], np.float32),
        prints=np.zeros((1, 1), np.int32),
        frames=np.array([[0, 0, 1, 1]], np.int32),
        to_light=LIT_SIDE,
        penumbra=0.02,
        radius=1.4,
    )


def pose_above(height):
    """A camera over the origin that looks straight down, its picture's top towards +y."""
    pose = np.eye(4)
    pose[2, 3] = height
    return pose


# The ray tracer


@pytest.mark.parametrize(
    ("kind", "axis", "size", "area_at_depth"),
    [
        # What the camera at height 100 sees, all but parallel: (area, height of its outline).
        (Kind.SPHERE, (0, 0, 1), (0.5, 0, 0), (math.pi * 0.25, 0.0)),
        (Kind.CYLINDER, (0, 0, 1), (0.4, 0.6, 0), (math.pi * 0.16, 0.6)),
        (Kind.CYLINDER, (1, 0, 0), (0.2, 0.9, 0), (0.9 * 0.4, 0.0)),
        (Kind.BOX, (math.cos(0.5), math.sin(0.5), 0), (0.6, 0.3, 0.2), (1.2 * 0.6, 0.2)),
        (Kind.SPHEROID, (0, 0, 1), (0.5, 0.1, 0), (math.pi * 0.25, 0.0)),
        (Kind.SPHEROID, (1, 0, 0), (0.5, 0.1, 0), (math.pi * 0.05, 0.0)),
        (Kind.LEAF, (0, 0, 1), (0.6, 0.3, 0), (8 / 3 * 0.6 * 0.3, 0.0)),
        (Kind.LEAF, (0, -0.8, 0.6), (0.6, 0.3, 0.4), (8 / 3 * 0.6 * 0.3 * 0.6, 0.0)),
    ],
)
def test_coverage_of_a_shape_is_its_projected_area(kind, axis, size, area_at_depth):
    area, top = area_at_depth
    angle = 2 * math.atan(1.5 / 100)
    image = DemoRenderer(one_shape(kind, axis=axis, size=size)).render(
        pose_above(100.0), resolution=128, camera_angle_x=angle, samples_per_pixel=16, seed=0
    )
    pixel = 3.0 / 128 * (100 - top) / 100
    assert image[..., 3].sum() * pixel**2 == pytest.approx(area, rel=0.01)


def test_picture_is_upright_and_lit_from_the_key_light_side():
    image = DemoRenderer(one_shape(Kind.SPHERE, size=(0.5, 0, 0))).render(
        pose_above(3.0), resolution=32, camera_angle_x=0.5, samples_per_pixel=16, seed=0
    )
    # Seen from above, the light comes from -x (left) and -y (the picture's lower half).
    assert image[22, 9, :3].mean() > 1.5 * image[9, 22, :3].mean()


def test_a_pixel_is_the_area_average_of_finer_pixels(renderer):
    pose = view_poses(DemoSceneSettings(), "test")[4]
    coarse = render(renderer, pose, 32, 64)
    fine = render(renderer, pose, 128, 16)
    averaged = fine.reshape(32, 4, 32, 4, 4).mean(axis=(1, 3))
    error = np.abs(coarse - averaged)
    assert error.mean() < 0.004
    assert error.max() < 0.1
    # Point samples at the same pixels are far off: the scene has detail to average.
    points = fine[1::4, 1::4]
    assert np.abs(points - averaged).mean() > 5 * error.mean()


@pytest.mark.parametrize("penumbra", [still_life().penumbra, 0.0])
def test_listing_the_shapes_near_a_ray_loses_none(penumbra):
    scene = dataclasses.replace(still_life(), penumbra=penumbra)
    table = scene.table.copy()
    table[:, Row.BOUND_RADIUS, 0] = 5.0
    listed, unlisted = DemoRenderer(scene), DemoRenderer(dataclasses.replace(scene, table=table))
    for pose in view_poses(DemoSceneSettings(num_val=4), "val"):
        np.testing.assert_allclose(
            render(listed, pose, 96, 4), render(unlisted, pose, 96, 4), atol=1e-5
        )


def test_glossy_ball_reflects_but_most_of_the_scene_is_matt():
    gloss = still_life().table[:, Row.GLOSS, 0]
    assert gloss.max() > 0.5
    assert gloss[0] == 0.0  # the plinth, most of every picture


def test_scene_stays_inside_its_bounds():
    scene = still_life()
    size, axis, origin = (scene.table[:, row] for row in (Row.SIZE, Row.AXIS, Row.ORIGIN))
    for (kind, _), s, a, o in zip(scene.kinds, size, axis, origin, strict=True):
        if kind == Kind.SPHERE:
            low, high = o - s[0], o + s[0]
        elif kind == Kind.CYLINDER:
            ends = np.stack([o, o + s[1] * a])
            reach = s[0] * np.sqrt(np.maximum(1 - a * a, 0))
            low, high = ends.min(0) - reach, ends.max(0) + reach
        else:
            reach = np.array([abs(a[0]) * s[0] + abs(a[1]) * s[1]] * 2 + [s[2]])
            reach[1] = abs(a[1]) * s[0] + abs(a[0]) * s[1]
            low, high = o - reach, o + reach
        assert low.min() > -1.3
        assert high.max() < 1.3
    assert scene.table[0, Row.ORIGIN, 2] < GROUND
    corner = math.hypot(1.2, GROUND - 0.16)  # of the plinth, the farthest from the origin
    assert corner < scene.radius


def test_renderer_refuses_wrong_arguments(renderer):
    pose = view_poses(DemoSceneSettings(), "val")[0]
    with pytest.raises(ValueError, match="square"):
        render(renderer, pose, 16, 12)
    with pytest.raises(ValueError, match="farther"):
        render(renderer, pose_above(1.0), 16, 4)
    empty = one_shape(Kind.SPHERE, size=(1, 0, 0))
    with pytest.raises(ValueError, match="one shape or more"):
        DemoRenderer(dataclasses.replace(empty, table=empty.table[:0]))


# The cameras


def test_every_split_sees_all_distances_from_all_sides():
    settings = DemoSceneSettings()
    seen = {}
    for split in demo_scene.SPLITS:
        poses = view_poses(settings, split)
        assert len(poses) == settings.num_views(split)
        eyes = poses[:, :3, 3] - LOOK_AT
        distances = np.linalg.norm(eyes, axis=1)
        slack = math.sqrt(3) * LOOK_AT_JITTER
        for i, distance in enumerate(distances):
            assert abs(distance - settings.distances[i % 3]) < slack
        azimuth = np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0])) % 360
        assert len(np.unique(azimuth // 90)) == 4
        rotations = poses[:, :3, :3]
        np.testing.assert_allclose(
            rotations @ rotations.transpose(0, 2, 1),
            np.tile(np.eye(3), (len(poses), 1, 1)),
            atol=1e-9,
        )
        np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
        elevation = np.degrees(np.arcsin(poses[:, 2, 2]))
        assert elevation.min() > 9
        assert elevation.max() < 71
        assert (poses[:, 2, 1] > 0).all()  # the picture's up is up
        seen[split] = poses
    everything = np.concatenate(list(seen.values()))[:, :3, 3]
    gaps = np.linalg.norm(everything[:, None] - everything[None], axis=-1)
    assert gaps[~np.eye(len(gaps), dtype=bool)].min() > 0.02


# The folder


def test_folder_has_the_nerf_synthetic_layout(tiny_scene):
    for split, count in (("train", 6), ("val", 1), ("test", 3)):
        transforms = json.loads((tiny_scene / f"transforms_{split}.json").read_text())
        assert transforms["camera_angle_x"] == CAMERA_ANGLE_X
        assert len(transforms["frames"]) == count
        for i, frame in enumerate(transforms["frames"]):
            assert frame["file_path"] == f"./{split}/r_{i}"
            assert np.shape(frame["transform_matrix"]) == (4, 4)
            with Image.open(tiny_scene / f"{frame['file_path']}.png") as image:
                assert image.mode == "RGBA"
                assert image.size == (16, 16)
                alpha = np.asarray(image)[..., 3]
            assert alpha.min() == 0
            assert alpha.max() == 255


def test_far_views_cover_less(tiny_scene):
    def coverage(i):
        return np.asarray(Image.open(tiny_scene / "train" / f"r_{i}.png"))[..., 3].mean()

    assert coverage(0) > 1.5 * coverage(1) > 1.5 * 1.5 * coverage(2)


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tiny_scene, tmp_path):
    again = contents(make_demo_scene(tmp_path / "again", **TINY))
    assert again == contents(tiny_scene)
    other = contents(make_demo_scene(tmp_path / "other", **TINY, seed=1))
    assert other.keys() == again.keys()
    assert all(other[name] != again[name] for name in again)


def test_straight_colours_come_back_and_empty_pixels_are_clear():
    premultiplied = np.array([[[0.25, 0.5, 0.0, 0.5], [0, 0, 0, 0], [1, 1, 1, 1]]], np.float32)
    expected = [[[128, 255, 0, 128], [0, 0, 0, 0], [255, 255, 255, 255]]]
    np.testing.assert_array_equal(straight_rgba(premultiplied), expected)


def test_filled_folder_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SceneError, match="remove it or choose another"):
        make_demo_scene(tmp_path, **TINY)
    assert contents(tmp_path) == {"mine.txt": b"keep"}


def test_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    folder = make_demo_scene(tmp_path / "empty", **TINY)
    assert (folder / "transforms_train.json").is_file()


def test_unwritable_place_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SceneError, match="cannot be written"):
        make_demo_scene(tmp_path / "file" / "scene", **TINY)


def test_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    real, calls = DemoRenderer.render, []

    def stops_at_the_third(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(DemoRenderer, "render", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        make_demo_scene(tmp_path / "scene", **TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ({"resolution": 0}, "resolution"),
        ({"resolution": 20}, "multiple of 8"),
        ({"num_train": 0}, "num_train"),
        ({"num_val": -1}, "num_val"),
        ({"num_test": 1.5}, "num_test"),
        ({"samples_per_pixel": 0}, "samples_per_pixel"),
        ({"samples_per_pixel": 60}, "square"),
        ({"distances": ()}, "distances"),
        ({"distances": (1.0, 4.0)}, "distances"),
        ({"distances": (math.nan,)}, "distances"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_settings_are_named_and_nothing_is_written(setting, fault, tmp_path):
    with pytest.raises(ConfigError, match=fault):
        make_demo_scene(tmp_path / "scene", **{**TINY, **setting})
    assert list(tmp_path.iterdir()) == []


# The cache


def test_cache_is_made_once_per_settings(tmp_path, monkeypatch):
    first = demo_scene_dir(tmp_path, **TINY)
    before = contents(first)
    other = demo_scene_dir(tmp_path, **{**TINY, "distances": (3.0,)})
    assert other != first
    assert sorted(tmp_path.iterdir()) == sorted([first, other])
    monkeypatch.setattr(demo_scene, "make_demo_scene", None)  # not called again
    assert demo_scene_dir(tmp_path, **TINY) == first
    assert demo_scene_dir(tmp_path, **{**TINY, "distances": [2.6, 4, 6]}) == first
    assert contents(first) == before


def test_cache_root_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TAICHI_PYNERF_CACHE", str(tmp_path / "cache"))
    assert demo_scene_dir(**TINY).parent == tmp_path / "cache"


def test_losing_a_race_uses_the_winner_s_scene(tmp_path, monkeypatch):
    real = demo_scene._write_scene

    def write_while_another_finishes(unfinished, *args):
        real(unfinished, *args)
        winner = tmp_path / unfinished.name.split(".")[1]
        winner.mkdir()
        real(winner, *args)

    monkeypatch.setattr(demo_scene, "_write_scene", write_while_another_finishes)
    folder = demo_scene_dir(tmp_path, **TINY)
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "transforms_test.json").is_file()


# The command


@pytest.fixture(scope="module")
def command():
    return make_demo_scene_app.main


def test_command_makes_the_scene_and_prints_its_folder(command, tmp_path, capsys):
    flags = ["--resolution", "8", "--samples_per_pixel", "1"]
    flags += ["--num_train", "2", "--num_val", "1", "--num_test", "1"]
    out = tmp_path / "scene"
    command(["--output_dir", str(out), "--distances", "3", "5", *flags])
    assert capsys.readouterr().out.strip() == str(out)
    made = json.loads((out / "demo_scene.json").read_text())
    assert made["distances"] == [3.0, 5.0]
    assert made["resolution"] == 8


def test_command_refuses_a_wrong_value(command, tmp_path):
    out = tmp_path / "scene"
    with pytest.raises(ConfigError, match="resolution must be a multiple of 8, got 12"):
        command(["--output_dir", str(out), "--resolution", "12"])
    assert not out.exists()


# The print


def test_text_is_drawn_upright_at_its_place():
    sheet = np.zeros((16, 14), np.int32)
    draw_text(sheet, "L", 1, 2, scale=2, ink=3)
    assert set(np.unique(sheet)) == {0, 3}
    assert (sheet[1:15, 2:4] == 3).all()  # the stem
    assert (sheet[13:15, 2:12] == 3).all()  # the foot
    assert (sheet == 3).sum() == 14 * 2 + 8 * 2
    with pytest.raises(ValueError, match="does not fit"):
        draw_text(sheet, "LL", 1, 2, scale=2)
