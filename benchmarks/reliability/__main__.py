"""Break the project in many ways, and see whether it keeps its promises.

python -m benchmarks.reliability                     all campaigns
python -m benchmarks.reliability kill9 full_disk     some of them
python -m benchmarks.reliability --quick             a few tries of each, in a minute or two
python -m benchmarks.reliability --list              what there is
python -m benchmarks.reliability fuzz --part ply     a part of one, by its name

Each campaign writes OUTPUT_DIR/NAME.json; OUTPUT_DIR/reliability.md has the table of all that are
there. The status is 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.reliability.campaign import Options, Outcome, table
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.files import atomic_write_text, json_text

NAMES = (
    "kill9", "full_disk", "low_memory", "hostile_files", "fuzz", "not_finite", "surroundings",
    "workers", "soak", "versions",
)  # fmt: skip
WITH_PARTS = ("fuzz", "surroundings", "versions")


def build_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="campaigns; by default all")
    parser.add_argument("--list", action="store_true", help="list what each tries, and end")
    parser.add_argument("--quick", action="store_true", help="a few tries of each")
    parser.add_argument("--seed", type=int, default=0, help="of moments, damages and places")
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="of campaigns that run by the clock; 0: its own"
    )
    parser.add_argument(
        "--python", type=Path, action="append", default=[], metavar="PATH",
        help="an interpreter for versions; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--part", action="append", default=[], metavar="PART",
        help="a part of fuzz (a parser), surroundings or versions (a corner); may be repeated",
    )  # fmt: skip
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/reliability"))
    return parser


def main(argv: list[str]) -> None:
    args = build_parser().parse_args(argv)
    unknown = [name for name in args.names if name not in NAMES]
    if unknown:
        raise ConfigError(f"no campaign {', '.join(unknown)}: choose from {', '.join(NAMES)}")
    if args.part and args.names not in [[name] for name in WITH_PARTS]:
        raise ConfigError(f"--part goes with one of {', '.join(WITH_PARTS)}, and with it alone")
    if args.list:
        for name in NAMES:
            print(f"{name:<14} {claim(name)}")
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # keep what was found
    args.output_dir.mkdir(parents=True, exist_ok=True)
    lost = 0
    for name in args.names or NAMES:
        print(f"{name}: {claim(name)}", flush=True)
        started = time.monotonic()
        outcome = Outcome()
        # No object that forks would clean up.
        folder = Path(tempfile.mkdtemp(prefix="reliability_"))
        options = Options(
            args.quick, folder, args.seed, args.minutes, tuple(args.python), tuple(args.part)
        )
        try:
            module = importlib.import_module(f"benchmarks.reliability.{name}")
            module.campaign(options, outcome)
            outcome.whole = True
        finally:  # what an interrupted one has found is kept, too
            shutil.rmtree(folder, ignore_errors=True)
            lost += len(outcome.lost)
            write(args, name, outcome, time.monotonic() - started)
    text = table(found_results(args.output_dir))
    atomic_write_text(args.output_dir / "reliability.md", text)
    print(f"\n{text}")
    if lost:
        sys.exit(1)


def write(args: argparse.Namespace, name: str, outcome: Outcome, seconds: float) -> None:
    """NAME.json: the campaign's claim, command, tries and figures."""
    flags = " --quick" if args.quick else ""
    flags += f" --seed {args.seed}" if args.seed else ""
    flags += f" --minutes {args.minutes:g}" if args.minutes else ""
    flags += "".join(f" --part {shlex.quote(part)}" for part in args.part)
    content = {
        "claim": claim(name).rstrip("."),
        "command": f"python -m benchmarks.reliability {name}{flags}",
        "seconds": round(seconds, 1),
        **outcome.to_dict(),
    }
    atomic_write_text(args.output_dir / f"{name}.json", json_text(content, indent=2) + "\n")


def claim(name: str) -> str:
    """The first line of a campaign's docstring."""
    doc = importlib.import_module(f"benchmarks.reliability.{name}").__doc__ or ""
    return doc.splitlines()[0]


def found_results(folder: Path) -> dict[str, dict]:
    """{campaign: result} of the campaigns that were run into a folder."""
    files = {name: folder / f"{name}.json" for name in NAMES}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


if __name__ == "__main__":
    run(main)
