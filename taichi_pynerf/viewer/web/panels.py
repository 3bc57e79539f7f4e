"""The widgets of one client, for the content and the look of the picture."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from typing import Any

from PIL import Image

from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.viewer.camera import FOV_RANGE
from taichi_pynerf.viewer.settings import EXPOSURE_RANGE, Mode
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.objects import SceneObjects
from taichi_pynerf.viewer.web.widgets import Later, Mirror, in_lines, on_change, on_click

_SECONDS = 0.5  # between two updates of the words


class Panels:
    """Shows and changes the settings of a viewer.

    Args:
        handle: viser's handle of the client.
        viewer: its viewer.
        objects: what is drawn in three dimensions over the picture.
        later: hands work to the thread that draws.
        folded: start with all folders folded, which leaves a phone's screen to the picture.
    """

    def __init__(
        self, handle: Any, viewer: Viewer, objects: SceneObjects, later: Later, folded: bool = False
    ):
        self.handle, self.viewer, self.objects, self._later = handle, viewer, objects, later
        self._updated_at = float("-inf")
        self._mirrors: list[Mirror] = []
        gui = handle.gui
        with gui.add_folder("View", expand_by_default=not folded):
            self._words = gui.add_markdown("")
            self._add_view(gui)
        with gui.add_folder("Scene", expand_by_default=False):
            self._add_scene(gui)
        with gui.add_folder("Crop", expand_by_default=False):
            self._add_crop(gui)

    def update(self) -> None:
        """Update the texts, and the sliders that something else has moved, at intervals."""
        now = time.perf_counter()
        if now - self._updated_at < _SECONDS:
            return
        self._updated_at = now
        for mirror in self._mirrors:
            mirror.update()
        text = "  \n".join([self._picture_text(now), in_lines(self.viewer.message)])
        if text != self._words.content:
            self._words.content = text

    # ---- view -----------------------------------------------------------------------------

    def _add_view(self, gui: Any) -> None:
        viewer, settings = self.viewer, self.viewer.settings
        modes = [mode.value for mode in Mode if viewer.views is not None or mode is not Mode.ERROR]
        mode = gui.add_dropdown("mode", modes, initial_value=settings.mode.value)
        self._on(mode, lambda value: setattr(settings, "mode", Mode(value)))
        last = len(viewer.model.field.resolutions) - 1
        fixed = gui.add_checkbox("one level", settings.fixed_level, hint="everywhere")
        level = gui.add_slider("level", 0.0, float(last), 0.1, settings.level)
        self._on(fixed, lambda value: setattr(settings, "fixed_level", bool(value)))

        def choose_level(value: Any) -> None:
            settings.level = _between(value, 0.0, float(last))
            settings.fixed_level = fixed.value = True

        self._on(level, choose_level)
        low, high = EXPOSURE_RANGE
        exposure = gui.add_slider("exposure", low, high, 0.1, settings.exposure, hint="in stops")
        self._on(exposure, lambda v: setattr(settings, "exposure", _between(v, low, high)))
        background = gui.add_rgb(
            "background", tuple(round(255 * channel) for channel in settings.background)
        )
        self._on(background, self._set_background)
        least, most = (math.degrees(angle) for angle in FOV_RANGE)

        def degrees() -> int:
            return round(min(max(math.degrees(viewer.camera.fov_y), least), most))

        fov = gui.add_slider(
            "view, deg", round(least), round(most), 1, degrees(), hint="vertical angle of view"
        )
        fov_shown = self._mirror(fov, degrees)

        def set_fov(value: Any) -> None:
            viewer.look_from(viewer.camera.with_fov(math.radians(_between(value, least, most))))
            fov_shown.note()

        self._on(fov, set_fov)
        drawing = gui.add_checkbox("draw", settings.drawing, hint="otherwise training has the time")
        self._on(drawing, lambda value: setattr(settings, "drawing", bool(value)))
        self._on_click(gui.add_button("First view"), lambda: viewer.act("reset"))
        self._on_click(gui.add_button("Download picture"), self._download_picture)

    def _set_background(self, value: Any) -> None:
        red, green, blue = (_between(channel, 0, 255) / 255 for channel in value)
        self.viewer.settings.background = (red, green, blue)

    def _download_picture(self) -> None:
        """The picture as it is, as a PNG for the browser to keep."""
        viewer, file = self.viewer, io.BytesIO()
        size = viewer.layout.picture_size
        image = viewer.canvas.image(size, viewer.settings.background)
        Image.fromarray(image).save(file, format="PNG")
        self.handle.send_file_download("picture.png", file.getvalue(), save_immediately=True)
        viewer.message = f"picture.png, {size[0]} x {size[1]}"

    def _picture_text(self, now: float) -> str:
        """The resolution, what is being drawn, and how fast."""
        renderer = self.viewer.renderer
        text = "picture {} x {}".format(*renderer.resolution)
        progress = renderer.progress()
        if progress is not None:
            (width, height), share = progress
            text += f", then {width} x {height}: {share:.0%}"
        frames, rays = self.viewer.frames.per_second(now), self.viewer.rays.per_second(now)
        return f"{text}  \n{frames:.1f} pictures/s, {rays / 1e3:.0f}k rays/s"

    # ---- what stands in the scene ---------------------------------------------------------

    def _add_scene(self, gui: Any) -> None:
        viewer, objects = self.viewer, self.objects
        if viewer.views is not None:
            cameras = gui.add_checkbox("training cameras", False, hint="a click looks from there")
            self._on(cameras, lambda value: objects.show_cameras(bool(value)))
            if len(viewer.views) > 1:
                view = gui.add_slider("training view", 0, len(viewer.views) - 1, 1, 0)
                view_shown = self._mirror(view, lambda: viewer.view)

                def show_view(value: Any) -> None:
                    viewer.show_view(int(value))
                    view_shown.note()

                self._on(view, show_view)
        box = gui.add_checkbox("scene box", False)
        self._on(box, lambda value: objects.show_box(bool(value)))
        if objects.has_points:
            points = gui.add_checkbox("sparse points", False)
            self._on(points, lambda value: objects.show_points(bool(value)))

    # ---- crop -----------------------------------------------------------------------------

    def _add_crop(self, gui: Any) -> None:
        viewer, settings = self.viewer, self.viewer.settings
        on = gui.add_checkbox("crop", settings.cropping)
        sides = settings.crop.size
        least = tuple(min(1e-3, side) for side in sides)
        size = gui.add_vector3("sides", sides, min=least, step=0.01)

        def set_cropping(value: Any) -> None:
            settings.cropping = bool(value)
            self.objects.show_crop(settings.cropping)

        def set_size(value: Any) -> None:
            x, y, z = map(float, value)
            settings.crop = CropBox(settings.crop.center, (x, y, z), settings.crop.angles)
            self.objects.show_crop(settings.cropping)

        self._on(on, set_cropping)
        self._on(size, set_size)
        self._on_click(gui.add_button("Write crop.json"), lambda: viewer.act("write_crop"))
        self.objects.show_crop(settings.cropping)

    def _mirror(self, widget: Any, read: Callable[[], Any]) -> Mirror:
        self._mirrors.append(Mirror(widget, read))
        return self._mirrors[-1]

    def _on(self, widget: Any, apply: Any) -> None:
        on_change(self._later, widget, apply)

    def _on_click(self, button: Any, act: Any) -> None:
        on_click(self._later, button, act)


def _between(value: Any, low: float, high: float) -> float:
    """A number within bounds.

    Raises:
        ValueError: it is not a number within the bounds; slack for a slider's rounding is left.
    """
    number = float(value)
    if not low - 1e-6 <= number <= high + 1e-6:
        raise ValueError(f"{value} is not between {low:g} and {high:g}")
    return min(max(number, low), high)
