"""Key frames of a flight, recorded in the viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.errors import UserError
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.rendering.camera_path_files import write_camera_path
from taichi_pynerf.rendering.camera_paths import frame_cameras
from taichi_pynerf.rendering.pose_interpolation import interpolate_poses
from taichi_pynerf.viewer.camera import ViewCamera

FPS = 24
SECONDS_PER_KEY = 2.0


class KeyFrames:
    """The cameras of a flight, in order."""

    def __init__(self) -> None:
        self.cameras: list[ViewCamera] = []

    def __len__(self) -> int:
        return len(self.cameras)

    def add(self, camera: ViewCamera) -> None:
        """Append a camera."""
        self.cameras.append(camera)

    def drop(self) -> None:
        """Remove the last one, if there is any."""
        del self.cameras[-1:]

    def segments(self) -> np.ndarray:
        """[K - 1, 2, 3] straight lines from each key frame to the next."""
        places = np.stack([camera.position for camera in self.cameras])
        return np.stack([places[:-1], places[1:]], axis=1)

    def flight(self, width: int, height: int) -> tuple[Cameras, Cameras]:
        """A smooth flight through the key frames.

        Args:
            width, height: size of the frames, pixels.

        Returns:
            The cameras of the frames, and those of the key frames.

        Raises:
            UserError: there are fewer than two key frames.
        """
        if len(self) < 2:
            raise UserError("a flight needs two key frames")
        keys = Cameras.cat([camera.cameras(width, height) for camera in self.cameras])
        poses = interpolate_poses(keys.c2w, round(FPS * SECONDS_PER_KEY * (len(self) - 1)))
        passes = _passing_frames(poses, keys.c2w)
        # Between key frames the focal length changes geometrically.
        logs = np.interp(np.arange(len(poses)), passes, keys.fy.log().numpy())
        return frame_cameras(poses, torch.from_numpy(np.exp(logs)), width, height), keys

    def export(
        self,
        path: Path,
        width: int,
        height: int,
        crop: CropBox | None = None,
        background: tuple[float, ...] = (1.0, 1.0, 1.0),
    ) -> None:
        """Write a camera_path.json with the flight.

        Args:
            path: the file.
            width, height: size of the film's frames, pixels.
            crop: a box; the film leaves out what is outside.
            background: colour behind the box, each channel in [0, 1].

        Raises:
            UserError: there are fewer than two key frames.
            OSError: the file cannot be written.
        """
        frames, keys = self.flight(width, height)
        write_camera_path(path, frames, FPS, keyframes=keys, crop=crop, background=background)


def _passing_frames(poses: torch.Tensor, keys: torch.Tensor) -> list[int]:
    """The frame [F, 3, 4] at which each key [K, 3, 4] is passed, in order."""
    passes: list[int] = []
    for key in keys:
        first = passes[-1] if passes else 0
        gaps = (poses[first:] - key).square().sum((1, 2))
        passes.append(first + int(gaps.argmin()))
    return passes
