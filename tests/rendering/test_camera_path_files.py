"""camera_path.json, as nerfstudio writes and reads it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scene_makers import orbit_poses

from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.rendering.camera_kinds import vertical_angles
from taichi_pynerf.rendering.camera_path_files import (
    PathScene,
    read_camera_path,
    unit_cube_of,
    write_camera_path,
)
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
        (content(camera_type="omnidirectional"), "omnidirectional"),
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
    with pytest.raises(SceneError, match=r"cut\.json: broken JSON"):
        read_camera_path(tmp_path / "cut.json")


def test_the_crop_of_a_path_and_its_background(tmp_path):
    crop = CropBox((0, 1, 2), (3, 4, 5), (0.1, 0.2, 0.3))
    write_camera_path(tmp_path / "path.json", cameras(), 24, crop=crop)
    path = read_camera_path(tmp_path / "path.json")
    assert path.crop == crop
    assert path.background.tolist() == [1, 1, 1]
    assert read_camera_path(write(tmp_path / "plain.json", content(crop=None))).crop is None
    entry = {"crop_center": [0, 1, 2], "crop_scale": [3, 4, 5], "crop_bg_color": {"r": 1}}
    with pytest.raises(SceneError, match="crop: crop_bg_color"):
        read_camera_path(write(tmp_path / "odd.json", content(crop=entry)))


def test_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "path.json").write_text(json.dumps(content()), encoding="utf-8-sig")
    assert len(read_camera_path(tmp_path / "path.json").cameras) == 2


# ---- other programs' paths, other cameras ------------------------------------------------------

TRANSFORM = SceneTransform(np.array([[0.0, -1, 0, 2], [1, 0, 0, -3], [0, 0, 1, 0.5]]), scale=0.25)


def test_a_path_of_instant_ngp(tmp_path):
    transform = pytest.importorskip("scipy.spatial.transform")
    # A camera of the scene's files, as instant-ngp has it: moved, scaled, axes exchanged.
    poses = orbit_poses(9)[[0, 1, 4]].double().numpy()
    keys = []
    for pose in poses:
        ngp = pose * [1, -1, -1, 1]
        ngp[:, 3] = 0.5 * ngp[:, 3] + [0.1, 0.2, 0.3]
        ngp = ngp[[1, 2, 0]]
        x, y, z, w = transform.Rotation.from_matrix(ngp[:, :3]).as_quat()
        keys.append({"R": [x, y, z, w], "T": ngp[:, 3].tolist(), "fov": 40.0, "scale": 1.5,
                     "slice": 0.0, "aperture_size": 0.0})  # fmt: skip
    keys[1]["fov"] = keys[2]["fov"] = 60.0
    file = write(tmp_path / "base_cam.json", {"path": keys, "time": 1.0})
    scene = PathScene(cameras(), TRANSFORM, unit_cube=(0.5, (0.1, 0.2, 0.3)), num_frames=5)
    path = read_camera_path(file, scene)
    assert len(path.cameras) == 5
    expected = torch.from_numpy(TRANSFORM.apply_to_poses(poses)).float()
    torch.testing.assert_close(path.cameras.c2w[[0, 2, 4]], expected, atol=1e-5, rtol=1e-5)
    angles = np.degrees(2 * np.arctan(24 / path.cameras.fy.numpy()))
    np.testing.assert_allclose(angles, [40, 50, 60, 60, 60], rtol=1e-4)
    assert int(path.cameras.width[0]) == 64


def test_the_poses_of_a_transforms_json(tmp_path):
    poses = orbit_poses(3).double().numpy()
    frames = [{"file_path": "a", "transform_matrix": [*p.tolist(), [0, 0, 0, 1]]} for p in poses]
    more = {"fl_x": 50.0, "w": 80, "h": 60}
    file = write(tmp_path / "transforms.json", {"frames": frames, **more})
    path = read_camera_path(file, PathScene(cameras(), TRANSFORM))
    expected = torch.from_numpy(TRANSFORM.apply_to_poses(poses)).float()
    torch.testing.assert_close(path.cameras.c2w, expected)
    assert path.cameras.fy.tolist() == pytest.approx([50.0] * 3)
    assert (int(path.cameras.width[0]), int(path.cameras.height[0])) == (80, 60)
    # Without a lens it is the scene's; a transform that the file's poses went through is undone.
    applied = [[0.0, 1, 0, 5], [-1, 0, 0, 6], [0, 0, 1, 7]]
    moved = np.array(applied)[:, :3] @ poses
    moved[:, :, 3] += [5, 6, 7]
    frames = [{"file_path": "a", "transform_matrix": [*p.tolist(), [0, 0, 0, 1]]} for p in moved]
    write(file, {"frames": frames, "applied_transform": applied})
    path = read_camera_path(file, PathScene(cameras(), TRANSFORM))
    torch.testing.assert_close(path.cameras.c2w, expected)
    assert path.cameras.fy.tolist() == pytest.approx([40.0] * 3)
    with pytest.raises(SceneError, match="how wide"):
        read_camera_path(file)


@pytest.mark.parametrize("kind", ["fisheye", "equirectangular", "vr180", "orthographic"])
def test_kinds_of_cameras_in_a_file_and_by_request(tmp_path, kind):
    file = write(tmp_path / "path.json", content(camera_type=kind))
    path = read_camera_path(file, PathScene(eye_distance=0.1))
    asked = read_camera_path(
        write(tmp_path / "plain.json", content()), PathScene(eye_distance=0.1), kind
    )
    angle = vertical_angles(read_camera_path(tmp_path / "plain.json").cameras)
    if kind == "fisheye":  # asked for, it keeps the angle; nerfstudio's own file is as there
        torch.testing.assert_close(vertical_angles(asked.cameras), angle)
        focal = 0.5 * path.cameras.height / torch.tan(0.5 * angle)
        torch.testing.assert_close(path.cameras.fy, focal.float())
        asked = replace(asked, cameras=replace(asked.cameras, fx=focal, fy=focal))
    for name, values in vars(path.cameras).items():
        if values is not None:
            torch.testing.assert_close(values, getattr(asked.cameras, name), msg=name)
    if kind == "vr180":
        torch.testing.assert_close(path.cameras.eye_distance, torch.full((2,), 0.1))
    assert int(path.cameras.width[0]) == (1280 if kind == "vr180" else 640)
    if kind in ("equirectangular", "vr180"):
        frames = [{"camera_to_world": f["camera_to_world"]} for f in content()["camera_path"]]
        write(file, content(camera_type=kind, camera_path=frames))  # no angle is needed
        assert len(read_camera_path(file).cameras) == 2


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"path": []}, "no list path"),
        ({"path": [{"R": [0, 0, 0, 0], "T": [0, 0, 0], "fov": 50}]}, "R is not the quaternion"),
        ({"path": [{"R": [0, 0, 0], "T": [0, 0, 0], "fov": 50}]}, r"path\[0\]: R"),
        ({"path": [{"R": [0, 0, 0, 1], "T": ["a"], "fov": 50}]}, r"path\[0\]: T"),
        ({"frames": [{"transform_matrix": 3}]}, r"frames\[0\]"),
        ({"camera_angle_x": 9, "frames": [{"transform_matrix": [[1, 0, 0, 0], [0, 1, 0, 0],
          [0, 0, 1, 0]]}]}, "camera_angle_x"),
    ],
)  # fmt: skip
def test_broken_paths_of_other_programs(tmp_path, values, fault):
    with pytest.raises(SceneError, match=fault) as caught:
        read_camera_path(write(tmp_path / "path.json", values), PathScene(cameras()))
    assert "\n" not in str(caught.value)


def test_the_unit_cube_of_a_scene(tmp_path):
    assert unit_cube_of(tmp_path) == (0.33, (0.5, 0.5, 0.5))
    write(tmp_path / "transforms.json", {"scale": 0.2, "offset": [0.1, 0.2, 0.3]})
    assert unit_cube_of(tmp_path) == (0.2, (0.1, 0.2, 0.3))
