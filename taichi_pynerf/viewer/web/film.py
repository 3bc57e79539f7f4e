"""A film that is rendered piece by piece, between the pictures of the clients."""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.errors import UserError
from taichi_pynerf.geometry.rays import view_rays
from taichi_pynerf.model.images import fitting_chunk_size, surface_normals
from taichi_pynerf.model.renders import Rendered
from taichi_pynerf.rendering.camera_paths import farthest
from taichi_pynerf.rendering.video import write_video
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.drawing.layers import Layers
from taichi_pynerf.viewer.drawing.progressive import Patch, Shot
from taichi_pynerf.viewer.drawing.shading import depth_range, shade
from taichi_pynerf.viewer.settings import Mode
from taichi_pynerf.viewer.viewer import Viewer

_AHEAD = 4  # frames that wait for the encoder


class _Given(Exception):
    """The film was given up."""


class Film:
    """Frames with the steps of final renders, as the viewer shows them now.

    `advance` renders rays, on the thread that draws. Another thread encodes. The file appears when
    it is complete.

    Args:
        viewer: gives the model, the display mode and the colours.
        cameras: the cameras of the frames.
        width, height: size of a frame, pixels.
        path: the file.
        fps: frames per second.
    """

    def __init__(
        self,
        viewer: Viewer,
        cameras: Sequence[ViewCamera],
        width: int,
        height: int,
        path: Path,
        fps: float,
    ):
        self.path, self.num_frames = path, len(cameras)
        self._viewer, self._cameras, self._fps = viewer, cameras, fps
        settings = viewer.settings
        # As it is now: what is changed later is for the next film.
        self._settings = type(settings)(**vars(settings))
        self._size = width, height
        self._depths: tuple[float, float] | None = None
        self._at_once = fitting_chunk_size(viewer.model)
        self.num_done = 0
        self.error: str | None = None
        self._frames: queue.Queue[np.ndarray | None] = queue.Queue(_AHEAD)
        self._given_up, self._all_taken = threading.Event(), threading.Event()
        self._begin()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._encoder = threading.Thread(target=self._encode, daemon=True)
        atexit.register(self._end)  # the program may end before the film does
        self._encoder.start()

    @property
    def finished(self) -> bool:
        """Whether the file is complete, or the film has failed."""
        return not self._encoder.is_alive()

    def advance(self, seconds: float) -> None:
        """Render for about `seconds`, unless the encoder has enough to do."""
        started = time.perf_counter()
        while self.num_done < self.num_frames and not self._frames.full():
            if self.finished:  # the encoder has failed
                return
            self._work.advance()
            if self._work.finished:
                self._frames.put(self._picture())
                self.num_done += 1
                if self.num_done == self.num_frames:
                    break
                self._begin()
            if time.perf_counter() - started >= seconds:
                return
        if self.num_done == self.num_frames and not self._frames.full():
            self._frames.put(None)  # a second one is never read

    def give_up(self) -> None:
        """Abandon the film; nothing is left of it.

        If the encoder has all frames, the film is finished, and not waited for: an animation is
        encoded in one go, for as long as that takes.
        """
        self._given_up.set()
        if not self._all_taken.is_set():
            self._encoder.join()

    def _end(self) -> None:
        self.give_up()
        self._encoder.join()

    def _begin(self) -> None:
        viewer, settings = self._viewer, self._settings
        crop = settings.crop if settings.cropping else None
        level = settings.level if settings.fixed_level else None
        camera = self._cameras[self.num_done]
        normals = settings.mode is Mode.NORMALS
        self._shot = Shot(camera, *self._size, level, normals, crop)
        views = camera.cameras(*self._size)
        near = viewer.renderer.near
        far = farthest(views, viewer.model.config.aabb, viewer.renderer.far)
        rays = view_rays(views, 0, (near, far)).to(viewer.model.device)
        self._rays = rays if crop is None else crop.clip(rays)
        self._work = viewer.model.renderer.begin(self._rays, level=level, at_once=self._at_once)

    def _picture(self) -> np.ndarray:
        """uint8 [H, W, 3] of the frame that has been rendered."""
        viewer = self._viewer
        width, height = self._size
        rendered = Rendered.of(self._work.sums)
        normals = None
        if self._shot.normals:
            normals = surface_normals(viewer.model, self._rays, rendered)
        layers = Layers.empty(height, width, self._shot.normals)
        layers.store(torch.arange(width * height), rendered, normals)
        # One range for all frames, as otherwise the colours of depths would flicker.
        self._depths = self._depths or depth_range(layers)
        return shade(
            Patch(layers, (0, 0, width, height), self._size, self._shot),
            self._settings,
            depths=self._depths,
            num_levels=len(viewer.model.field.resolutions),
            far=viewer.renderer.far,
            views=viewer.views,
        )

    def _encode(self) -> None:
        try:
            write_video(self.path, self._taken(), self._fps)
        except _Given:
            self.error = "no film: it was stopped"
        except (UserError, OSError, ValueError) as error:
            self.error = f"no film: {error}"
        finally:
            atexit.unregister(self._end)

    def _taken(self) -> Iterator[np.ndarray]:
        """The frames, as they are rendered."""
        while True:
            if self._given_up.is_set():
                raise _Given
            try:
                frame = self._frames.get(timeout=0.1)
            except queue.Empty:
                continue
            if frame is None:
                self._all_taken.set()
                return
            yield frame
