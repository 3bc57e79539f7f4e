"""Which cameras and files a set of views has."""

from fractions import Fraction

import pytest
import torch
from scene_makers import write_blender_scene

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.geometry.rays import view_rays
from taichi_pynerf.rendering.camera_paths import camera_path, path_cameras
from taichi_pynerf.rendering.view_sets import (
    parse_scale,
    path_depth_range,
    path_views,
    photographed_views,
    scaled_views,
    sized_views,
)
from taichi_pynerf.runs.scene_source import SceneSource


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "noise"
    return SceneSource(str(write_blender_scene(folder, width=32, height=16)))


def sizes(views):
    return list(zip(views.cameras.width.tolist(), views.cameras.height.tolist(), strict=True))


def test_photographs_come_with_their_views_scale_by_scale(source):
    views = photographed_views(source, "train", [Fraction(1), Fraction(1, 4)])
    assert sizes(views) == 3 * [(32, 16)] + 3 * [(8, 4)]
    stems = [f"scale_{scale}/r_{i}" for scale in ("1", "1-4") for i in range(3)]
    assert [shot.stem for shot in views.shots] == stems
    assert [shot.scale for shot in views.shots] == [1, 1, 1, 4, 4, 4]
    full, mask = views.shots[2].truth()
    assert mask is None
    quarter, _ = views.shots[5].truth()
    torch.testing.assert_close(full.view(4, 4, 8, 4, 3).mean((1, 3)), quarter, rtol=0, atol=1 / 255)
    with pytest.raises(ConfigError, match="2/3"):
        photographed_views(source, "train", [Fraction(2, 3)])


def test_pixels_grow_as_images_shrink(source):
    scales = [Fraction(1), Fraction(1, 8), Fraction(1, 3), Fraction(3, 2)]
    views = scaled_views(source, "train", scales)
    assert sizes(views)[::3] == [(32, 16), (4, 2), (10, 5), (48, 24)]
    areas = [view_rays(views.cameras, i).pixel_areas.mean() for i in range(0, 12, 3)]
    for area, scale in zip(areas, scales, strict=True):
        assert float(area / areas[0]) == pytest.approx(1 / float(scale) ** 2, rel=0.02)
    assert views.shots[4].truth is None
    assert scaled_views(source, "train", scales[:1]).shots[0].stem == "r_0"
    with pytest.raises(ConfigError, match="1/17"):
        scaled_views(source, "train", [Fraction(1, 17)])


def test_a_size_of_another_shape_sees_as_far_up_and_its_pixels_are_square(source):
    views = sized_views(source, "train", 20, 40)
    assert sizes(views) == 3 * [(20, 40)]
    before = scaled_views(source, "train", [Fraction(1)])
    cameras = views.cameras
    assert torch.equal(cameras.fx, cameras.fy)
    torch.testing.assert_close(cameras.fy / 40, before.cameras.fy / 16)
    torch.testing.assert_close(cameras.cx, torch.full((3,), 10.0))


def test_a_path_from_afar_keeps_the_whole_box_within_its_bounds(source):
    data = source.load("train")
    poses = camera_path("zoom", data.cameras.c2w, 5)
    views = path_views(data, path_cameras(data.cameras, poses, 8, 8), "frames")
    assert [shot.stem for shot in views.shots] == [f"frames/{i:05d}" for i in range(5)]
    assert views.far > float(poses[0, :, 3].norm()) > data.far
    near, far = path_depth_range(views, data.aabb)
    assert 0 < near < float(poses[-1, :, 3].norm())
    assert far > float(poses[0, :, 3].norm())


def test_scales_are_read_as_fractions_and_decimals():
    texts = ["1", "1/8", "0.125", "2", "0.3"]
    expected = [Fraction(1), Fraction(1, 8), Fraction(1, 8), Fraction(2), Fraction(3, 10)]
    assert [parse_scale(text) for text in texts] == expected
    for text in ("0", "-1", "17", "nan", "1/0", "half", "0.00001"):
        with pytest.raises(ConfigError, match=text):
            parse_scale(text)
