"""Values that no camera and no box has are named."""

import json

import pytest
from folder_makers import POSES, write_colmap
from program_makers import write_nsvf, write_opensfm

from taichi_pynerf.data import load_split
from taichi_pynerf.errors import SceneError


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1 PINHOLE 18446744073709551615 16 20 21 12.5 7.5", "a side must be 1 to 100000"),
        ("1 PINHOLE 24 16 1e300 21 12.5 7.5", "parameters are not valid"),
        ("1 RADIAL 24 16 20 12.5 7.5 1e9 0", "parameters are not valid"),
    ],
)
def test_cameras_of_a_model_with_impossible_values_are_named(tmp_path, line, fault):
    write_colmap(tmp_path)
    (tmp_path / "sparse/0/cameras.txt").write_text(f"{line}\n")
    with pytest.raises(SceneError, match=f"sparse/0: camera 1: .*{fault}"):
        load_split(tmp_path, "train")


@pytest.mark.parametrize("box", ["3 -4 -1 7 -4 -1", "nan 0 0 1 1 1", "0 0 0 1 1 1e300", "0 0 0 1"])
def test_a_box_of_nsvf_that_is_none_is_named(tmp_path, box):
    write_nsvf(tmp_path, POSES, box)
    with pytest.raises(SceneError, match=r"bbox\.txt: "):
        load_split(tmp_path, "train")


@pytest.mark.parametrize("camera", [{"a": 1}, [], None, 3])
def test_a_camera_of_opensfm_whose_name_is_no_text_is_named(tmp_path, camera):
    write_opensfm(tmp_path, POSES)
    path = tmp_path / "reconstruction.json"
    content = json.loads(path.read_text())
    next(iter(content[0]["shots"].values()))["camera"] = camera
    path.write_text(json.dumps(content))
    with pytest.raises(SceneError, match="with the name of a camera"):
        load_split(tmp_path, "train")
