"""Quality of images: rows of the tables in docs/results.md.

    python -m benchmarks.quality --list
    python -m benchmarks.quality lego400-pyramid lego400-single --data_dir path/to/scenes
    python -m benchmarks.quality demo-steps            every row of a table

    python -m benchmarks.quality --curves lego800      PSNR over training time, as a picture
    python -m benchmarks.quality --record lego800      keep its results in benchmarks/results
    python -m benchmarks.quality --docs                make the tables of docs/results.md from those

Finished rows are not run again, and interrupted ones continue from their last checkpoint. Each row
writes OUTPUT_DIR/ROW/seed<N>/result.json. Tables are printed, and written to OUTPUT_DIR/TABLE.md.
"""

from pathlib import Path

from benchmarks.quality.page import found_results, record, write_page
from benchmarks.quality.pictures import found_runs, write_picture
from benchmarks.quality.row_runs import run_row
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
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="settings to start from, in place of the row's (gpu for a graphics card)",
    )
    parser.add_argument("--backend", choices=runtime.BACKENDS, default="auto")
    parser.add_argument(
        "--tables_only", action="store_true", help="write the tables of what has been run"
    )
    parser.add_argument(
        "--curves",
        action="store_true",
        help="run nothing, and draw PSNR over training of what has been run or is running, to "
        "OUTPUT_DIR/TABLE.png",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="run nothing, and copy the results that are there to benchmarks/results/quality, to "
        "be committed",
    )
    parser.add_argument(
        "--docs",
        action="store_true",
        help="run nothing, and make the tables of docs/results.md from benchmarks/results/quality; "
        "results of older code are marked",
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
    if args.docs:
        print(write_page())
        return
    names = wanted_rows(args.rows or list(TABLES))
    tables = list(dict.fromkeys(ROWS[name].table for name in names))
    if args.curves:
        draw_curves(args.output_dir, tables)
        return
    if args.record:
        results = [
            r for t in tables for r in found_results(args.output_dir, t) if r["row"] in names
        ]
        if not results:
            raise ConfigError(f"{args.output_dir} has no result of these rows")
        print("\n".join(map(str, record(results))))
        return
    if not args.tables_only:
        if not args.rows:
            raise ConfigError("name rows or tables to run; --list shows them")
        runtime.start(args.backend)
        for seed in args.seeds:
            for name in names:
                print(f"{name}, seed {seed}", flush=True)
                run_row(name, args.output_dir, args.data_dir, seed, args.preset)
    for table in tables:
        text = markdown(table, found_results(args.output_dir, table))
        args.output_dir.mkdir(parents=True, exist_ok=True)
        atomic_write_text(args.output_dir / f"{table}.md", text)
        print(f"\n{text}")


def draw_curves(output_dir: Path, tables: list[str]) -> None:
    """Draw the curves of tables, and print the pictures' names.

    Raises:
        ConfigError: no row of them has a curve.
        MissingPackageError: matplotlib is not installed.
    """
    drawn = False
    for table in tables:
        runs = found_runs(output_dir, table)
        if runs:
            path = output_dir / f"{table}.png"
            write_picture(table, runs, path)
            print(path)
            drawn = True
    if not drawn:
        raise ConfigError(f"{output_dir} has no curve of {', '.join(tables)}")


if __name__ == "__main__":
    run(main)
