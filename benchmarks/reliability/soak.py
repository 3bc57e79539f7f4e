"""Hours of training with its page open, under random events from three clients.

The clients move, change settings, pause, resize, record films, leave with and without a word, come
back, and send rubbish. Held: the program goes on, writes no error, its memory does not grow, no
handle and no thread is left over, every client still gets pictures in the end, and Ctrl-C ends it
with a checkpoint. Three hours, or `--minutes`; time in which all is stopped (SIGSTOP) does not
count. The samples and the slope of memory are kept in `soak.json`. Ctrl-C or SIGTERM ends the time
early; what there is then is judged, and the record says that it is not whole.
"""

from __future__ import annotations

import collections
import math
import random
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.running_clock import RunningClock
from benchmarks.web_program import WebProgram
from benchmarks.web_soak import NUM_CLIENTS, WEIGHTS, Hands, warm_up

MINUTES, QUICK_MINUTES = 180.0, 2.0
BETWEEN_EVENTS, BETWEEN_SAMPLES = 0.4, 10.0  # seconds; three hours make 20,000 events or so
LONGEST_EVENT = 60.0  # seconds; more from one to the next, and all was stopped
PARTS = 3  # of the samples; memory comes to its height in the first, and the last is judged
LEAST_SAMPLES = 4 * PARTS
MOST_PER_HOUR = 20.0  # MB; a slope within three errors of it may be of chance
MOST_LEFT = 2  # handles and threads that may come and go by themselves
LEAVING = 5.0  # seconds until the program has noticed that clients left


def campaign(options: Options, outcome: Outcome) -> None:
    seconds = 60 * (options.minutes or options.size(int(MINUTES), int(QUICK_MINUTES)))
    flags = ["--output_dir", options.folder, "--experiment_name", "soak", "--max_steps", 10**7]
    generator = random.Random(options.seed)
    with WebProgram("train", *flags) as program:
        alone = _counts(program, options.folder)
        hands = [Hands(program.link, generator) for _ in range(NUM_CLIENTS)]
        try:
            warm_up(hands)
            samples = _soak(program, hands, generator, seconds, outcome)
            fault = None
            for hand in hands:
                hand.is_shown_pictures()
        except (RuntimeError, TimeoutError, OSError) as error:
            outcome.note("clients that do everything", f"{error}; {program.errors()[-2000:]}")
            return
        outcome.note("clients that do everything", fault, f"{_events(outcome)} events")
        if len(samples) >= LEAST_SAMPLES:
            outcome.note("memory", *_memory(samples, outcome))
        for hand in hands:
            hand.client.close()
        time.sleep(LEAVING)
        left = {name: n - alone[name] for name, n in _counts(program, options.folder).items()}
        outcome.figures["left over"] = left
        over = {name: n for name, n in left.items() if n > MOST_LEFT}
        outcome.note("handles and threads", f"left over: {over}" if over else None, f"{left}")
        outcome.note("the end by Ctrl-C", *_end(program, options.folder / "soak"))
    if "cut short" in outcome.figures:
        raise KeyboardInterrupt


def _soak(
    program: WebProgram,
    hands: list[Hands],
    generator: random.Random,
    seconds: float,
    outcome: Outcome,
) -> np.ndarray:
    """Random events for some time.

    Returns:
        Samples [N, 4]: the time in hours, the memory in MB, the numbers of handles and threads.
        They are among the figures, too, with the slope of memory; even if this is interrupted.
    """
    events: collections.Counter[str] = collections.Counter()
    outcome.figures["events"] = events
    clock = RunningClock(LONGEST_EVENT)
    samples: list[tuple[float, ...]] = []
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    due = 0.0
    try:
        while (now := clock.read()) < seconds:
            program.check()
            if now >= due:
                counts = program.handles(), program.threads()
                samples.append((now / 3600, program.memory(0.0), *counts))
                due = now + BETWEEN_SAMPLES  # at equal intervals, also after a stop
            (name,) = generator.choices(names, weights)
            generator.choice(hands).act(name)
            events[name] += 1
            time.sleep(BETWEEN_EVENTS)
    except KeyboardInterrupt:
        outcome.figures["cut short"] = True
    finally:
        found = np.array(samples)
        outcome.figures |= {
            "hours": round(clock.seconds / 3600, 3),
            "hours stopped": round(clock.stopped / 3600, 3),
            "sent away": sum(hand.sent_away for hand in hands),
            "faults": program.faults(),
            "samples (hours, MB, handles, threads)": found.round(4).tolist(),
        }
        if len(found) >= LEAST_SAMPLES:  # so that a fault, too, leaves its slope
            _memory(found, outcome)
    return found


def _memory(samples: np.ndarray, outcome: Outcome) -> tuple[str | None, str]:
    """Whether the memory still grows in the last part of the time: a fault, and words.

    Args:
        samples: [N, 2 or more], the time in hours and the memory in MB.
    """
    parts = np.array_split(samples, PARTS)  # as many in each, however busy the machine was
    slopes = [slope_of(*part[:, :2].T) for part in parts]
    (slope, error), late = slopes[-1], parts[-1]
    words = f"{late[-1, 1]:.0f} MB, {slope:+.1f} ± {error:.1f} MB per hour ({len(late)} samples)"
    outcome.figures["memory"] = {
        "first MB": round(samples[0, 1], 1), "last MB": round(late[-1, 1], 1),
        "MB per hour": round(slope, 2), "error": round(error, 2), "samples": len(late),
        "MB per hour of each part": [[round(x, 1) for x in pair] for pair in slopes],
    }  # fmt: skip
    grows = slope - 3 * error > MOST_PER_HOUR
    return (f"it grows: {words}" if grows else None), words


def slope_of(times: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """The slope of a line through samples, by least squares, and its standard error.

    Neighbouring samples resemble each other. Their correlation widens the error, as if there were
    fewer of them.

    Args:
        times, values: [N], at equal intervals; N at least 4.
    """
    centred = times - times.mean()
    slope = float(centred @ values / (centred @ centred))
    rest = values - values.mean() - slope * centred
    error = math.sqrt(float(rest @ rest) / (len(rest) - 2) / float(centred @ centred))
    if not error:
        return slope, 0.0
    alike = min(max(float(rest[1:] @ rest[:-1] / (rest @ rest)), 0.0), 0.99)
    return slope, error * math.sqrt((1 + alike) / (1 - alike))


def _counts(program: WebProgram, folder: Path) -> dict[str, int]:
    """What a client may leave over."""
    time.sleep(1.0)
    return {"handles": program.handles(), "threads": program.threads()}


def _end(program: WebProgram, run_dir: Path) -> tuple[str | None, str]:
    """End the program as Ctrl-C does: a fault, and words."""
    try:
        status = program.end()
    except subprocess.TimeoutExpired:
        return "it does not end", ""
    if status or program.faults():
        return f"status {status}: {program.faults() or program.errors()[-300:]}", ""
    if not (run_dir / "checkpoint.pth").exists():
        return "no checkpoint", ""
    return None, "with a checkpoint"


def _events(outcome: Outcome) -> int:
    return sum(outcome.figures["events"].values())
