"""One parser under atheris: `python -m benchmarks.reliability.fuzz_child PARSER CORPUS [FLAGS]`."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["taichi_pynerf", "plyfile", "xml", "json", "csv"]):
    from benchmarks.reliability.fuzz_parsers import parser_in
    from taichi_pynerf.errors import MissingPackageError, UserError


def main() -> None:
    name = sys.argv.pop(1)
    path, read = parser_in(Path(tempfile.mkdtemp(prefix="fuzz_")), name)
    (Path(sys.argv[1]) / "good").write_bytes(path.read_bytes())
    warnings.simplefilter("ignore")

    def one(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(UserError, MissingPackageError):
            read()

    os.environ["TQDM_DISABLE"] = "1"
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
