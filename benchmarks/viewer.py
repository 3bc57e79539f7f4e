"""The viewer: frames per second while it moves, seconds to the full picture, shares of the time.

    python -m benchmarks.viewer --checkpoint outputs/demo

Needs a screen, if only a virtual one (`xvfb-run -a -s "-screen 0 1280x720x24"`). The window is a
real one, and all that showing a frame costs is counted; the hand that drags is scripted. Prints a
table and JSON.
"""

import json
import math
import statistics
import time

from taichi_pynerf import runtime
from taichi_pynerf.cli import Parser, run
from taichi_pynerf.runs import open_run
from taichi_pynerf.trainer import MultiScaleTrainer, PyNeRFTrainer
from taichi_pynerf.viewer.controls import InputFrame
from taichi_pynerf.viewer.live import ROUND_SECONDS, LiveTraining
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.window import Window

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
    rested, full = time.perf_counter(), None
    while not viewer.renderer.at_rest or viewer.moving:
        viewer.round(window, ROUND_SECONDS)
        if full is None and viewer.renderer.complete:
            full = time.perf_counter() - rested
    return {
        "frames_per_second": round(rate, 2),
        "longest_frame": round(longest, 3),
        "preview_width": int(statistics.median(sizes)),
        "opacity": round(float(viewer.renderer.finished.layers.acc.mean()), 3),
        "seconds_to_full_picture": round(full, 2),
        "seconds_to_finest": round(time.perf_counter() - rested, 2),
    }


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
    args = parser.parse_args(argv)
    window = None
    try:
        backend = runtime.start(args.backend)
        window = ScriptedWindow("taichi_pynerf: benchmark", WIDTH, HEIGHT)
        opened = open_run(args.checkpoint)
        dataset = opened.source.load("train")
        viewer = Viewer(opened.model, dataset)
        print(f"{WIDTH}x{HEIGHT}, backend {backend}, {runtime.device_name()}")
        views = [round(i * len(viewer.views) / NUM_VIEWS) for i in range(NUM_VIEWS)]
        moves = {view: move_and_rest(viewer, window, view) for view in views}
        print("view   opacity   frames/s   longest frame   preview   full picture   finest steps")
        for view, row in moves.items():
            print(
                f"{view:4} {row['opacity']:9.2f} {row['frames_per_second']:10.1f} "
                f"{row['longest_frame']:13.3f} s {row['preview_width']:7} px "
                f"{row['seconds_to_full_picture']:11.2f} s {row['seconds_to_finest']:11.2f} s"
            )
        # Trained on from the checkpoint, which is not written.
        config = opened.config.replace(max_steps=10**6, max_seconds=0.0)
        kind = MultiScaleTrainer if opened.source.multiscale else PyNeRFTrainer
        trainer = kind(opened.model, config, dataset, progress=False)
        shares = {asked: share_of(trainer, viewer, window, asked) for asked in SHARES}
        for asked, measured in shares.items():
            print(f"training's share: asked {asked:.0%}, measured {measured:.1%}")
    finally:
        if window is not None:
            window.close()
    results = {"moves": moves, "shares": {str(k): round(v, 4) for k, v in shares.items()}}
    print(json.dumps({"size": [WIDTH, HEIGHT], "backend": backend, **results}))


if __name__ == "__main__":
    run(main)
