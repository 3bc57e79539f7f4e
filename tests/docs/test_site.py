"""The site's own rules: links to repository files lead to pages, nothing comes from elsewhere.

Needs the extra "docs"; CI runs it beside the site's build.
"""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("mkdocs")

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hooks(tmp_path, monkeypatch):
    """The hooks, with a repository of their own."""
    spec = importlib.util.spec_from_file_location("mkdocs_hooks", ROOT / "mkdocs_hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def test_files_and_folders_have_pages(hooks):
    pages = {
        "README.md": "index.md",
        "docs/tutorial.ipynb": "tutorial.md",
        "docs/images/a.png": "images/a.png",
        "CHANGELOG.md": "repository/CHANGELOG.md",
        "apps/train.py": "repository/apps/train.py.md",
        "benchmarks/results": "repository/benchmarks/results.md",
    }
    assert {path: hooks.page_of(path) for path in pages} == pages


def test_links_of_a_page_lead_to_pages(hooks):
    config = SimpleNamespace(extra={"origins": {"inside/a.md": "docs/inside/a.md"}})
    page = SimpleNamespace(file=SimpleNamespace(src_uri="inside/a.md"))
    text = "[x](../../apps/train.py) [y](../b.md#part) [z](#here) [w](https://example.org/a.md)"
    assert hooks.on_page_markdown(text, page, config, None) == (
        "[x](../repository/apps/train.py.md) [y](../b.md#part) [z](#here) "
        "[w](https://example.org/a.md)"
    )


def test_code_and_folders_become_markdown(hooks, tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "results").mkdir()
    for name in ("one.md", "two.json"):
        (tmp_path / "results" / name).write_text("")
    assert hooks.text_of("a.py") == "# a.py\n\n~~~~python\nx = 1\n~~~~\n"
    assert hooks.text_of("results") == ("# results\n\n- [one.md](results/one.md)\n- `two.json`\n")
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": ["x = 1\n", "x"]},
    ]
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    assert hooks.notebook_text(notebook) == "# Title\ntext\n\n```python\nx = 1\nx\n```\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://example.org/x.js"></script>'),
        ("a.html", '<link rel="preconnect" href="https://example.org">'),
        ("a.html", '<img src="//example.org/x.png">'),
        ("a.css", "@import 'https://example.org/x.css';"),
        ("a.css", "p { background: url(https://example.org/x.png) }"),
    ],
)
def test_a_site_that_loads_from_elsewhere_is_refused(hooks, tmp_path, name, text):
    site = SimpleNamespace(site_dir=str(tmp_path))
    (tmp_path / name).write_text(text)
    with pytest.raises(PluginError, match=r"example\.org"):
        hooks.on_post_build(site)


def test_links_to_follow_and_own_files_are_no_loads(hooks, tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org">x</a><script src="x.js"></script>'
        '<link rel="canonical" href="https://example.org"><img src="data:image/png;base64,AA">'
    )
    hooks.on_post_build(SimpleNamespace(site_dir=str(tmp_path)))
