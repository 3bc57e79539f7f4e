"""Recorded flights: the file is one that the renderer and nerfstudio read."""

import numpy as np
import pytest

from taichi_pynerf.errors import UserError
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.rendering.camera_path_files import read_camera_path
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.key_frames import FPS, SECONDS_PER_KEY, KeyFrames


@pytest.fixture
def flight():
    """Three key frames, not evenly spaced, of two angles of view."""
    frames = KeyFrames()
    for eye, fov in (((4, 0, 1), 0.6), ((3, 3, 2), 0.6), ((-4, 4, 0), 1.2)):
        frames.add(ViewCamera.looking_at(eye, (0, 0, 0), (0, 0, 1), fov))
    return frames


def test_the_flight_passes_its_key_frames_and_their_angles(flight, tmp_path):
    flight.export(tmp_path / "camera_path.json", 320, 180)
    path = read_camera_path(tmp_path / "camera_path.json")
    assert path.fps == FPS
    assert len(path.cameras) == round(2 * SECONDS_PER_KEY * FPS)
    assert set(path.cameras.width.tolist()) == {320}
    poses = path.cameras.c2w.numpy()
    fovs = 2 * np.arctan(90 / path.cameras.fy.numpy())
    for key, camera in enumerate(flight.cameras):
        gaps = np.abs(poses - camera.c2w).max((1, 2))
        frame = gaps.argmin()
        assert gaps[frame] < 0.1
        assert fovs[frame] == pytest.approx(camera.fov_y, abs=0.02)
        if key == 0:
            assert frame == 0
    assert frame == len(poses) - 1
    assert (np.diff(fovs) > -1e-5).all()
    assert max(np.linalg.norm(np.diff(poses[:, :, 3], axis=0), axis=1)) < 0.5


def test_a_cropped_flight_keeps_the_colour_behind_the_box(flight, tmp_path):
    crop = CropBox((0.0, 0.0, 0.0), (1.0, 2.0, 3.0))
    for color in ((1.0, 1.0, 1.0), (0.0, 0.2, 0.4)):
        flight.export(tmp_path / "camera_path.json", 320, 180, crop, color)
        path = read_camera_path(tmp_path / "camera_path.json")
        assert path.crop == crop
        assert path.background.tolist() == pytest.approx(color)


def test_a_key_frame_can_be_taken_back(flight):
    assert flight.segments().shape == (2, 2, 3)
    flight.drop()
    assert len(flight) == 2
    for _ in range(5):
        flight.drop()
    assert len(flight) == 0


def test_one_key_frame_is_no_flight(flight, tmp_path):
    flight.drop()
    flight.drop()
    with pytest.raises(UserError, match="two key frames"):
        flight.export(tmp_path / "camera_path.json", 320, 180)
    assert not any(tmp_path.iterdir())
