"""Quality of images: rows of the tables in docs/results.md.

    python -m benchmarks.quality --list
    python -m benchmarks.quality lego400-pyramid lego400-single --data_dir path/to/scenes
    python -m benchmarks.quality demo-steps            every row of a table

Finished rows are not run again, and interrupted ones continue from their last checkpoint. Each row
writes OUTPUT_DIR/ROW/seed<N>/result.json. Tables are printed, and written to OUTPUT_DIR/TABLE.md.
"""

import json
from pathlib import Path

from benchmarks.quality.row_runs import RESULT, run_row
from benchmarks.quality.rows import ROWS, TABLES
from benchmarks.quality.tables import markdown
from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import Parser, run
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.files import atomic_write_text
from taichi_pynerf.presets import PRESETS


def build_parser() -> Parser:
    parser = Parser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW_OR_TABLE", help="what to run")
    parser.add_argument("--list", action="store_true", help="name the tables and their rows")
    parser.add_argument("--data_dir", type=Path, help="folder that holds lego, fern and the others")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/quality"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each row runs with each")
    parser.add_argument("--preset", choices=PRESETS, help="settings to start from (cpu or gpu)")
    parser.add_argument("--backend", choices=runtime.BACKENDS, default="auto")
    parser.add_argument(
        "--tables_only", action="store_true", help="write the tables of what has been run"
    )
    return parser


def wanted_rows(names: list[str]) -> list[str]:
    """The rows that are asked for, tables spelled out.

    Raises:
        ConfigError: a name is neither a row's nor a table's.
    """
    found = []
    for name in names:
        rows = [name] if name in ROWS else [r for r in ROWS if ROWS[r].table == name]
        if not rows:
            raise ConfigError(f"{name} is neither a row nor a table: --list names them")
        found += rows
    return list(dict.fromkeys(found))


def main(argv: list[str]) -> None:
    args = build_parser().parse_args(argv)
    if args.list:
        for table, title in TABLES.items():
            print(f"{table}: {title}")
            print("".join(f"    {name}\n" for name in ROWS if ROWS[name].table == table))
        return
    names = wanted_rows(args.rows or list(TABLES))
    if not args.tables_only:
        if not args.rows:
            raise ConfigError("name rows or tables to run; --list shows them")
        backend = runtime.start(args.backend)
        preset = args.preset or ("gpu" if backend == "cuda" else "cpu")
        for seed in args.seeds:
            for name in names:
                print(f"{name}, seed {seed}", flush=True)
                run_row(name, args.output_dir, args.data_dir, seed, preset)
    for table in dict.fromkeys(ROWS[name].table for name in names):
        text = markdown(table, found_results(args.output_dir, table))
        args.output_dir.mkdir(parents=True, exist_ok=True)
        atomic_write_text(args.output_dir / f"{table}.md", text)
        print(f"\n{text}")


def found_results(output_dir: Path, table: str) -> list[dict]:
    """The results of a table's rows that are there, in the order of the rows, then of the seeds."""
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for name in ROWS
        if ROWS[name].table == table
        for path in sorted((output_dir / name).glob(f"seed*/{RESULT}"))
    ]


if __name__ == "__main__":
    run(main)
