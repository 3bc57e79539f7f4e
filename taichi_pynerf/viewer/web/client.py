"""A client of the page: the browser's camera and widgets come in, pictures go out."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from taichi_pynerf.data.formats.poses import opengl_pose
from taichi_pynerf.errors import UserError
from taichi_pynerf.extras import optional
from taichi_pynerf.geometry.rotations import rotation_of_quaternion
from taichi_pynerf.viewer.camera import FOV_RANGE, ViewCamera
from taichi_pynerf.viewer.controls import InputFrame
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.objects import SceneObjects
from taichi_pynerf.viewer.web.panels import Panels
from taichi_pynerf.viewer.web.path_panel import PathPanel

SIDES = (16, 4096)  # least and greatest side of a picture, pixels
MOVING_QUALITY, STILL_QUALITY = 80, 92  # quality of JPEG
_FIRST_SIZE = (640, 480)  # of a page whose canvas has no size that can be
_SAME_POSE = 1e-4  # rounding of a camera sent and returned, in distances to the target
_FARTHEST = 1e4  # greatest distance of a camera from the scene box, in sides of the box
SMALL = 500  # side of a window in pixels below which the panel starts folded
_SLOWED = 0.5  # a canvas that a slow browser has reduced by less than this gets the same picture


@dataclass
class Common:
    """The values that all clients of a server share.

    Attributes:
        training: whether the model is going to change.
        points: [K, 3] sparse points of the scene, if it has any.
    """

    training: bool = False
    points: np.ndarray | None = None


class Client:
    """A screen for a viewer, in a browser.

    The server's thread notes input from the browser, and `poll` applies it on the thread that
    draws. Of several values for one widget the last counts. Pictures are passed to the server,
    which sends the newest when the client is ready for one. Nothing here waits.

    Args:
        handle: viser's handle of the client.
        viewer: the client's own viewer.
        common: the values shared with the other clients.
    """

    how_to_close = "close the page"

    def __init__(self, handle: Any, viewer: Viewer, common: Common):
        self.handle, self.viewer, self.common = handle, viewer, common
        self.open = True
        self._lock = threading.Lock()
        self._inbox: dict[object, Callable[[], object]] = {}
        self._view: tuple | None = None  # the browser's camera, until it is taken up
        self._size: tuple[int, int] | None = None
        self._start_fov = viewer.camera.fov_y
        self._known: ViewCamera | None = None  # the browser's, as the viewer has it
        self._sent: np.ndarray | None = None
        self._sent_as = ""
        small = self._fit_window(handle.camera)
        self.objects = SceneObjects(handle, viewer, self.later, common.points)
        self.panels = Panels(handle, viewer, self.objects, self.later, folded=small)
        self.path = PathPanel(handle, viewer, self.later)
        self._note_view(handle.camera)
        self.objects.hide_those_near(viewer.camera)

        async def moved(camera: Any) -> None:
            self._note_view(camera)

        handle.camera.on_update(moved)

    # ---- what the audience asks -----------------------------------------------------------

    @property
    def wants_drawing(self) -> bool:
        return self.viewer.drawing or self.path.busy

    @property
    def at_rest(self) -> bool:
        still = self.viewer.at_rest or not self.viewer.drawing
        return still and self.objects.complete and not self.path.busy

    @property
    def was_moved(self) -> bool:
        """Whether the browser's camera has moved and has not been applied yet."""
        return self._view is not None

    def round(self, seconds: float) -> bool:
        """A round of the viewer, of objects that are to come, and of a film that is being made."""
        busy = self.viewer.round(self, seconds)
        busy |= self.objects.advance()
        return self.path.advance(seconds) or busy

    def leave(self) -> None:
        """The client has gone."""
        self.open = False
        self.path.stop()

    # ---- from the browser -----------------------------------------------------------------

    def later(self, key: object, act: Callable[[], object]) -> None:
        """Let the thread that draws do something; a later request of the same key replaces it."""
        with self._lock:
            self._inbox[key] = act

    def _fit_window(self, camera: Any) -> bool:
        """Leave the picture room in a small window, and see as much in a tall one as in a wide.

        Returns:
            Whether the window is small.
        """
        try:
            self._resize(camera.image_width, camera.image_height)
        except UserError:
            return False  # `poll` says so
        assert self._size is not None
        small = min(self._size) < SMALL
        if small:
            self.handle.gui.main_panel.minimize()
        self.viewer.camera = wide_enough(self.viewer.camera, self._size)
        return small

    def _note_view(self, camera: Any) -> None:
        """Note the browser's camera; called by the server's thread."""
        self._view = (
            camera.position, camera.wxyz, camera.look_at, camera.fov,
            camera.image_width, camera.image_height,
        )  # fmt: skip

    @property
    def hidden(self) -> bool:
        return False

    def poll(self) -> InputFrame:
        with self._lock:
            waiting, self._inbox = self._inbox, {}
        for act in waiting.values():
            try:
                act()
            except (UserError, OSError, ValueError, TypeError) as error:
                self.viewer.message = str(error)
        view, self._view = self._view, None
        if view is not None:
            self._take(*view)
        moved = self.path.steer()
        return InputFrame(size=self._size or _FIRST_SIZE, touched=bool(waiting) or moved)

    def _take(self, place: Any, wxyz: Any, look_at: Any, fov: Any, width: Any, height: Any) -> None:
        """Apply the browser's camera and the size of its canvas, if they are valid."""
        viewer = self.viewer
        try:
            self._resize(width, height)
            if self.path.steers:  # this is where the preview was a moment ago
                return
            camera = browser_camera(viewer, place, wxyz, look_at, fov)
        except (UserError, ValueError, TypeError) as error:
            viewer.message = f"this page's view cannot be used: {error}"
            return
        if self._known is None or not _same(camera, self._known):
            # One that begins is told to look wider; one that comes back does already.
            begins = self._known is None and abs(camera.fov_y - self._start_fov) < _SAME_POSE
            wide = wide_enough(camera, self._size or _FIRST_SIZE) if begins else camera
            viewer.look_from(wide)
            viewer.view = None
            self._known = camera

    def _resize(self, width: Any, height: Any) -> None:
        low, high = SIDES
        for side in (width, height):
            if not isinstance(side, int) or not low <= side <= high:
                raise UserError(f"a picture of {width} x {height} pixels: {low} to {high} a side")
        if self._size is None:
            self._size = (width, height)
            return
        old_width, old_height = self._size
        shape = abs(width * old_height / (height * old_width) - 1.0)
        # A browser that is slow reduces its canvas and not the page: that needs no new picture.
        if shape > 0.01 or width > old_width or width < _SLOWED * old_width:
            self._size = (width, height)

    # ---- to the browser -------------------------------------------------------------------

    def show(self, viewer: Viewer) -> bool:
        if viewer.camera is not self._known:
            self._move_browser(viewer.camera)
        if viewer.settings.drawing:
            self._send_picture(viewer)
        self.panels.update()
        self.path.update()
        return False

    def _send_picture(self, viewer: Viewer) -> None:
        """Send the picture if it has changed: JPEG while it changes, PNG once it is complete."""
        image = viewer.canvas.image(viewer.layout.picture_size, viewer.settings.background)
        resting = not (viewer.moving or self.common.training)
        kind = "png" if resting and viewer.renderer.complete else "jpeg"
        if self._sent is not None and kind == self._sent_as and np.array_equal(image, self._sent):
            return
        quality = STILL_QUALITY if resting else MOVING_QUALITY
        self.handle.scene.set_background_image(image, format=kind, jpeg_quality=quality)
        self._sent, self._sent_as = image, kind
        self.handle.flush()

    def _move_browser(self, camera: ViewCamera) -> None:
        """Move the browser's view to a camera, for example after a click on a training view."""
        browser = self.handle.camera
        try:
            with self.handle.atomic():
                # A page that has just begun is still on its way to where it begins.
                if self._known is None or not _same_place(camera, self._known):
                    browser.up_direction = camera.world_up
                    browser.position = camera.position
                    browser.wxyz = wxyz_of(camera)
                    browser.look_at = camera.target
                browser.fov = camera.fov_y
        except ValueError as error:  # viser moves no page that stands where no camera can
            self.viewer.message = f"this page's view cannot be used: {error}"
        self._known = camera
        self.objects.hide_those_near(camera)

    def close(self) -> None:
        """The page stays; there is nothing to close."""


