"""The viewer without its window: the picture, its drawing, and the actions."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.errors import UserError
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.rendering.crop_files import write_crop
from taichi_pynerf.rendering.pictures import write_png
from taichi_pynerf.viewer import overlays
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.controls import Controls, InputFrame
from taichi_pynerf.viewer.drawing.canvas import PictureCanvas
from taichi_pynerf.viewer.drawing.pacing import Rate, TimeShare
from taichi_pynerf.viewer.drawing.progressive import ProgressiveRenderer, Shot
from taichi_pynerf.viewer.figures import TrainingFigures
from taichi_pynerf.viewer.key_frames import KeyFrames
from taichi_pynerf.viewer.layout import Layout
from taichi_pynerf.viewer.settings import Mode, ViewSettings
from taichi_pynerf.viewer.views import TrainingViews, initial_camera

MOVING_SECONDS = 0.15  # time after the last move during which the picture counts as moving, s
IDLE_SECONDS = 1.0  # interval between frames of a window in which nothing happens, s
REFINING_SECONDS = 0.6  # the same while tiles arrive, which need the time, s
_SETTLING_ROUNDS = 3  # frames to show after input, because widgets react some frames late
_FRUSTUM_SHARE = 0.04  # height of a drawn frustum, in sides of the scene box


class Surface(Protocol):
    """What shows pictures, as those see it who do not draw them: a window, or a page's server."""

    how_to_close: str  # as an instruction: "close the window"

    @property
    def open(self) -> bool:
        """False once it was closed."""

    @property
    def hidden(self) -> bool:
        """Whether nobody sees it: a window is minimised, nobody has opened the page."""

    def close(self) -> None:
        """Close it."""


class Screen(Surface, Protocol):
    """The interface of a window that the viewer needs."""

    def poll(self) -> InputFrame:
        """The input since the last call."""

    def show(self, viewer: Viewer) -> bool:
        """Show the viewer's picture and panels; returns whether a panel changed something."""


