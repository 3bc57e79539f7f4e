"""The small corpus of each parser: files that it once answered in different ways.

    python -m benchmarks.reliability.fuzzing.corpus

goes through what the fuzzing has left in `outputs/fuzz`, and keeps in `tests/corpus/PARSER.zip` the
smallest file of each kind of answer, those of mended faults included. The tests read them all, and
fuzzing begins with them.
"""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

from benchmarks.reliability.children import ROOT
from benchmarks.reliability.fuzzing.parsers import PARSERS, Parser, parser_in
from taichi_pynerf.errors import UserError

FOLDER = ROOT / "tests" / "corpus"
MOST_FILES, MOST_BYTES = 40, 8192  # of a parser, of a file


def unpack(name: str, folder: Path) -> None:
    """Write the files of a parser's corpus into a folder."""
    path = FOLDER / f"{name}.zip"
    if path.exists():
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)


def message_of(parser: Parser) -> str:
    """The kind of message that a parser's file gives: words without values and numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fault = parser.fault()
            parser.read()
    except UserError as error:
        message = str(error).replace(str(parser.folder), "")
        return re.sub(r"'.*'|\".*\"|[\d.e+-]+|nan|inf|\[.*\]|\{.*\}|\(.*\)", "", message)
    except Exception as error:  # a fault that is not mended yet
        return f"{type(error).__name__}: {error}"
    return f"used: {fault}"


def pack(name: str, found: list[Path]) -> int:
    """Keep the smallest file of each kind of answer; how many these are."""
    smallest: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        parser = parser_in(Path(folder), name)
        files = {parser.path.read_bytes(), *(path.read_bytes() for path in found)}
        for data in sorted(files, key=lambda x: (len(x), x)):
            parser.path.write_bytes(data)
            if len(data) <= MOST_BYTES:
                smallest.setdefault(message_of(parser), data)
    kept = list(smallest.values())[:MOST_FILES]
    FOLDER.mkdir(exist_ok=True)
    with zipfile.ZipFile(FOLDER / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(kept):
            archive.writestr(zipfile.ZipInfo(f"{number:02d}"), data, zipfile.ZIP_DEFLATED)
    return len(kept)


def main() -> None:
    for name in sys.argv[1:] or PARSERS:
        places = (Path("outputs/fuzz", name, part) for part in ("corpus", "faults"))
        found = [path for place in places for path in place.glob("*")]
        print(f"{name}: {pack(name, found)} of {len(found)} files kept")


if __name__ == "__main__":
    main()
