"""The page as text: one file that holds everything, or a folder of files that it loads."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from taichi_pynerf.export.web.chunks import Chunk
from taichi_pynerf.export.web.shader import page_file
from taichi_pynerf.files import atomic_write, json_text

# In the order in which they use each other.
SCRIPTS = ("camera.js", "data.js", "gpu.js", "renderer.js", "controls.js", "main.js")


def page_text(header: dict, shader: str, chunks: Sequence[Chunk]) -> str:
    """One file: the data stand in it as base64, and each part is taken up as soon as it is read."""
    data = []
    for chunk in chunks:
        text = base64.b64encode(chunk.data).decode()
        data.append(
            f'<script type="text/plain" id="chunk-{chunk.name}">{text}</script>\n'
            f"<script>chunks.found({json_text(chunk.name)})</script>\n"
        )
    return _page({**header, "folder": False}, shader, "".join(data))


def folder_files(header: dict, shader: str, chunks: Sequence[Chunk]) -> dict[str, bytes]:
    """{name: content} of the files of a folder; the page is the last."""
    files = {f"{chunk.name}.bin": chunk.data for chunk in chunks}
    return {**files, "index.html": _page({**header, "folder": True}, shader, "").encode()}


def _page(header: dict, shader: str, data: str) -> str:
    parts = {
        "title": html.escape(header["title"]),
        "style": page_file("style.css"),
        # "</" or "<!--" in a name would end the element that it stands in.
        "header": json_text(header).replace("<", "\\u003c"),
        "shader": shader,
        "display": page_file("display.glsl"),
        "script": "\n".join(page_file(name) for name in SCRIPTS),
        "data": data,
    }
    text = page_file("page.html")
    for name, part in parts.items():
        before, mark, after = text.partition(f"<!--{name}-->")
        assert mark, name
        text = before + part + after
    return text


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files whole or not at all, one after the other."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        with atomic_write(folder / name) as file:
            file.write(content)
