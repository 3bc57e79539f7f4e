"""The files that a page is made of."""

from importlib.resources import files


def page_file(name: str) -> str:
    """The text of a file of the page."""
    return (files("taichi_pynerf.export.web") / "page" / name).read_text(encoding="utf-8")
