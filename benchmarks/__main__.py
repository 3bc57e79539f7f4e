"""Measure, print tables, and write JSON and Markdown.

python -m benchmarks                                 all that need no files, on the demo scene
python -m benchmarks encode train_step               some of them
python -m benchmarks time_to_quality --data_dir data/nerf_synthetic/lego --img_downscale 2
python -m benchmarks --list                          what there is
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

from benchmarks.harness import Options, Report, machine
from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.files import atomic_write_text, json_text

NAMES = (
    "encode", "march", "composite", "heads", "optimizer", "train_step", "render", "memory",
    "scaling", "levers", "time_to_quality", "render_scales", "step_beside",
)  # fmt: skip
NEED_A_RUN = ("render_scales", "step_beside")  # left out unless asked for by name
LONG = ("time_to_quality",)  # likewise


def build_parser() -> Parser:
    defaults = Options()
    parser = Parser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks; by default most")
    parser.add_argument("--list", action="store_true", help="list what each measures, and end")
    parser.add_argument("--quick", action="store_true", help="try all in seconds; no true figures")
    parser.add_argument("--repeats", type=int, default=0, help="rounds counted; 0: each its own")
    parser.add_argument("--backend", choices=runtime.BACKENDS, default="auto")
    parser.add_argument("--output_dir", help="write NAME.json and NAME.md there")
    scene = parser.add_argument_group("scene")
    scene.add_argument("--data_dir", help="scene folder; the built-in demo scene if absent")
    scene.add_argument("--img_downscale", type=int, default=defaults.img_downscale)
    scene.add_argument("--checkpoint", metavar="RUN_OR_FILE", help="a trained run, not a new one")
    beside = parser.add_argument_group("step_beside")
    beside.add_argument("--other", metavar="PATH", help="another checkout, to be measured in turn")
    beside.add_argument(
        "--other_checkpoint", metavar="PATH", help="its own run, if it is too old for this one's"
    )
    quality = parser.add_argument_group("time_to_quality")
    quality.add_argument("--seconds", type=float, default=defaults.seconds, help="of training")
    quality.add_argument("--peer", help="a command to run before, with {seconds} for these")
    return parser


def main(argv: list[str]) -> None:
    args = vars(build_parser().parse_args(argv))
    unknown = [name for name in args["names"] if name not in NAMES]
    if unknown:
        raise ConfigError(f"no benchmark {', '.join(unknown)}: choose from {', '.join(NAMES)}")
    if args["list"]:
        for name in NAMES:
            print(f"{name:<16} {summary(name)}")
        return
    fields = {field.name for field in dataclasses.fields(Options)}
    options = Options(**{name: value for name, value in args.items() if name in fields})
    backend = runtime.start(args["backend"])
    usual = [name for name in NAMES if name not in NEED_A_RUN + LONG]
    for name in args["names"] or usual:
        about = {"backend": backend, **machine(), "options": recorded(options)}
        report = importlib.import_module(f"benchmarks.{name}").measure(options)
        print(f"\n== {name}: {report.text()}\n{about['device']}", flush=True)
        if args["output_dir"] is not None:
            write(Path(args["output_dir"]), name, report, about)


def recorded(options: Options) -> dict:
    """The options, with folders and files by their last names."""
    values = dataclasses.asdict(options)
    for name in ("data_dir", "checkpoint", "other", "other_checkpoint"):
        values[name] = Path(values[name]).name if values[name] else None
    return {**values, "peer": bool(options.peer)}


def summary(name: str) -> str:
    """The first line of a benchmark's docstring."""
    return importlib.import_module(f"benchmarks.{name}").__doc__.splitlines()[0]


def write(folder: Path, name: str, report: Report, about: dict) -> None:
    """NAME.json for programs, NAME.md for people."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"benchmark": name, "claim": summary(name), "machine": about, **report.to_dict()}
    atomic_write_text(folder / f"{name}.json", json_text(content, indent=2) + "\n")
    versions = ", ".join(f"{key} {value}" for key, value in about["versions"].items())
    lines = [
        f"# {name}", summary(name), report.text(markdown=True),
        f"{about['device']}; {about['processors']} processors, {about['torch_threads']} threads; "
        f"load before: {about['load_before']}; {versions}.",
    ]  # fmt: skip
    atomic_write_text(folder / f"{name}.md", "\n\n".join(lines) + "\n")


if __name__ == "__main__":
    run(main)