class Viewer:
    """Shows a model from any point of view.

    Args:
        model: the model; it may be in training.
        dataset: the training images, for their cameras and background; optional.
        output_dir: where screenshots and camera paths go.
        save: writes a checkpoint and returns its path; None where there is nothing to save.
        crop: a box that cuts the scene from the start.
    """

    def __init__(
        self,
        model: PyNeRF,
        dataset: Dataset | None = None,
        output_dir: str | Path = ".",
        save: Callable[[], Path] | None = None,
        crop: CropBox | None = None,
    ):
        self.model, self.output_dir, self.save = model, Path(output_dir), save
        box = model.renderer.box
        self.views = TrainingViews(dataset, box.size) if dataset is not None else None
        near, far = (dataset.near, dataset.far) if dataset is not None else (0.01, 10 * box.size)
        background = (1.0, 1.0, 1.0) if dataset is None else tuple(dataset.background.tolist())
        self.settings = ViewSettings(background=background, cropping=crop is not None)
        self.settings.crop = crop or CropBox.from_aabb(box.aabb)
        self.camera = initial_camera(self.views, box)
        self.view: int | None = 0 if self.views is not None else None  # training view
        self.renderer = ProgressiveRenderer(model, near, far)
        self.canvas = PictureCanvas(self.renderer, self.views)
        self.controls, self.key_frames = Controls(), KeyFrames()
        self.figures: TrainingFigures | None = None
        self.share = TimeShare()
        self.layout = Layout(*Layout.window_size(640, 480))
        self.frames, self.rays = Rate(), Rate()
        self.message = "H shows the controls"
        self.close_requested = False
        self._pictures_wanted = 0  # that are saved once the picture is finished
        self._moved_at = self._shown_at = float("-inf")
        self._last_frame, self._settling = InputFrame(), 0
        self._box_lines = overlays.box_segments(box.aabb)
        self._frusta = None
        if self.views is not None:
            size = _FRUSTUM_SHARE * box.size
            self._frusta = overlays.frustum_segments(self.views.cameras, size)

    # ---- what a training needs to know ----------------------------------------------------

    @property
    def drawing(self) -> bool:
        return self.settings.drawing

    @property
    def paused(self) -> bool:
        return self.settings.paused

    @property
    def at_rest(self) -> bool:
        return self.renderer.at_rest

    def model_changed(self, training: bool) -> None:
        self.renderer.model_changed(training)

    def training_rests(self) -> None:
        self.renderer.training_rests()

    # ---- one round ------------------------------------------------------------------------

    def round(self, screen: Screen, seconds: float) -> bool:
        """Handle input, draw for about `seconds`, show it; returns whether anything changed."""
        started = time.perf_counter()
        busy = self.react(screen.poll())
        if self.close_requested:
            screen.close()
        if not screen.open or screen.hidden:
            return False
        moving = self.moving
        drawn = self.draw(seconds)
        self._save_pictures()
        now = time.perf_counter()
        wait = 0.0 if drawn or busy else IDLE_SECONDS
        if drawn and not (busy or moving) and self.renderer.progress() is not None:
            wait = REFINING_SECONDS
        if now - self._shown_at > wait:
            if drawn:
                self.frames.note(now)
            if screen.show(self):
                self.camera = self.controls.cancel_drag(self.camera)
                self._settling = _SETTLING_ROUNDS
            self._shown_at = now
            if moving and drawn:
                self.renderer.budget.frame_took(time.perf_counter() - started)
        return drawn or busy

    def react(self, frame: InputFrame) -> bool:
        """Apply a frame of input; returns whether it did anything, or may have in a panel."""
        width, height = (max(n, 1) for n in frame.size)
        layout = Layout(width, height, self.settings.panels, self.settings.help)
        before, self.layout = self.layout, layout
        camera, actions = self.controls.update(frame, self.camera, layout)
        if camera is not self.camera:
            self.camera, self.view = camera, None
            self._moved_at = time.perf_counter()
        for action in actions:
            self.act(action)
        self.layout = Layout(width, height, self.settings.panels, self.settings.help)
        changed = self.layout != before
        last, self._last_frame = self._last_frame, frame
        used = frame.touched or bool(frame.pressed) or frame.held != last.held
        at_panel = frame.cursor != last.cursor and not layout.on_picture(frame.cursor)
        if changed or used or at_panel or self.controls.dragging:
            self._settling = _SETTLING_ROUNDS
        self._settling -= 1
        return self._settling >= 0

    @property
    def moving(self) -> bool:
        """Whether the camera has just moved."""
        return time.perf_counter() - self._moved_at < MOVING_SECONDS

    def draw(self, seconds: float) -> bool:
        """Draw for about `seconds`; returns whether the picture changed."""
        settings = self.settings
        if not settings.drawing:
            return False
        level = settings.level if settings.fixed_level else None
        normals = settings.mode is Mode.NORMALS
        crop = settings.crop if settings.cropping else None
        self.renderer.look(Shot(self.camera, *self.layout.picture_size, level, normals, crop))
        before = self.renderer.num_rays
        changed = self.canvas.update(settings, seconds, refine=not self.moving)
        if self.renderer.num_rays > before:
            self.rays.note(time.perf_counter(), self.renderer.num_rays - before)
        return changed

    def picture(self) -> np.ndarray:
        """uint8 [H, W, 3]: what has been drawn so far, with the lines over it."""
        image = self.canvas.image(self.layout.picture_size, self.settings.background)
        if self.settings.frusta and self.views is not None and self._frusta is not None:
            overlays.draw_world_lines(
                image, self.camera, self._frusta, overlays.FRUSTUM_COLOR, opacity=0.8
            )
            nearest = self._frusta[self.views.nearest(self.camera)]
            overlays.draw_world_lines(image, self.camera, nearest, overlays.NEAREST_COLOR)
        if self.settings.box:
            overlays.draw_world_lines(image, self.camera, self._box_lines, overlays.BOX_COLOR)
        if self.settings.cropping:
            edges = overlays.edges_of(self.settings.crop.corners().numpy())
            overlays.draw_world_lines(image, self.camera, edges, overlays.CROP_COLOR)
        if self.settings.frusta and len(self.key_frames) > 1:
            path = self.key_frames.segments()
            overlays.draw_world_lines(image, self.camera, path, overlays.PATH_COLOR)
        return image

    # ---- actions --------------------------------------------------------------------------

    def act(self, action: str) -> None:
        """Perform an action of `controls.ACTIONS`; errors become the message shown."""
        try:
            if action.startswith("view_"):
                self.show_view(self._spread(int(action.removeprefix("view_"))))
            elif action in ("frusta", "box", "drawing", "panels", "help"):
                setattr(self.settings, action, not getattr(self.settings, action))
            else:
                getattr(self, f"_{action}")()
        except (UserError, OSError) as error:
            self.message = str(error)

    def show_view(self, view: int | None) -> None:
        """Move to a training camera."""
        if self.views is None or view is None:
            self.message = "no training images here"
            return
        self.view = view % len(self.views)
        self.look_from(self.views.camera(self.view))
        self.message = f"training view {self.view}: {self.views.name(self.view)}"

    def look_from(self, camera: ViewCamera) -> None:
        """Set the camera."""
        if camera is not self.camera:
            self.camera, self._moved_at = camera, time.perf_counter()

    def _spread(self, digit: int) -> int | None:
        """The training view of a digit key; 1 … 9, 0 are spread evenly over all views."""
        if self.views is None:
            return None
        place, last = (digit - 1) % 10, len(self.views) - 1
        return min(place, last) if last < 10 else round(place * last / 9)

    def _pause(self) -> None:
        self.settings.paused = not self.settings.paused

    def _reset(self) -> None:
        self.view = 0 if self.views is not None else None
        self.look_from(initial_camera(self.views, self.model.renderer.box))

    def _next_mode(self) -> None:
        self.settings.mode = self.settings.mode.following

    def _next_view(self, step: int = 1) -> None:
        here = self.view
        if here is None and self.views is not None:
            here = self.views.nearest(self.camera) - (step > 0)
        self.show_view(None if here is None else here + step)

    def _previous_view(self) -> None:
        self._next_view(-1)

    def _close(self) -> None:
        self.close_requested = True

    def _screenshot(self) -> None:
        self._pictures_wanted += 1
        self.message = "the picture is saved once it is finished"

    def _save_pictures(self) -> None:
        """Save the pictures asked for: finished ones, or, as a training goes on, what is there."""
        if self.settings.drawing and not (self.renderer.training or self.at_rest):
            return
        try:
            while self._pictures_wanted:
                self._pictures_wanted -= 1
                path = self.free_path("screenshot", ".png")
                write_png(path, self.picture())
                self.message = f"saved {path}"
        except (UserError, OSError) as error:
            self.message = str(error)

    def _save_checkpoint(self) -> None:
        if self.save is not None:
            self.message = f"saved {self.save()}"

    def _key_frame(self) -> None:
        self.key_frames.add(self.camera)
        self.message = f"{len(self.key_frames)} key frames"

    def _drop_key_frame(self) -> None:
        self.key_frames.drop()
        self.message = f"{len(self.key_frames)} key frames"

    def _export_path(self) -> None:
        path = self.output_dir / "camera_path.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        settings = self.settings
        crop = settings.crop if settings.cropping else None
        self.key_frames.export(path, *self.layout.picture_size, crop, settings.background)
        self.message = f"saved {path}"

    def _write_crop(self) -> None:
        path = self.output_dir / "crop.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_crop(path, self.settings.crop)
        self.message = f"saved {path}"

    def free_path(self, stem: str, suffix: str) -> Path:
        """An unused path in the output folder."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := self.output_dir / f"{stem}_{number:03}{suffix}").exists():
            number += 1
        return path
