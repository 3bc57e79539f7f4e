"""Objects drawn over the picture in three dimensions: training cameras, boxes, points."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from typing import Any

import numpy as np
import torch

from taichi_pynerf.extras import optional
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.viewer import overlays
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.widgets import Later

MOST_POINTS = 200_000  # greatest number of points drawn
POINT_COLOR = (230, 150, 40)
_POINT_SHARE = 0.0007  # size of a point, in sides of the scene box
MOST_CAMERAS = 200  # greatest number of cameras drawn, evenly spread
THUMBNAIL = 96  # longest side, pixels
ADDING_SECONDS = 0.02  # of a round, for new frustums: large photographs take long to reduce
_FRUSTUM_SHARE = 0.04  # height of a frustum, in sides of the scene box, as in the window


class SceneObjects:
    """The three-dimensional objects in a client's page.

    Args:
        handle: viser's handle of the client.
        viewer: its viewer.
        later: hands work to the thread that draws.
        points: [K, 3] sparse points of the scene, if it has any.
    """

    def __init__(self, handle: Any, viewer: Viewer, later: Later, points: np.ndarray | None):
        self.handle, self.viewer, self._later = handle, viewer, later
        self._points = points
        self._cloud: Any = None
        self._turns = optional("viser.transforms", "web")
        self._frusta: dict[int, Any] = {}
        self._awaited: deque[int] = deque()  # views whose frustums are still to come
        self._box: Any = None
        self._gizmo: Any = None
        self._crop_lines: Any = None

    @property
    def has_points(self) -> bool:
        """Whether the scene has sparse points."""
        return self._points is not None

    # ---- training cameras -----------------------------------------------------------------

    def show_cameras(self, on: bool) -> None:
        """Draw the training cameras as frustums with their images; a click looks from there.

        They come one after the other, in the rounds that follow (`advance`).
        """
        for handle in self._frusta.values():
            handle.remove()
        self._frusta.clear()
        self._awaited.clear()
        views = self.viewer.views
        if not on or views is None:
            return
        count = len(views)
        shown = sorted({round(i) for i in np.linspace(0, count - 1, min(count, MOST_CAMERAS))})
        self._awaited.extend(shown)

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is there."""
        return not self._awaited

    def advance(self) -> bool:
        """Add some of the frustums that are to come, at least one; returns whether any were."""
        started = time.perf_counter()
        busy = bool(self._awaited)
        while self._awaited:
            view = self._awaited.popleft()
            self._frusta[view] = self._add_frustum(view)
            if time.perf_counter() - started >= ADDING_SECONDS:
                break
        if busy:
            self.hide_those_near(self.viewer.camera)
        return busy

    def hide_those_near(self, camera: ViewCamera) -> None:
        """Hide frustums that contain a camera, as their images would cover the picture."""
        views = self.viewer.views
        if views is None:
            return
        reach = 2.0 * _FRUSTUM_SHARE * self.viewer.model.renderer.box.size
        for view, frustum in self._frusta.items():
            near = float(np.linalg.norm(views.c2w[view, :, 3] - camera.position)) < reach
            if frustum.visible == near:
                frustum.visible = not near

    def _add_frustum(self, view: int) -> Any:
        views = self.viewer.views
        assert views is not None
        cameras, pose = views.cameras, views.c2w[view]
        width, height = int(cameras.width[view]), int(cameras.height[view])
        frustum = self.handle.scene.add_camera_frustum(
            f"/cameras/{view}",
            fov=2.0 * math.atan(0.5 * height / float(cameras.fy[view])),
            aspect=width / height,
            scale=_FRUSTUM_SHARE * self.viewer.model.renderer.box.size,
            thickness=1.5,
            thickness_units="screen",
            color=overlays.FRUSTUM_COLOR,
            image=self._thumbnail(view),
            format="jpeg",
            wxyz=self._wxyz(pose[:, :3] @ np.diag([1.0, -1.0, -1.0])),
            position=pose[:, 3],
            cast_shadow=False,
            receive_shadow=False,
        )

        async def clicked(_: Any) -> None:
            self._later("frustum", lambda: self.viewer.show_view(view))

        frustum.on_click(clicked)
        return frustum

    def _thumbnail(self, view: int) -> np.ndarray:
        """uint8 [h, w, 3] of a training image."""
        views = self.viewer.views
        assert views is not None
        image = views.image(view, torch.tensor(self.viewer.settings.background))
        step = max(math.ceil(max(image.shape[:2]) / THUMBNAIL), 1)
        height, width = (side // step * step for side in image.shape[:2])
        if not (height and width):
            return (image.clamp(0, 1) * 255).round().byte().numpy()
        blocks = image[:height, :width].reshape(height // step, step, width // step, step, 3)
        return (blocks.mean((1, 3)).clamp(0, 1) * 255).round().byte().numpy()

    # ---- boxes ----------------------------------------------------------------------------

    def show_box(self, on: bool) -> None:
        """Draw the scene box."""
        if self._box is not None:
            self._box.remove()
            self._box = None
        if on:
            segments = overlays.box_segments(self.viewer.model.renderer.box.aabb)
            self._box = self._lines("/scene_box", segments, overlays.BOX_COLOR)

    def show_crop(self, on: bool) -> None:
        """Draw the crop box, with handles that move and turn it."""
        for handle in (self._crop_lines, self._gizmo):
            if handle is not None:
                handle.remove()
        self._crop_lines = self._gizmo = None
        if not on:
            return
        crop = self.viewer.settings.crop
        self._gizmo = self.handle.scene.add_transform_controls(
            "/crop",
            scale=0.6 * max(crop.size),
            depth_test=False,
            wxyz=self._wxyz(crop.axes.numpy()),
            position=crop.center,
        )
        half = 0.5 * np.array(crop.size)
        corners = np.array(list(itertools.product((-1.0, 1.0), repeat=3))) * half
        self._crop_lines = self._lines(
            "/crop/lines", overlays.edges_of(corners), overlays.CROP_COLOR
        )
        gizmo = self._gizmo

        async def moved(_: Any) -> None:
            wxyz, position = gizmo.wxyz, gizmo.position
            self._later("crop", lambda: self._move_crop(wxyz, position))

        gizmo.on_update(moved)

    def _move_crop(self, wxyz: np.ndarray, position: np.ndarray) -> None:
        angles = self._turns.SO3(np.asarray(wxyz, dtype=np.float64)).as_rpy_radians()
        x, y, z = (float(value) for value in position)
        size = self.viewer.settings.crop.size
        self.viewer.settings.crop = CropBox(
            (x, y, z), size, (float(angles.roll), float(angles.pitch), float(angles.yaw))
        )

    # ---- points ---------------------------------------------------------------------------

    def show_points(self, on: bool) -> None:
        """Draw the sparse points, or an even sample of them if there are very many."""
        if self._cloud is not None:
            self._cloud.remove()
            self._cloud = None
        if on and self._points is not None:
            step = -(-len(self._points) // MOST_POINTS)
            self._cloud = self.handle.scene.add_point_cloud(
                "/points",
                points=self._points[::step].astype(np.float32),
                colors=POINT_COLOR,
                point_size=_POINT_SHARE * self.viewer.model.renderer.box.size,
                precision="float32",
            )

    # ---- parts ----------------------------------------------------------------------------

    def _lines(self, name: str, segments: np.ndarray, color: tuple[int, int, int]) -> Any:
        return self.handle.scene.add_line_segments(
            name,
            points=segments.astype(np.float32),
            colors=color,
            thickness=2.0,
            thickness_units="screen",
        )

    def _wxyz(self, rotation: np.ndarray) -> np.ndarray:
        """The quaternion of a rotation [3, 3]."""
        return self._turns.SO3.from_matrix(rotation).wxyz
