"""The tutorial is kept without outputs; CI runs it cell by cell."""

import json
from pathlib import Path

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"


def test_the_tutorial_is_kept_without_outputs():
    cells = json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]] == []
