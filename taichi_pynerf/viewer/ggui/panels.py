"""The panels: text and the few widgets that GGUI has."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from taichi_pynerf import runtime
from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.runtime.memory import resident_bytes
from taichi_pynerf.viewer.camera import FOV_RANGE
from taichi_pynerf.viewer.controls import help_lines
from taichi_pynerf.viewer.settings import EXPOSURE_RANGE, Mode
from taichi_pynerf.viewer.viewer import Viewer

_WRAP = 31  # characters per line of the panel


def draw_panels(gui: Any, viewer: Viewer, chart_height: int = 0) -> bool:
    """Declare all panels for one frame.

    Args:
        gui: a `ti.ui.Gui`.
        viewer: the viewer whose values are shown and changed.
        chart_height: height of the chart under the left panel, pixels.

    Returns:
        Whether a widget changed a value.
    """
    layout, changed = viewer.layout, False
    width, height = layout.width, layout.height
    if layout.panel_width:
        share = layout.panel_width / width
        # A panel is placed once per name; a size in the hidden part of the name places it again.
        mark = f"##{width}x{height}"
        with gui.sub_window(f"Training{mark}", 0, 0, share, 1 - chart_height / height):
            changed |= _training_panel(gui, viewer)
        with gui.sub_window(f"View{mark}", 1 - share, 0, share, 1):
            changed |= _view_panel(gui, viewer)
    if layout.help:
        left, top, right, bottom = layout.help_box
        box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
        with gui.sub_window(f"Controls##{width}x{height}", *box):
            for keys, says in help_lines():
                gui.text(f"{keys:<34}{says}")
    return changed


def _training_panel(gui: Any, viewer: Viewer) -> bool:
    settings, share, figures = viewer.settings, viewer.share, viewer.figures
    before = (share.share, settings.paused, settings.drawing)
    if figures is not None:
        state = "done" if figures.finished else "paused" if settings.paused else "training"
        gui.text(f"{figures.steps_in_words}, {state}")
        gui.text(f"loss {figures.loss:.5f}  PSNR {figures.psnr:.2f} dB")
        gui.text(f"{figures.samples_per_second / 1e3:.0f}k samples/s")
        if not figures.finished:
            asked = gui.slider_float("training", share.share, 0.05, 0.95)
            if asked != share.share:
                share.share = asked
            measured = share.measured()
            gui.text("" if measured is None else f"measured {measured:.0%} of the time")
            settings.paused = gui.checkbox("pause (Space)", settings.paused)
    settings.drawing = gui.checkbox("draw (V)", settings.drawing)
    if viewer.save is not None and gui.button("Save checkpoint"):
        viewer.act("save_checkpoint")
    gui.text(_picture_text(viewer))
    now = time.perf_counter()
    gui.text(f"{viewer.frames.per_second(now):.1f} frames/s")
    gui.text(f"{viewer.rays.per_second(now) / 1e3:.0f}k rays/s")
    gui.text(f"backend {runtime.start()}")
    for line in _wrapped(runtime.device_name())[:2]:
        gui.text(line)
    gui.text(f"memory {_memory_text(viewer.model.device)}")
    for line in _wrapped(viewer.message)[:4]:
        gui.text(line, color=(0.95, 0.8, 0.45))
    return (share.share, settings.paused, settings.drawing) != before


def _view_panel(gui: Any, viewer: Viewer) -> bool:
    settings, camera, changed = viewer.settings, viewer.camera, False
    for mode in Mode:
        if gui.checkbox(mode.value, settings.mode is mode) and settings.mode is not mode:
            settings.mode, changed = mode, True
    before = (settings.fixed_level, settings.level, settings.exposure, settings.background)
    settings.fixed_level = gui.checkbox("one level everywhere", settings.fixed_level)
    last = len(viewer.model.field.resolutions) - 1
    settings.level = gui.slider_float("level", settings.level, 0.0, float(last))
    settings.exposure = gui.slider_float("exposure", settings.exposure, *EXPOSURE_RANGE)
    red, green, blue = (
        min(max(float(c), 0.0), 1.0) for c in gui.color_edit_3("back", settings.background)
    )
    settings.background = (red, green, blue)
    now = (settings.fixed_level, settings.level, settings.exposure, settings.background)
    changed |= now != before
    if settings.level != before[1]:
        settings.fixed_level = True

    degrees = math.degrees(camera.fov_y)
    asked = gui.slider_float("view, deg", degrees, *map(math.degrees, FOV_RANGE))
    if abs(asked - degrees) > 1e-3:
        viewer.look_from(camera.with_fov(math.radians(asked)))
        changed = True
    size = viewer.model.renderer.box.size
    shown = math.log10(camera.distance / size)
    asked = gui.slider_float("distance", shown, -2.0, 1.0)
    if abs(asked - shown) > 1e-4:
        viewer.look_from(viewer.camera.at_distance(size * 10.0**asked))
        changed = True
    if viewer.views is not None and len(viewer.views) > 1:
        here = viewer.view if viewer.view is not None else viewer.views.nearest(viewer.camera)
        asked = gui.slider_int("image", here, 0, len(viewer.views) - 1)
        if asked != here:
            viewer.show_view(asked)
            changed = True
    lines = (settings.frusta, settings.box)
    settings.frusta = gui.checkbox("training cameras (F)", settings.frusta)
    settings.box = gui.checkbox("scene box (B)", settings.box)
    changed |= (settings.frusta, settings.box) != lines
    changed |= _crop_widgets(gui, viewer)
    for label, action in (
        (f"Add key frame (K): {len(viewer.key_frames)}", "key_frame"),
        ("Write camera path (X)", "export_path"),
        ("Save picture (P)", "screenshot"),
    ):
        if gui.button(label):
            viewer.act(action)
    return changed


def _crop_widgets(gui: Any, viewer: Viewer) -> bool:
    """Whether the crop is on, and sliders for its middle, sides and turn about the vertical."""
    settings = viewer.settings
    before = (settings.cropping, settings.crop)
    settings.cropping = gui.checkbox("crop", settings.cropping)
    if settings.cropping:
        box, crop = viewer.model.renderer.box, settings.crop
        center, size = list(crop.center), list(crop.size)
        for i, axis in enumerate("xyz"):
            reach = 0.5 * box.size
            place = crop.center[i] - box.center[i]
            asked = gui.slider_float(f"crop {axis}", place, -reach, reach)
            center[i] += asked - place
            size[i] = gui.slider_float(f"size {axis}", crop.size[i], 0.01 * box.size, 2 * box.size)
        yaw = gui.slider_float("turn, deg", math.degrees(crop.angles[2]), -180.0, 180.0)
        # Sliders round their values, so a value that was not moved stays exactly as it was.
        asked = (*center, *size, math.radians(yaw) * box.size)
        known = (*crop.center, *crop.size, crop.angles[2] * box.size)
        if max(abs(a - b) for a, b in zip(asked, known, strict=True)) > 1e-4 * box.size:
            x, y, z = center
            roll, pitch, _ = crop.angles
            settings.crop = CropBox(
                (x, y, z), (size[0], size[1], size[2]), (roll, pitch, math.radians(yaw))
            )
        if gui.button("Write crop.json"):
            viewer.act("write_crop")
    return before != (settings.cropping, settings.crop)


def _picture_text(viewer: Viewer) -> str:
    """The resolution, and what is being drawn."""
    width, height = viewer.renderer.resolution
    text = f"picture {width}x{height}"
    progress = viewer.renderer.progress()
    if progress is not None:
        (width, height), share = progress
        text += f" > {width}x{height} {share:.0%}"
    return text


def _wrapped(text: str) -> list[str]:
    """Wrap text to the panel's width; paths have few spaces to break at."""
    return [text[i : i + _WRAP] for i in range(0, len(text), _WRAP)]


def _memory_text(device: torch.device) -> str:
    """Main memory of this process, if it is known, and what torch has on a graphics card."""
    resident = resident_bytes()
    parts = [] if resident is None else [f"{resident / 2**20:.0f} MiB"]
    if device.type == "cuda":
        parts.append(f"GPU {torch.cuda.memory_allocated(device) / 2**20:.0f} MiB")
    return ", ".join(parts) or "not known"
