"""Crop boxes in JSON, as nerfstudio writes them."""

import json

import pytest

from taichi_pynerf.apps.cli import Parser
from taichi_pynerf.apps.flags.crop import add_crop_flag, crop_from
from taichi_pynerf.errors import ConfigError, SceneError
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.rendering.crop_files import read_crop, write_crop

BOX = CropBox((0.1, -0.2, 0.3), (1.0, 2.0, 0.5), (0.4, 0.0, -1.0))


def test_what_is_written_is_read_again(tmp_path):
    write_crop(tmp_path / "crop.json", BOX)
    assert read_crop(tmp_path / "crop.json") == BOX


def test_boxes_of_camera_paths_and_exports_are_read(tmp_path):
    path = tmp_path / "camera_path.json"
    path.write_text(json.dumps({"crop": {"crop_center": [0, 1, 2], "crop_scale": [1, 1, 1]}}))
    assert read_crop(path) == CropBox((0, 1, 2), (1, 1, 1))
    content = {"obb_center": [0, 1, 2], "obb_rotation": [0, 0, 1], "obb_scale": [1, 1, 1]}
    path.write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert read_crop(path) == CropBox((0, 1, 2), (1, 1, 1), (0, 0, 1))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "crop_center"),
        ([], "crop_center"),
        ({"crop_center": [0, 0], "crop_scale": [1, 1, 1]}, "crop_center is"),
        ({"crop_center": [0, 0, 0], "crop_scale": [1, 0, 1]}, "above 0"),
        ({"crop_center": [0, 0, 0]}, "crop_scale is None"),
        ({"crop_center": [0, 0, 0], "crop_scale": [1, 1, 1], "crop_rot": "no"}, "crop_rot"),
    ],
)
def test_what_is_no_box_is_one_line(tmp_path, content, words):
    path = tmp_path / "crop.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SceneError, match=words) as caught:
        read_crop(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def flag(*values):
    parser = Parser("test")
    add_crop_flag(parser)
    return crop_from(parser.parse_args(["--crop", *values] if values else []))


def test_the_flag_takes_six_numbers_or_a_file(tmp_path):
    assert flag() is None
    assert flag("-1", "-1", "-1", "1", "1", "2") == CropBox((0, 0, 0.5), (2, 2, 3))
    write_crop(tmp_path / "crop.json", BOX)
    assert flag(str(tmp_path / "crop.json")) == BOX
    for wrong in (("1", "2"), ("1", "1", "1", "0", "2", "2"), ("a", "b", "c", "d", "e", "f")):
        with pytest.raises(ConfigError, match="--crop"):
            flag(*wrong)
