"""The page as text: one file that holds everything, or a folder of files that it loads."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.web.chunks import Chunk
from taichi_pynerf.export.web.files import page_file
from taichi_pynerf.export.web.frames import Shader, display_shader
from taichi_pynerf.files import atomic_write, json_text

GENERATOR = b'name="generator" content="taichi_pynerf"'  # as page.html has it
# In the order in which they use each other.
SCRIPTS = (
    "camera.js", "data.js", "textures.js", "webgl2.js", "webgpu.js", "devices.js", "renderer.js",
    "controls.js", "main.js",
)  # fmt: skip


def page_text(header: dict, shader: Shader, chunks: Sequence[Chunk]) -> str:
    """One file: the data stand in it as base64, and each part is taken up as soon as it is read."""
    data = []
    for chunk in chunks:
        text = base64.b64encode(chunk.data).decode()
        data.append(
            f'<script type="text/plain" id="chunk-{chunk.name}">{text}</script>\n'
            f"<script>chunks.found({json_text(chunk.name)})</script>\n"
        )
    return _page({**header, "folder": False}, shader, "".join(data))


def folder_files(header: dict, shader: Shader, chunks: Sequence[Chunk]) -> dict[str, bytes]:
    """{name: content} of the files of a folder; the page is the last."""
    files = {f"{chunk.name}.bin": chunk.data for chunk in chunks}
    return {**files, "index.html": _page({**header, "folder": True}, shader, "").encode()}


def _page(header: dict, shader: Shader, data: str) -> str:
    parts = {
        "title": html.escape(header["title"]),
        "style": page_file("style.css"),
        # "</" or "<!--" in a name would end the element that it stands in.
        "header": json_text(header).replace("<", "\\u003c"),
        "scene_glsl": shader.glsl(),
        "scene_wgsl": shader.wgsl(),
        "display_glsl": display_shader().glsl(),
        "display_wgsl": display_shader().wgsl(),
        "script": "\n".join(page_file(name) for name in SCRIPTS),
        "data": data,
    }
    text = page_file("page.html")
    for name, part in parts.items():
        before, mark, after = text.partition(f"<!--{name}-->")
        assert mark, name
        text = before + part + after
    return text


def check_folder(folder: Path) -> None:
    """Check that a page's files may be put in a folder: it is new, empty, or an older page's.

    Raises:
        ConfigError: it is a file, or holds something else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder}: this is a file; a page of several files needs a folder")
    if any(folder.iterdir()) and not _is_page(folder / "index.html"):
        raise ConfigError(
            f"{folder}: the folder holds other files, which a page's could replace; give a new one"
        )


def _is_page(path: Path) -> bool:
    """Whether a file is a page that was written here."""
    try:
        with path.open("rb") as file:
            return GENERATOR in file.read(2000)
    except OSError:
        return False


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files whole or not at all, one after the other."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        with atomic_write(folder / name) as file:
            file.write(content)


def remove_old_parts(folder: Path, files: dict[str, bytes]) -> None:
    """Remove the parts of an older page that the newer one does not have."""
    for path in folder.glob("*.bin"):
        if path.name not in files:
            path.unlink()
