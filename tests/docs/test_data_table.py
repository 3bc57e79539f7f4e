"""The tests that the tables of docs/data.md name are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "data.md"


def test_every_test_in_the_tables_exists():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    last = [row.split("|")[-2] for row in rows]
    names = {name for cell in last for name in re.findall(r"\btest_\w+(?![\w.])", cell)}
    files = {name for cell in last for name in re.findall(r"[\w/]+\.py", cell)}
    assert len(names) > 100
    source = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    assert {name for name in names if f"def {name}(" not in source} == set()
    known = {str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py")}
    assert {file for file in files if not any(k.endswith(file) for k in known)} == set()


def test_every_case_has_a_test():
    text = PAGE.read_text()
    cases = text[text.index("## Images, cameras") : text.index("## A format of your own")]
    rows = [line.strip("|").split("|") for line in cases.splitlines() if line.startswith("| ")]
    lacking = [row[0] for row in rows if "test_" not in row[-1] and row[0].strip() != "case"]
    assert [row for row in lacking if row.strip() != "input or wish"] == []
