"""The pages of the gallery: each is linked, small, and asks the network for nothing."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "scenes").glob("*.html"))
MOST_BYTES = 4_000_000  # of all together: they stand in the repository


def test_the_gallery_links_every_page_and_shows_its_picture():
    text = (DOCS / "scenes.md").read_text()
    linked = re.findall(r"\[!\[[^\]]*\]\(images/scenes/(\w+)\.webp\)\]\(scenes/(\w+)\.html\)", text)
    assert [picture for picture, _ in linked] == [page for _, page in linked]
    assert sorted(page for _, page in linked) == [page.stem for page in PAGES]
    for page in PAGES:
        picture = DOCS / "images" / "scenes" / f"{page.stem}.webp"
        assert picture.read_bytes()[8:12] == b"WEBP"
    assert sum(page.stat().st_size for page in PAGES) < MOST_BYTES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_whole_and_loads_nothing(page):
    text = page.read_text()
    assert 'name="generator" content="taichi_pynerf"' in text
    assert text.rstrip().endswith("</html>")
    assert "https://" not in text
    assert "http://" not in text
