"""Additions to the documentation site beyond the pages in docs/.

- README.md is its first page, and docs/tutorial.ipynb a page too.
- Pages link to files of the repository, as they do when read there. Each such file becomes a page
  under repository/, and the links lead to it.
- A site that would load anything from another host is refused.
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from posixpath import normpath, relpath

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent
TUTORIAL = "docs/tutorial.ipynb"
PAGES = {"README.md": "index.md", TUTORIAL: "tutorial.md"}
"""Pages that are made from files with other names."""

LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(\))")
LANGUAGES = {".py": "python", ".sh": "bash", ".toml": "toml", ".cff": "yaml"}


def page_of(path: str) -> str:
    """The site's page for a file or folder of the repository."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    name = path if path.endswith(".md") else f"{path}.md"
    return f"repository/{name}"


def origins(files: Files) -> dict[str, str]:
    """{page: file of the repository} of all pages in docs/."""
    return {
        file.src_uri: f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".md")
    } | {page: path for path, page in PAGES.items()}


def targets(text: str, path: str) -> list[str]:
    """Files of the repository that the text of one of them links to."""
    folder = str(Path(path).parent)
    return [normpath(f"{folder}/{found[2]}") for found in LINK.finditer(text)]


def on_files(files: Files, config) -> Files:
    """Add the pages that are made from files outside of docs/, and from the notebook."""
    pages = origins(files)
    waiting = [*pages.values(), "CHANGELOG.md"]
    seen = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if not (ROOT / path).exists():
            raise PluginError(f"a page links to {path}, which is not in the repository")
        if path.startswith("docs/") and path not in PAGES and not path.endswith(".md"):
            continue  # pictures and the like are copied as they are
        text = text_of(path)
        page = page_of(path)
        if files.get_file_from_path(page) is None:
            files.append(File.generated(config, page, content=text))
        pages[page] = path
        waiting += targets(text, path)
    config.extra["origins"] = pages
    return files


def text_of(path: str) -> str:
    """A file of the repository, or a folder, as Markdown."""
    file = ROOT / path
    if path == TUTORIAL:
        return notebook_text(file)
    if file.is_dir():
        names = sorted(p.name + ("/" if p.is_dir() else "") for p in file.iterdir())
        listed = [n for n in names if not n.startswith((".", "__pycache__"))]
        links = [f"- [{n}]({file.name}/{n})" if n.endswith(".md") else f"- `{n}`" for n in listed]
        return f"# {path}\n\n" + "\n".join(links) + "\n"
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return text
    return f"# {path}\n\n~~~~{LANGUAGES.get(file.suffix, 'text')}\n{text}\n~~~~\n"


def notebook_text(file: Path) -> str:
    """A notebook's text and code."""
    parts = []
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, page, config, files: Files) -> str:
    """Point links to files of the repository to the pages for these files."""
    own = page.file.src_uri
    path = config.extra["origins"].get(own)
    if path is None:
        return markdown
    folder = str(Path(path).parent)

    def site_link(found: re.Match) -> str:
        target = normpath(f"{folder}/{found[2]}")
        link = relpath(page_of(target), str(Path(own).parent))
        return f"{found[1]}{link}{found[3] or ''}{found[4]}"

    return LINK.sub(site_link, markdown)


class Loads(HTMLParser):
    """Collects the addresses that a browser loads with a page; links are not among them."""

    LOADING = ("stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        kinds = (values.get("rel") or "").split()
        if tag == "link" and any(kind in self.LOADING for kind in kinds):
            self.found.append(values.get("href") or "")
        if tag != "a":
            self.found += [values.get(name) or "" for name in ("src", "srcset", "poster", "data")]


def on_post_build(config) -> None:
    """Refuse a site that loads anything from another host."""
    outside = re.compile(r"^\s*(https?:)?//")
    faults = []
    for file in sorted(Path(config.site_dir).rglob("*")):
        if file.suffix == ".html":
            page = Loads()
            page.feed(file.read_text(encoding="utf-8"))
            loaded = page.found
        elif file.suffix == ".css":
            text = file.read_text(encoding="utf-8")
            loaded = re.findall(r"(?:url\(|@import\s+)['\"]?([^'\")\s]+)", text)
        else:
            continue
        faults += [f"{file.name} loads {url}" for url in loaded if outside.match(url)]
    if faults:
        raise PluginError("the site loads from other hosts: " + "; ".join(faults[:5]))