def browser_camera(viewer: Viewer, place: Any, wxyz: Any, look_at: Any, fov: Any) -> ViewCamera:
    """The browser's camera: from viser's conventions (OpenCV's axes) to the viewer's.

    Args:
        viewer: the viewer of the scene.
        place, look_at: [3] position and target, world units.
        wxyz: [4] the camera's rotation in the world, a quaternion.
        fov: vertical angle of view, radians.

    Raises:
        UserError: a value is not finite or lies far outside of anything.
    """
    place, look_at, wxyz = (np.asarray(v, dtype=np.float64) for v in (place, look_at, wxyz))
    if place.shape != (3,) or look_at.shape != (3,) or wxyz.shape != (4,):
        raise UserError("a place has 3 numbers, a turn 4")
    values = np.concatenate([place, look_at, wxyz, [float(fov)]])
    box = viewer.model.renderer.box
    length = float(np.linalg.norm(wxyz))
    distance = float(np.linalg.norm(look_at - place))
    if not np.isfinite(values).all() or length < 1e-6:
        raise UserError("its numbers are not finite")
    farthest = float(np.abs(np.stack([place, look_at]) - np.array(box.center)).max())
    if not 1e-6 * box.size < distance or farthest > _FARTHEST * box.size:
        raise UserError("it is too far away, or looks at where it stands")
    w, x, y, z = wxyz
    pose = opengl_pose(rotation_of_quaternion(x, y, z, w), place)
    fov = min(max(float(fov), FOV_RANGE[0]), FOV_RANGE[1])
    return ViewCamera.from_pose(pose, distance, fov, viewer.camera.world_up)


def wide_enough(camera: ViewCamera, size: tuple[int, int]) -> ViewCamera:
    """The camera, in a canvas that is taller than wide with its angle of view across."""
    width, height = size
    if width >= height:
        return camera
    return camera.with_fov(2 * math.atan(math.tan(0.5 * camera.fov_y) * height / width))


def wxyz_of(camera: ViewCamera) -> np.ndarray:
    """The rotation of a camera with OpenCV's axes, as a quaternion [4]."""
    rotation = camera.rotation @ np.diag([1.0, -1.0, -1.0])
    return optional("viser.transforms", "web").SO3.from_matrix(rotation).wxyz


def _same(camera: ViewCamera, known: ViewCamera) -> bool:
    """Whether two cameras differ by no more than rounding on the way to a browser and back."""
    return _same_place(camera, known) and abs(camera.fov_y - known.fov_y) < _SAME_POSE


def _same_place(camera: ViewCamera, known: ViewCamera) -> bool:
    """Whether two cameras stand at one place and look in one direction, but for rounding."""
    shift = float(np.abs(camera.position - known.position).max()) / known.distance
    turn = float(np.abs(camera.rotation - known.rotation).max())
    nearer = abs(math.log(camera.distance / known.distance))
    return max(shift, turn, nearer) < _SAME_POSE
