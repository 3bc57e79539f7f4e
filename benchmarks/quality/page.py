"""The tables of docs/results.md, made from the results that are kept in the repository.

`record` keeps the result of a row, without its single images. `write_page` makes the tables from
all that are kept, and marks those whose code has changed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.quality.history import History
from benchmarks.quality.published import PUBLISHED
from benchmarks.quality.rows import ROWS, TABLES
from benchmarks.quality.tables import command, markdown
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.files import atomic_write_text, json_text

ROOT = Path(__file__).parents[2]
KEPT = Path("benchmarks/results/quality")
PAGE = Path("docs/results.md")
BEGIN = "<!-- Made by `python -m benchmarks.quality --docs` from benchmarks/results/quality. -->"
END = "<!-- End of what is made. -->"
RESULT = "result.json"


def found_results(output_dir: Path, table: str) -> list[dict]:
    """The results of a table's rows that are there, in the order of the rows, then of the seeds.

    Raises:
        ConfigError: a file is no result.
    """
    return [
        read_result(path)
        for name in ROWS
        if ROWS[name].table == table
        for path in sorted((output_dir / name).glob(f"seed*/{RESULT}"))
    ]


def read_result(path: Path) -> dict:
    """A result as `run_row` gave it.

    Raises:
        ConfigError: the file is none.
    """
    wanted = {"row", "seed", "declared", "commit", "changed_files", "machine", "tests", "steps",
              "train_seconds"}  # fmt: skip
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if not wanted <= set(result):
            raise ValueError
    except (ValueError, TypeError):
        raise ConfigError(f"{path}: this is no result of a row") from None
    return result


def record(results: list[dict], root: Path = ROOT) -> Iterator[Path]:
    """Write results into the repository, without the figures of single images.

    Yields:
        The files.
    """
    for result in results:
        tests = {
            label: {name: value for name, value in figures.items() if name != "images"}
            for label, figures in result["tests"].items()
        }
        path = root / KEPT / result["row"] / f"seed{result['seed']}" / RESULT
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, json_text({**result, "tests": tests}, indent=1) + "\n")
        yield path


def write_page(root: Path = ROOT) -> Path:
    """Make the tables of docs/results.md anew, between their two marks.

    Returns:
        The page.

    Raises:
        ConfigError: this is no whole checkout, a file is no result, or the page has no such marks.
    """
    path, history = root / PAGE, History(root)
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"{path}: the marks around the tables are gone: {BEGIN} … {END}")
    atomic_write_text(path, f"{before}{BEGIN}\n\n{tables_text(root, history)}\n{END}{after}")
    return path


def tables_text(root: Path, history: History) -> str:
    """All tables that have a result or a published figure, and what has not been run."""
    parts, not_run = [], []
    for table in TABLES:
        results = found_results(root / KEPT, table)
        run = {result["row"] for result in results}
        missing = [name for name, row in ROWS.items() if row.table == table and name not in run]
        if results or table in PUBLISHED:
            text = markdown(table, results, lambda result: history.state(result, today(result)))
            title, rest = text.split("\n\n", 1)
            parts.append(f"{title}\n\n`{command(table, results)}`\n\n{rest}")
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            not_run.append(f"| {TABLES[table]} | {names} | `{command(table)}` |")
    if not_run:
        head = "| table | rows | command |\n|---|---|---|\n"
        parts.append("### Not run yet\n\n" + head + "\n".join(not_run) + "\n")
    return "\n".join(parts)


def today(result: dict) -> dict | None:
    """What the row of a result is declared as today; None if there is no such row."""
    row = ROWS.get(result["row"])
    preset = result["declared"].get("preset")
    return None if row is None else json.loads(json_text({**asdict(row), "preset": preset}))
