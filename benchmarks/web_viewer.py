"""The page: pictures per second while it moves, seconds to the full picture, training's share.

    python -m benchmarks.web_viewer --checkpoint outputs/demo [--chromium] [--output_dir DIR]

The program runs in a process of its own; pictures count when they have come to the client. That is
one that speaks the page's protocol, so the numbers are of what the program can send and not of how
fast a browser draws; `--chromium` counts what headless Chromium shows too, whose WebGL in software
shares the processor with the program.
"""

from __future__ import annotations

import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.__main__ import write
from benchmarks.chromium import open_chromium
from benchmarks.harness import Report, machine
from benchmarks.page_client import PageClient
from benchmarks.web_program import WebProgram
from taichi_pynerf.apps.cli import Parser, run

WIDTH, HEIGHT = 640, 480
NUM_PLACES = 6
MOVING_SECONDS, WARM_SECONDS = 4.0, 2.0
SHARES = (0.25, 0.5, 0.75)
SHARE_SECONDS = 14.0  # the program measures over ten
_STEP_SECONDS, _TURN = 0.02, 0.01  # between two moves of the hand, s; radians of one
_COUNT = """
const make = URL.createObjectURL;
window.__pictures = [];
URL.createObjectURL = function (blob) {
  if (blob.type && blob.type.startsWith("image/")) window.__pictures.push(performance.now());
  return make.call(URL, blob);
};
"""


def move(client: PageClient, angle: float, seconds: float) -> float:
    """Turn around the scene for so long; returns the last angle."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        angle += _TURN
        client.orbit(angle)
        time.sleep(_STEP_SECONDS)
    return angle


def move_and_rest(client: PageClient, place: int) -> dict:
    """Turn for some seconds, stop, and wait for the full picture."""
    angle = move(client, 2.0 * 3.14159 * place / NUM_PLACES, WARM_SECONDS)
    begin = len(client.pictures)
    started = time.perf_counter()
    angle = move(client, angle, MOVING_SECONDS)
    rested = time.perf_counter()
    times = [when for when, _, _ in client.pictures[begin:]]
    gaps = [b - a for a, b in zip([started, *times], times, strict=False)]
    client.wait(lambda: client.pictures[-1][1] == "png", "the full picture", 120)
    full = next(
        when for when, kind, _ in client.pictures[begin:] if kind == "png" and when > rested
    )
    # The words say what is being drawn, up to a second late.
    while client.pictures[-1][0] > time.perf_counter() - 2.0 or ", then " in client.words():
        time.sleep(0.1)
    return {
        "place": place,
        "pictures/s": len(times) / (rested - started),
        "longest gap s": max(gaps),
        "full picture s": full - rested,
        "finest steps s": client.pictures[-1][0] - rested,
    }


def share_of(client: PageClient, asked: float) -> float:
    """Training's share as the program measures it, half of the time with a moving camera."""
    client.set("share", asked)
    move(client, 0.0, SHARE_SECONDS / 2)
    time.sleep(SHARE_SECONDS / 2)
    return int(re.findall(r"training has (\d+)% of the time", client.words())[-1]) / 100


def pictures_in_chromium(link: str) -> dict:
    """Pictures per second that headless Chromium decodes while a hand drags in it."""
    from selenium.webdriver.common.action_chains import ActionChains

    with open_chromium(964, 623) as driver:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _COUNT})
        driver.get(link)
        time.sleep(15.0)  # the first picture, and the browser's own compilation
        canvas = driver.find_element("css selector", "canvas")
        size = canvas.size
        chain = ActionChains(driver, duration=5)
        chain.move_to_element(canvas).click_and_hold()
        for step in range(500):
            chain.move_by_offset(1 if step // 80 % 2 else -1, 0)
        chain.release()
        begin = driver.execute_script("return performance.now()")
        chain.perform()
        end = driver.execute_script("return performance.now()")
        time.sleep(12.0)
        times = driver.execute_script("return window.__pictures")
    moving = [when for when in times if begin <= when <= end]
    return {
        "canvas": f"{size['width']}x{size['height']}",
        "pictures/s": 1e3 * len(moving) / (end - begin),
        "seconds": (end - begin) / 1e3,
    }


def main(argv: list[str]) -> None:
    parser = Parser(description=__doc__ or "")
    parser.add_argument("--checkpoint", required=True, metavar="RUN", help="a trained run's folder")
    parser.add_argument("--chromium", action="store_true", help="count in Chromium too")
    parser.add_argument("--output_dir", help="write web_viewer.json and web_viewer.md there")
    args = parser.parse_args(argv)
    tables: dict[str, list[dict]] = {}
    with WebProgram("view", "--checkpoint", args.checkpoint) as program:
        with PageClient(program.link, (WIDTH, HEIGHT)) as client:
            client.orbit(0.0)
            client.wait(lambda: client.pictures, "a picture", 120)
            moves = [move_and_rest(client, place) for place in range(NUM_PLACES)]
        tables["moving, and at rest"] = moves
        if args.chromium:
            tables["in Chromium, its WebGL in software"] = [pictures_in_chromium(program.link)]
        faults = program.faults()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "run")  # trained on there, and thrown away
        shutil.copytree(args.checkpoint, copy)
        with (
            WebProgram("train", "--resume", copy, "--max_steps", 10**6) as program,
            PageClient(program.link, (WIDTH, HEIGHT)) as client,
        ):
            client.orbit(0.0)
            client.wait(lambda: client.pictures and "share" in client.widgets, "a picture", 120)
            tables["training's share of the time"] = [
                {"asked": asked, "measured": share_of(client, asked)} for asked in SHARES
            ]
            faults += program.faults()
    findings = {
        "least pictures/s": min(row["pictures/s"] for row in moves),
        "median wait for the full picture, s": statistics.median(
            row["full picture s"] for row in moves
        ),
        "longest wait for the full picture, s": max(row["full picture s"] for row in moves),
        "faults": len(faults),
    }
    report = Report(f"{WIDTH}x{HEIGHT}, {Path(args.checkpoint).name}", tables, findings)
    print(report.text())
    if args.output_dir is not None:
        write(Path(args.output_dir), "web_viewer", report, machine())
    sys.exit(bool(faults))


if __name__ == "__main__":
    run(main)
