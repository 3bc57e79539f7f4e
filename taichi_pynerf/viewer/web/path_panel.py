"""Key frames of one client: recording, a preview of the flight, and films."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from taichi_pynerf.errors import UserError
from taichi_pynerf.rendering.video import video_suffix
from taichi_pynerf.viewer import overlays
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.key_frames import FPS
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.film import Film
from taichi_pynerf.viewer.web.widgets import Later, on_change, on_click

AS_THE_PAGE = "as the page"
FILM_SIZES = {
    AS_THE_PAGE: None, "320 x 180": (320, 180), "640 x 360": (640, 360), "1280 x 720": (1280, 720),
    "1920 x 1080": (1920, 1080),
}  # fmt: skip
_SECONDS = 0.3  # between two updates of the progress
_ECHO_SECONDS = 0.5  # time for which the browser may still report a preview's camera, s


class PathPanel:
    """Widgets for key frames and the flight through them.

    Args:
        handle: viser's handle of the client.
        viewer: its viewer.
        later: hands work to the thread that draws.
    """

    def __init__(self, handle: Any, viewer: Viewer, later: Later):
        self.handle, self.viewer = handle, viewer
        self._film: Film | None = None
        self._flight: list[ViewCamera] = []
        self._playing_since: float | None = None
        self._steered_at = float("-inf")
        self._updated_at = float("-inf")
        self._line: Any = None
        gui = handle.gui
        with gui.add_folder("Key frames", expand_by_default=False):

            def button(label: str, act: Callable[[], object]) -> None:
                on_click(later, gui.add_button(label), act)

            button("Add key frame", partial(self._change, "key_frame"))
            button("Remove the last", partial(self._change, "drop_key_frame"))
            button("Write camera path", partial(viewer.act, "export_path"))
            place = gui.add_slider("preview", 0.0, 1.0, 0.005, 0.0, hint="along the flight")
            on_change(later, place, lambda share: self._preview(float(share)))
            button("Play", self._play)
            self._size = gui.add_dropdown("film size", list(FILM_SIZES), initial_value=AS_THE_PAGE)
            button("Render film", self._start_film)
            button("Stop", self.stop)
            self._bar = gui.add_progress_bar(0.0, visible=False)

    @property
    def busy(self) -> bool:
        """Whether a film is being made, or a preview runs."""
        return self._film is not None or self._playing_since is not None

    @property
    def steers(self) -> bool:
        """Whether a preview moves the camera, or has just done so."""
        recent = time.perf_counter() - self._steered_at < _ECHO_SECONDS
        return self._playing_since is not None or recent

    def steer(self) -> bool:
        """Move the camera along, in a preview; returns whether it moved."""
        if self._playing_since is None:
            return False
        frame = int((time.perf_counter() - self._playing_since) * FPS)
        if frame >= len(self._flight):
            self._playing_since = None
            frame = len(self._flight) - 1
        self._look_from(frame)
        return True

    def advance(self, seconds: float) -> bool:
        """Render a film for about `seconds`; returns whether there is one."""
        film = self._film
        if film is None:
            return False
        film.advance(seconds)
        if film.finished:
            self._film, self._bar.visible = None, False
            self.viewer.message = film.error or f"saved {film.path}"
            if film.error is None:
                content = film.path.read_bytes()
                self.handle.send_file_download(film.path.name, content, save_immediately=True)
        return True

    def update(self) -> None:
        """Show the progress of a film."""
        film, now = self._film, time.perf_counter()
        if film is not None and now - self._updated_at >= _SECONDS:
            self._updated_at = now
            self._bar.value = 100.0 * film.num_done / film.num_frames
            self.viewer.message = f"film: frame {film.num_done} of {film.num_frames}"

    def stop(self) -> None:
        """End a preview, and give a film up."""
        self._playing_since = None
        if self._film is not None:
            self._film.give_up()

    # ---- what buttons do ------------------------------------------------------------------

    def _change(self, action: str) -> None:
        """Add or remove a key frame, and draw the flight again."""
        self.viewer.act(action)
        if self._line is not None:
            self._line.remove()
        self._flight, self._line, self._playing_since = [], None, None
        if len(self.viewer.key_frames) > 1:
            places = np.stack([camera.position for camera in self._cameras()])
            self._line = self.handle.scene.add_line_segments(
                "/flight",
                points=np.stack([places[:-1], places[1:]], axis=1).astype(np.float32),
                colors=overlays.PATH_COLOR,
                thickness=2.0,
                thickness_units="screen",
            )

    def _cameras(self) -> list[ViewCamera]:
        """The cameras of the flight.

        Raises:
            UserError: there are fewer than two key frames.
        """
        if not self._flight:
            keys = self.viewer.key_frames
            frames, _ = keys.flight(*self.viewer.layout.picture_size)
            poses = frames.c2w.double().numpy()
            angles = 2.0 * np.arctan(0.5 * frames.height.numpy() / frames.fy.double().numpy())
            distance, up = keys.cameras[0].distance, keys.cameras[0].world_up
            self._flight = [
                ViewCamera.from_pose(pose, distance, float(angle), up)
                for pose, angle in zip(poses, angles, strict=True)
            ]
        return self._flight

    def _preview(self, share: float) -> None:
        self._playing_since = None
        self._look_from(round(min(max(share, 0.0), 1.0) * (len(self._cameras()) - 1)))

    def _play(self) -> None:
        self._cameras()
        self._playing_since = time.perf_counter()

    def _look_from(self, frame: int) -> None:
        self._steered_at = time.perf_counter()
        self.viewer.look_from(self._flight[frame])
        self.viewer.view = None

    def _start_film(self) -> None:
        if self._film is not None:
            raise UserError("one film at a time: Stop ends this one")
        cameras = self._cameras()
        if self._size.value not in FILM_SIZES:  # a page may send anything
            raise UserError(f"film size: choose one of {', '.join(FILM_SIZES)}")
        width, height = FILM_SIZES[self._size.value] or self.viewer.layout.picture_size
        # Others may be making one too, whose file is not there yet.
        path = self.viewer.free_path(f"film_{self.handle.client_id}", video_suffix())
        self._film = Film(self.viewer, cameras, width, height, path, FPS)
        self._bar.visible, self._bar.value = True, 0.0
