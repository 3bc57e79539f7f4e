"""The built-in scenes beside the still life, and what their shapes have that its shapes lack."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taichi_pynerf.demo.builder import Builder
from taichi_pynerf.demo.scene import (
    CAMERA_ANGLE_X,
    SCENES,
    STILL_LIFE,
    DemoSceneSettings,
    demo_scene_dir,
    make_demo_scene,
    straight_rgba,
    view_poses,
)
from taichi_pynerf.demo.tracer import (
    DemoRenderer,
    Kind,
    Row,
    TracedScene,
    all_shapes,
    shape_groups,
)
from taichi_pynerf.errors import ConfigError

OTHERS = [name for name in SCENES if name != STILL_LIFE]
TINY = {
    "resolution": 16,
    "num_train": 2,
    "num_val": 1,
    "num_test": 1,
    "samples_per_pixel": 4,
    "progress": False,
}


def render(scene, pose, resolution=48, samples_per_pixel=4, seed=0):
    return DemoRenderer(scene).render(
        pose,
        resolution=resolution,
        camera_angle_x=CAMERA_ANGLE_X,
        samples_per_pixel=samples_per_pixel,
        seed=seed,
    )


def traced(add):
    """The scene of a builder's shapes, lit from above."""
    return TracedScene(
        table=np.stack(add.tables),
        kinds=np.array(add.kinds, np.int32),
        occluders=np.array([[0.0, 0.0, -9.0, 0.1]], np.float32),
        prints=np.zeros((1, 1), np.int32),
        frames=np.array([[0, 0, 1, 1]], np.int32),
        to_light=(0.0, 0.0, 1.0),
        penumbra=0.02,
        radius=1.4,
    )


def bounds(scene):
    """Ends [N, 2, 3] and radii [N] of the capsules around the shapes."""
    return scene.table[:, [Row.BOUND_A, Row.BOUND_B]], scene.table[:, Row.BOUND_RADIUS, 0]


def test_the_still_life_is_drawn_as_ever():
    # Traced before there were other scenes. Processors round differently, by a level at most.
    with Image.open(Path(__file__).with_name("still_life.png")) as image:
        expected = np.asarray(image).astype(int)
    pose = view_poses(DemoSceneSettings(), "test")[3]
    now = straight_rgba(render(SCENES[STILL_LIFE].build(), pose, 128, 16, seed=3)).astype(int)
    assert np.abs(now - expected).max() <= 1


@pytest.mark.parametrize("name", OTHERS)
def test_shapes_are_within_the_box_and_their_groups(name):
    scene = SCENES[name].build()
    assert (scene.table == SCENES[name].build().table).all()
    assert np.isfinite(scene.table).all()
    ends, radii = bounds(scene)
    assert (np.abs(ends) + radii[:, None, None]).max() < 1.3
    assert (np.linalg.norm(ends, axis=-1) + radii[:, None]).max() < scene.radius
    groups = np.repeat(shape_groups(scene.table), 31, axis=0)[: len(ends)]
    reach = np.linalg.norm(ends - groups[:, None, :3], axis=-1) + radii[:, None]
    assert (reach <= groups[:, None, 3]).all()


def test_the_plant_has_hundreds_of_leaves_on_thin_stalks():
    scene = SCENES["foliage"].build()
    is_leaf = scene.kinds[:, 0] == Kind.LEAF
    assert is_leaf.sum() > 500
    normal, side = scene.table[is_leaf, Row.AXIS], scene.table[is_leaf, Row.SIDE]
    np.testing.assert_allclose((normal * side).sum(-1), 0.0, atol=1e-5)
    sticks = scene.table[scene.kinds[:, 0] == Kind.CYLINDER]
    pixel = 2 * 4.0 * np.tan(0.5 * CAMERA_ANGLE_X) / 256
    assert (2 * sticks[:, Row.SIZE, 0] < pixel).sum() > 500
    hidden = scene.table[is_leaf, Row.FINISH, 2]
    assert hidden.min() < 0.1
    assert 0.3 < hidden.max() < 0.9


def test_the_drum_kit_has_mirrors_of_all_sorts():
    table = SCENES["glossy"].build().table
    mirrors = table[table[:, Row.MIRROR].max(-1) > 0]
    assert len(mirrors) > 60
    assert len(np.unique(mirrors[:, Row.FINISH, 0])) >= 4  # from polished to rough


@pytest.mark.parametrize("name", OTHERS)
def test_listing_the_shapes_near_a_ray_loses_none(name):
    scene = SCENES[name].build()
    table = scene.table.copy()
    table[:, Row.BOUND_RADIUS, 0] = 5.0
    pose = view_poses(DemoSceneSettings(num_val=4), "val")[1]
    listed = render(scene, pose)
    np.testing.assert_allclose(
        listed, render(dataclasses.replace(scene, table=table), pose), atol=1e-5
    )
    # Pixels beside the scene are clear, and some of those within it are opaque.
    assert listed[0, 0].max() == 0
    assert listed[..., 3].max() == 1
    assert (listed[..., :3] <= listed[..., 3:] + 1e-6).all()
    partly = (listed[..., 3] > 0) & (listed[..., 3] < 1)
    assert partly.any()


