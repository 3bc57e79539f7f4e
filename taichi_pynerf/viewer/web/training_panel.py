"""The training in the page: figures, curves and share of the time, the same for all clients."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from taichi_pynerf import runtime
from taichi_pynerf.errors import UserError
from taichi_pynerf.viewer.chart import LOSS_COLOR, PSNR_COLOR, Curve
from taichi_pynerf.viewer.drawing.pacing import TimeShare
from taichi_pynerf.viewer.figures import TrainingFigures
from taichi_pynerf.viewer.web.widgets import in_lines

_SECONDS = 1.0  # between two updates
_LEAST_POINTS = 2  # of a curve
_LOSS_UNIT = 1e-3  # the axis has three decimals, and losses are less than one of these in the end


class Steered(Protocol):
    """The values that the panel shows and changes."""

    figures: TrainingFigures | None
    share: TimeShare
    paused: bool
    save: Callable[[], Path] | None


class TrainingPanel:
    """Widgets that all clients see alike.

    Args:
        server: viser's server.
        steered: what is shown and changed, on the thread that calls `update` alone.
    """

    def __init__(self, server: Any, steered: Steered):
        self._steered = steered
        self._asked: dict[str, Any] = {}
        self._updated_at = float("-inf")
        self._text = ""
        gui = server.gui
        self._chart: Any = None
        self._pause: Any = None
        with gui.add_folder("Training" if steered.figures is not None else "Model"):
            self._words = gui.add_markdown("")
            if steered.figures is not None:
                self._share = gui.add_slider(
                    "share", 0.05, 0.95, 0.05, steered.share.share,
                    hint="training's share of the time",
                )  # fmt: skip
                self._pause = gui.add_checkbox("pause", False)
                self._notes(self._share, "share")
                self._notes(self._pause, "paused")
                self._chart = self._add_chart(gui)
            if steered.save is not None:
                button = gui.add_button("Save checkpoint")

                @button.on_click
                async def _(_: Any) -> None:
                    self._asked["save"] = True

    def update(self) -> bool:
        """Apply the clients' requests and update the page; returns whether there were any."""
        asked, self._asked = self._asked, {}
        steered = self._steered
        if "share" in asked:
            share = float(asked["share"])
            if 0.05 <= share <= 0.95:  # false for what is not a number
                steered.share.share = share
        if "paused" in asked:
            steered.paused = bool(asked["paused"])
        if "save" in asked and steered.save is not None:
            try:
                self._text = f"saved {steered.save()}"
            except (UserError, OSError) as error:
                self._text = str(error)
        now = time.perf_counter()
        if asked or now - self._updated_at >= _SECONDS:
            self._updated_at = now
            self._show()
        return bool(asked)

    def resume(self) -> None:
        """End a pause, as no client is left to do so."""
        if self._pause is not None and self._steered.paused:
            self._steered.paused = False
            self._pause.value = False

    def _notes(self, widget: Any, name: str) -> None:
        """Note a widget's value when somebody changes it; called by the server's thread."""

        async def changed(_: Any) -> None:
            self._asked[name] = widget.value

        widget.on_update(changed)

    def _show(self) -> None:
        steered, figures = self._steered, self._steered.figures
        lines = [f"{runtime.start()}, {runtime.device_name()}"]
        if figures is not None:
            state = "done" if figures.finished else "paused" if steered.paused else "training"
            measured = steered.share.measured()
            lines = [
                f"{figures.steps_in_words}, **{state}**",
                f"loss {figures.loss:.5f}, PSNR {figures.psnr:.2f} dB, "
                f"{figures.samples_per_second / 1e3:.0f}k samples/s",
                "" if measured is None else f"training has {measured:.0%} of the time",
                *lines,
            ]
            self._show_curves(figures.losses, figures.psnrs, figures.first_step or 0, figures.step)
        text = "  \n".join(line for line in [*lines, in_lines(self._text)] if line)
        if text != self._words.content:
            self._words.content = text

    def _add_chart(self, gui: Any) -> Any:
        def color(rgb: tuple[int, int, int]) -> str:
            return "#" + "".join(f"{channel:02x}" for channel in rgb)

        nothing = np.arange(_LEAST_POINTS, dtype=np.float64)
        return gui.add_uplot(
            (nothing, np.ones_like(nothing), nothing),
            (
                {"label": "step"},
                {
                    "label": "loss, thousandths",
                    "scale": "loss",
                    "stroke": color(LOSS_COLOR),
                    "width": 1.5,
                },
                {"label": "PSNR", "scale": "psnr", "stroke": color(PSNR_COLOR), "width": 1.5},
            ),
            scales={"x": {"time": False}, "loss": {"distr": 3}, "psnr": {}},
            axes=(
                {"scale": "x"},
                {"scale": "loss", "size": 58},
                {"scale": "psnr", "side": 1, "grid": {"show": False}, "size": 50},
            ),
            aspect=1.4,
            padding=(12, 0, 0, 0),  # the topmost label of an axis stands half above it
        )

    def _show_curves(self, losses: Curve, psnrs: Curve, first: int, last: int) -> None:
        loss, psnr = losses.values(), psnrs.values()
        count = min(len(loss), len(psnr))
        if count >= _LEAST_POINTS:
            steps = np.linspace(first, last, count)
            loss = np.maximum(loss[:count], 1e-12) / _LOSS_UNIT
            self._chart.data = (steps, loss, psnr[:count])
