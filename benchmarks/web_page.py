"""An exported page: time of a picture in Chromium's software WebGL2, and operations per pixel.

    python -m benchmarks.web_page --checkpoint outputs/demo [--output_dir DIR]

The page is drawn on the processor, so the time says how fast a graphics card is only through the
operations beside it: a card's rate of multiplications and of texel reads, divided by these, bounds
its pixels per second.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.__main__ import write
from benchmarks.chromium import open_chromium
from benchmarks.harness import Report, machine
from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.web import PageOptions, check_can_export, write_web_scene
from taichi_pynerf.runs.runs import open_run

PATIENCE = 1800.0  # seconds for a picture, beside other work
# Answers are fetched later: a driver waits two minutes for a script, and software may take longer.
_ASK = """
const [view, size, counts] = arguments;
window.__answer = null;
(async () => {
  await pynerf.started;
  pynerf.app.setView(view);
  const camera = {width: size, height: size};
  if (counts) return pynerf.cost(camera);
  return (await pynerf.app.renderer.picture(pynerf.app.camera.pinhole(size, size))).ms;
})().then((found) => { window.__answer = {found}; },
          (error) => { window.__answer = {error: String(error)}; });
"""


def ask(driver: Any, view: int, size: int, counts: bool) -> Any:
    """Milliseconds of a picture from a training view, or what a pixel of it costs.

    Raises:
        RuntimeError: the page says that something is wrong, or says nothing in time.
    """
    driver.execute_script(_ASK, view, size, counts)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        answer = driver.execute_script("return window.__answer")
        if answer is not None:
            if "error" in answer:
                raise RuntimeError(f"the page: {answer['error']}")
            return answer["found"]
        time.sleep(0.1)
    raise RuntimeError(f"the page drew no picture within {PATIENCE:g} s")


def measure_page(page: Path, size: int, num_views: int, repeats: int) -> list[dict]:
    """Rows of figures, one for each of some views, evenly spread."""
    with open_chromium(320, 240) as driver:
        driver.get(f"{page.resolve().as_uri()}?device=webgl2")
        # Its own picture shall cost nothing beside those that are measured.
        driver.execute_script(
            "document.getElementById('canvas').style = 'width: 16px; height: 16px; top: 0'"
        )
        count = int(driver.execute_script("return pynerf.header.views.length"))
        views = sorted({i * count // num_views for i in range(num_views)})
        ask(driver, views[0], 16, False)  # the shader has been compiled then
        rows = []
        for view in views:
            cost = ask(driver, view, size, True)
            times = [ask(driver, view, size, False) / 1e3 for _ in range(repeats)]
            rows.append(
                {
                    "view": view, "median s": statistics.median(times), "least s": min(times),
                    "samples a pixel": cost["samples"], "colours a pixel": cost["colors"],
                    "multiplications a pixel": cost["multiplications"],
                    "texel reads a pixel": cost["texels"],
                }
            )  # fmt: skip
    return rows


def main(argv: list[str]) -> None:
    parser = Parser(description=__doc__ or "")
    parser.add_argument("--checkpoint", required=True, metavar="RUN", help="a trained run's folder")
    parser.add_argument("--size", type=int, default=128, help="pixels of a picture's side (128)")
    parser.add_argument("--views", type=int, default=4, help="training views to draw (4)")
    parser.add_argument("--repeats", type=int, default=3, help="pictures of each (3)")
    parser.add_argument("--output_dir", help="write web_page.json and web_page.md there")
    args = parser.parse_args(argv)
    for name in ("size", "views", "repeats"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} is {getattr(args, name)}: give 1 or more")
    runtime.start("cpu")
    opened = open_run(args.checkpoint)
    check_can_export(opened.model)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "scene.html")
        written = write_web_scene(
            opened.model, page, PageOptions(opened.name), opened.scene.views("train")
        )
        rows = measure_page(page, args.size, args.views, args.repeats)
    pixels = args.size**2
    seconds = statistics.median(row["median s"] for row in rows)
    operations = statistics.mean(row["multiplications a pixel"] for row in rows)
    findings = {
        "megabytes": written.num_bytes / 1e6,
        f"median picture of {args.size} x {args.size}, s": seconds,
        "pixels/s": pixels / seconds,
        "multiplications a pixel": operations,
        "texel reads a pixel": statistics.mean(row["texel reads a pixel"] for row in rows),
        "billion multiplications/s": 1e-9 * operations * pixels / seconds,
    }
    title = f"{args.size}x{args.size}, {opened.name}"
    report = Report(title, {"training views": rows}, findings)
    print(report.text())
    if args.output_dir is not None:
        write(Path(args.output_dir), "web_page", report, machine())


if __name__ == "__main__":
    run(main)
