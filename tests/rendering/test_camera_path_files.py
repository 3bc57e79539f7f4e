"""camera_path.json, as nerfstudio writes and reads it."""

import json
import math

import pytest
import torch
from scene_makers import orbit_poses

from taichi_pynerf.errors import SceneError
from taichi_pynerf.rendering.camera_path_files import read_camera_path, write_camera_path
from taichi_pynerf.rendering.camera_paths import frame_cameras


def cameras(num_frames=3, width=64, height=48):
    focal = torch.linspace(40.0, 80.0, num_frames)
    return frame_cameras(orbit_poses(num_frames), focal, width, height)


def content(**changes):
    """What nerfstudio's viewer saves."""
    bottom = [0.0, 0.0, 0.0, 1.0]
    frames = [
        {"camera_to_world": [*pose.reshape(-1).tolist(), *bottom], "fov": 60, "aspect": 4 / 3}
        for pose in orbit_poses(2)
    ]
    return {
        "camera_type": "perspective", "render_height": 480, "render_width": 640.0, "fps": 30,
        "seconds": 2, "camera_path": frames, "keyframes": [], **changes,
    }  # fmt: skip


def write(path, values):
    path.write_text(json.dumps(values))
    return path


def test_a_path_of_nerfstudio_is_read(tmp_path):
    path = read_camera_path(write(tmp_path / "camera_path.json", content()))
    assert path.fps == 30
    torch.testing.assert_close(path.cameras.c2w, orbit_poses(2))
    assert (int(path.cameras.width[0]), int(path.cameras.height[0])) == (640, 480)
    # The angle of view is the vertical one.
    expected = 240 / math.tan(math.radians(30))
    assert path.cameras.fy.tolist() == pytest.approx([expected, expected])
    assert torch.equal(path.cameras.fx, path.cameras.fy)
    assert (float(path.cameras.cx[0]), float(path.cameras.cy[0])) == (320, 240)


def test_what_is_written_is_read_again(tmp_path):
    file = tmp_path / "path.json"
    write_camera_path(file, cameras(), 12.5, keyframes=cameras(2))
    path = read_camera_path(file)
    assert path.fps == 12.5
    for name, values in vars(cameras()).items():
        if values is not None:
            torch.testing.assert_close(getattr(path.cameras, name), values, msg=name)
    written = json.loads(file.read_text())
    assert written["seconds"] == pytest.approx(3 / 12.5)
    assert written["camera_path"][0]["aspect"] == pytest.approx(64 / 48)
    assert len(written["keyframes"]) == 2
    assert written["keyframes"][0]["matrix"] == written["camera_path"][0]["camera_to_world"]


def test_only_cameras_of_one_size_are_written(tmp_path):
    two = type(cameras()).cat([cameras(1, 64, 48), cameras(1, 48, 48)])
    for wrong in (two, cameras().select([])):
        with pytest.raises(ValueError, match="one size"):
            write_camera_path(tmp_path / "path.json", wrong, 24)
    assert list(tmp_path.iterdir()) == []


def broken_frame(**changes):
    values = content()
    values["camera_path"][1].update(changes)
    return values


MIRROR = [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([], "camera_path"),
        (content(camera_path=[]), "camera_path"),
        (content(camera_type="fisheye"), "fisheye"),
        (content(render_height=0), "render_height"),
        (content(render_width=1.5), "render_width"),
        (content(render_width="640"), "render_width"),
        (content(fps=0), "fps"),
        (content(fps=True), "fps"),
        (broken_frame(fov=180), "camera_path[1]: fov"),
        (broken_frame(fov=None), "camera_path[1]: fov"),
        (broken_frame(camera_to_world=[1.0] * 15), "camera_path[1]: camera_to_world"),
        (broken_frame(camera_to_world=["a"] * 16), "camera_path[1]: camera_to_world"),
        (broken_frame(camera_to_world=[1e9] * 16), "camera_path[1]: camera_to_world"),
        (broken_frame(camera_to_world=[0.0] * 16), "camera_path[1]: camera_to_world"),
        (broken_frame(camera_to_world=MIRROR), "camera_path[1]: camera_to_world"),
        (content(camera_path=[3]), "camera_path[0]"),
    ],
)
def test_a_broken_path_is_refused_in_one_line(tmp_path, values, fault):
    with pytest.raises(SceneError) as caught:
        read_camera_path(write(tmp_path / "path.json", values))
    assert fault in str(caught.value)
    assert "path.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(SceneError, match="nowhere"):
        read_camera_path(tmp_path / "nowhere.json")
    (tmp_path / "cut.json").write_text('{"camera_path": [')
    with pytest.raises(SceneError, match=r"cut\.json: no JSON"):
        read_camera_path(tmp_path / "cut.json")
