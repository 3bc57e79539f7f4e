"""The viewer: frames per second while it moves, seconds to the full picture, shares of the time.

    python -m benchmarks.viewer --checkpoint outputs/demo [--output_dir DIR]

Needs a screen, if only a virtual one (`xvfb-run -a -s "-screen 0 1280x720x24"`). The window is a
real one, and all that showing a frame costs is counted; the hand that drags is scripted. Prints
tables, and writes JSON and Markdown.

A picture is full when every pixel was drawn at its true size, with steps along the rays a quarter
longer than training's; it is at its finest with those of `apps/render.py`. How much the two differ
is said, and whether the second is that program's.
"""

import math
import statistics
import time
from pathlib import Path

import numpy as np

from benchmarks.__main__ import write
from benchmarks.harness import Report, machine
from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.model.images import render_image
from taichi_pynerf.runs.runs import open_run
from taichi_pynerf.training.multi_scale_trainer import MultiScaleTrainer
from taichi_pynerf.training.trainer import PyNeRFTrainer
from taichi_pynerf.viewer.controls import InputFrame
from taichi_pynerf.viewer.ggui.window import Window
from taichi_pynerf.viewer.live import ROUND_SECONDS, LiveTraining
from taichi_pynerf.viewer.viewer import Viewer

WIDTH, HEIGHT = 640, 480
NUM_VIEWS = 6  # places to move from, evenly spread over the training views
MOVING_SECONDS, SETTLING_FRAMES = 4.0, 15
SHARES = (0.25, 0.5, 0.75)
SHARE_SECONDS = 12.0
PIXELS_PER_SECOND = 120.0  # of the hand


class ScriptedWindow(Window):
    """A window in which a hand drags around in a circle while `dragging`."""

    dragging = False
    _pressed = False

    def poll(self) -> InputFrame:
        frame = super().poll()
        if not self.dragging:
            self._pressed = False
            return InputFrame(size=frame.size, seconds=frame.seconds, cursor=(1.0, 1.0))
        width, height = frame.size
        angle = time.perf_counter() * PIXELS_PER_SECOND / 80.0
        cursor = (width / 2 + 80 * math.cos(angle), height / 2 + 80 * math.sin(angle))
        pressed = () if self._pressed else ("LMB",)
        self._pressed = True
        return InputFrame(pressed, frozenset(["LMB"]), cursor, frame.size, frame.seconds)


def move_and_rest(viewer: Viewer, window: ScriptedWindow, view: int) -> dict:
    """Drag for some seconds from a training view, let go, and wait for the picture."""
    viewer.show_view(view)
    window.dragging = True
    for _ in range(SETTLING_FRAMES):  # the budget finds its size, kernels are compiled
        viewer.round(window, ROUND_SECONDS)
    frames, longest, sizes = 0, 0.0, []
    started = last = time.perf_counter()
    while last - started < MOVING_SECONDS:
        viewer.round(window, ROUND_SECONDS)
        now = time.perf_counter()
        frames, longest, last = frames + 1, max(longest, now - last), now
        sizes.append(viewer.renderer.resolution[0])
    rate = frames / (last - started)

    window.dragging = False
    rested, full, first = time.perf_counter(), None, None
    while not viewer.renderer.at_rest or viewer.moving:
        viewer.round(window, ROUND_SECONDS)
        if full is None and viewer.renderer.complete:
            full, first = time.perf_counter() - rested, picture(viewer)
    finest, last = time.perf_counter() - rested, picture(viewer)
    return {
        "view": view,
        "opacity": float(viewer.renderer.finished.layers.acc.mean()),
        "frames/s": rate,
        "longest frame s": longest,
        "preview px wide": int(statistics.median(sizes)),
        "full picture s": full,
        "finest steps s": finest,
        "full and finest differ, mean /255": 255.0 * float(np.abs(first - last).mean()),
    }


def picture(viewer: Viewer) -> np.ndarray:
    """[H, W, 3] what is drawn at full size, over the background."""
    layers = viewer.renderer.finished.layers
    behind = (1 - layers.acc.numpy())[..., None] * np.array(viewer.settings.background)
    return (layers.rgb.numpy() + behind).clip(0, 1)


def difference_to_render(viewer: Viewer) -> float:
    """Greatest difference of a pixel at its finest from what `apps/render.py` gives, in 1/255."""
    near, far = viewer.renderer.near, viewer.renderer.far
    cameras = viewer.camera.cameras(WIDTH, HEIGHT)
    want = render_image(viewer.model, cameras, 0, near, far, viewer.settings.background)["rgb"]
    return 255.0 * float(np.abs(picture(viewer) - want.numpy()).max())


def share_of(trainer: PyNeRFTrainer, viewer: Viewer, window: ScriptedWindow, asked: float) -> float:
    """Training's measured share of the time, half of it with a moving camera."""
    live = LiveTraining(viewer, window, trainer)
    viewer.share.share = asked
    spent = {"training": 0.0, "drawing": 0.0}
    left: float | None = None

    def on_step(trainer: PyNeRFTrainer, figures: dict) -> None:
        nonlocal left
        entered = time.perf_counter()
        live(trainer, figures)
        if left is not None:
            spent["training"] += entered - left
            spent["drawing"] += time.perf_counter() - entered
        left = time.perf_counter()
        window.dragging = sum(spent.values()) < SHARE_SECONDS / 2
        if sum(spent.values()) >= SHARE_SECONDS:
            trainer.request_stop()

    trainer.stop_requested = False
    trainer.train(on_step=on_step)
    return spent["training"] / sum(spent.values())


def main(argv: list[str]) -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, metavar="RUN_OR_FILE", help="a trained run")
    parser.add_argument("--backend", choices=runtime.BACKENDS, default="auto")
    parser.add_argument("--output_dir", help="write viewer.json and viewer.md there")
    args = parser.parse_args(argv)
    window = None
    try:
        about = {"backend": runtime.start(args.backend), **machine()}
        window = ScriptedWindow("taichi_pynerf: benchmark", WIDTH, HEIGHT)
        opened = open_run(args.checkpoint)
        dataset = opened.source.load("train")
        viewer = Viewer(opened.model, dataset)
        views = np.arange(NUM_VIEWS) * len(viewer.views) // NUM_VIEWS
        moves = [move_and_rest(viewer, window, int(view)) for view in views]
        findings = {"finest steps and render.py, max /255": difference_to_render(viewer)}
        # Trained on from the checkpoint, which is not written.
        config = opened.config.replace(max_steps=10**6, max_seconds=0.0)
        kind = MultiScaleTrainer if opened.source.multiscale else PyNeRFTrainer
        trainer = kind(opened.model, config, dataset, progress=False)
        shares = [
            {"asked": asked, "measured": share_of(trainer, viewer, window, asked)}
            for asked in SHARES
        ]
    finally:
        if window is not None:
            window.close()
    findings |= {
        "least frames/s": min(row["frames/s"] for row in moves),
        "longest wait for the full picture, s": max(row["full picture s"] for row in moves),
    }
    tables = {"moving, and at rest": moves, "training's share of the time": shares}
    report = Report(f"{WIDTH}x{HEIGHT}, {Path(args.checkpoint).name}", tables, findings)
    print(report.text())
    if args.output_dir is not None:
        write(Path(args.output_dir), "viewer", report, about)


if __name__ == "__main__":
    run(main)
