"""The training views for the viewer: their positions and what they look at."""

from __future__ import annotations

import numpy as np
import torch

from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.data.placement import focus_point
from taichi_pynerf.data.scene_files import finest_views
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.viewer.camera import ViewCamera

DEFAULT_FOV = 0.9  # angle of view without training cameras, radians


class TrainingViews:
    """The finest images of a dataset.

    Args:
        dataset: the training images.
        size: size of the scene box, world units.

    Attributes:
        cameras: V cameras.
        c2w: [V, 3, 4] float64 poses.
        world_up: [3] unit vector, the mean of the cameras' own.
        focus: [3] the point that the cameras look at: nearest to all their axes.
    """

    def __init__(self, dataset: Dataset, size: float):
        self.dataset, self.size = dataset, size
        self._indices = finest_views(dataset.scales)
        self.cameras = dataset.cameras.select(self._indices).to("cpu")
        self.c2w = self.cameras.c2w.double().numpy()
        up = self.c2w[:, :, 1].mean(0)
        length = np.linalg.norm(up)
        self.world_up = up / length if length > 1e-3 else np.array([0.0, 0.0, 1.0])
        self.focus = focus_point(self.c2w)

    def __len__(self) -> int:
        return len(self._indices)

    def name(self, view: int) -> str:
        return self.dataset.names[self._indices[view]]

    def image(self, view: int, background: torch.Tensor) -> torch.Tensor:
        """[H, W, 3] float32 image over `background` [3]."""
        return self.dataset.image(self._indices[view], background)

    def camera(self, view: int) -> ViewCamera:
        """The view's camera without lens distortion; its target is straight ahead."""
        pose = self.c2w[view]
        ahead = float((self.focus - pose[:, 3]) @ -pose[:, 2])
        distance = ahead if ahead > 0.05 * self.size else 0.5 * self.size
        fov = 2.0 * np.arctan2(0.5 * int(self.cameras.height[view]), float(self.cameras.fy[view]))
        return ViewCamera.from_pose(pose, distance, float(fov), self.world_up)

    def nearest(self, camera: ViewCamera) -> int:
        """The view closest to the camera in position and direction.

        A shift by the camera's distance to its target counts as much as a turn of one radian.
        """
        step = np.linalg.norm(self.c2w[:, :, 3] - camera.position, axis=1) / camera.distance
        turn = np.arccos(np.clip(-self.c2w[:, :, 2] @ camera.forward, -1.0, 1.0))
        return int((step + turn).argmin())


def initial_camera(views: TrainingViews | None, box: SceneBox) -> ViewCamera:
    """The first training view's camera, or one that sees the whole box if there is none."""
    if views is not None and len(views):
        return views.camera(0)
    center = np.array(box.center)
    eye = center + box.size * np.array([1.2, -1.5, 1.0])
    return ViewCamera.looking_at(eye, center, (0.0, 0.0, 1.0), DEFAULT_FOV)