@pytest.mark.parametrize("count", [1, 30, 31, 32, 62, 63, 100])
def test_the_list_of_all_shapes_has_a_bit_for_each(count):
    words = all_shapes(count)[0, 0]
    assert (words >= 0).all()
    assert len(words) == -(-count // 31)
    assert [bin(word).count("1") for word in words[:-1]] == [31] * (len(words) - 1)
    assert sum(bin(word).count("1") for word in words) == count


def test_depth_reaches_shapes_of_every_word():
    add = Builder()
    for i in range(70):
        add.sphere((-1.2 + 2.4 * i / 69, 0.0, 0.0), 0.03, (0.5, 0.5, 0.5))
    pose = np.eye(4)
    pose[2, 3] = 100.0
    depth = DemoRenderer(traced(add)).depth(pose, resolution=256, camera_angle_x=0.026)
    assert ((depth > 0).any(0).sum()) > 230  # from the first shape to the last


# A mirror, and light through a leaf


def oblique_pose():
    """A camera at (0, -3, 3) that looks at the origin."""
    pose, s = np.eye(4), np.sqrt(0.5)
    pose[:3, 1], pose[:3, 2], pose[:3, 3] = (0, s, s), (0, -s, s), (0, -3, 3)
    return pose


def test_a_mirror_shows_the_mirror_image():
    red = (0.8, 0.0, 0.0)
    add, image = Builder(), Builder()
    add.sphere((0.0, 0.0, 0.4), 0.2, red)
    add.box((0.0, 0.0, -0.05), (0.9, 0.9, 0.05), 0.0, (0.0, 0.0, 0.0), mirror=(1.0, 1.0, 1.0))
    image.sphere((0.0, 0.0, -0.4), 0.2, red)
    with_mirror = render(traced(add), oblique_pose(), 192)
    expected = render(traced(image), oblique_pose(), 192)[..., 3] > 0.5
    is_red = with_mirror[..., 0] > 2 * with_mirror[..., 1] + 0.05
    is_red[:94] = False  # the sphere itself, in the upper half
    assert expected.sum() > 100
    assert (is_red & expected).sum() > 0.9 * (is_red | expected).sum()
    plain = traced(add)
    plain.table[:, Row.MIRROR] = 0.0
    dark = render(plain, oblique_pose(), 192)
    assert dark[expected][:, 0].max() < 0.05  # a black box shows nothing


def test_light_comes_through_a_leaf_to_its_other_side():
    def from_below(share):
        add = Builder()
        green, through = (0.05, 0.2, 0.05), (0.3, 0.6, 0.1)
        add.leaf(
            (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.6, 0.0),
            green, green, through, finish=(0.0, share, 0.01),
        )  # fmt: skip
        pose = np.diag([1.0, -1.0, -1.0, 1.0])
        pose[2, 3] = -3.0
        return render(traced(add), pose, 32)[16, 16]

    lit, unlit = from_below(0.6), from_below(0.0)
    assert lit[3] == unlit[3] == 1
    assert lit[1] > 1.5 * unlit[1]


# Folders


@pytest.mark.parametrize("name", OTHERS)
def test_each_scene_has_its_own_folder_in_the_cache(name, tmp_path):
    folder = demo_scene_dir(tmp_path, scene=name, **TINY)
    assert folder.name.startswith(f"demo_{name}_v1_")
    assert json.loads((folder / "demo_scene.json").read_text())["scene"] == name
    assert demo_scene_dir(tmp_path, scene=name, **TINY) == folder
    pictures = [path.read_bytes() for path in sorted(folder.rglob("*.png"))]
    again = make_demo_scene(tmp_path / "again", scene=name, **TINY)
    assert [path.read_bytes() for path in sorted(again.rglob("*.png"))] == pictures
    alpha = np.asarray(Image.open(folder / "train" / "r_0.png"))[..., 3]
    assert alpha.min() == 0
    assert alpha.max() > 200


def test_the_still_life_keeps_its_place_in_the_cache(tmp_path, monkeypatch):
    # The name under which earlier versions kept it, with their settings.
    (tmp_path / "demo_scene_v1_1adf3cb7012f").mkdir()
    assert demo_scene_dir(tmp_path).name == "demo_scene_v1_1adf3cb7012f"


def test_an_unknown_scene_is_one_line_and_nothing_is_written(tmp_path):
    for make in (make_demo_scene, demo_scene_dir):
        with pytest.raises(ConfigError, match=r"still-life, foliage, glossy, got 'bonsai'"):
            make(tmp_path / "scene", scene="bonsai", **TINY)
    assert list(tmp_path.iterdir()) == []
