"""Parsers under atheris: `python -m benchmarks.reliability.fuzzing.child FOLDER PARSER,… FLAG…`.

Every parser runs in a fork of this process, whose imports have been instrumented once. FOLDER gets
a folder for each, with its corpus, its faults and what it says, in `log.txt`. A line on standard
output names each parser that has ended, and its status. The flags are libFuzzer's.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import atheris

INSTRUMENTED = [
    "taichi_pynerf.config", "taichi_pynerf.data", "taichi_pynerf.files", "taichi_pynerf.geometry",
    "taichi_pynerf.rendering", "taichi_pynerf.runs", "taichi_pynerf.settings",
    "taichi_pynerf.training.log", "plyfile", "xml", "json", "csv",
]  # fmt: skip
with atheris.instrument_imports(include=INSTRUMENTED):
    from benchmarks.reliability.fuzzing import FAULT
    from benchmarks.reliability.fuzzing.corpus import unpack
    from benchmarks.reliability.fuzzing.mutation import mutated
    from benchmarks.reliability.fuzzing.parsers import Parser, parser_in


SLOWEST = 30.0  # seconds of processor time for one file


class Faults:
    """The kinds of faults, by the place in the code; a file of each is kept.

    Args:
        folder: for the files.
    """

    def __init__(self, folder: Path):
        self._folder, self._known = folder, set[str]()

    def add(self, kind: str, words: str, data: bytes) -> None:
        """Keep the file and print a line, unless a fault of this kind is known."""
        if kind in self._known:
            return
        self._known.add(kind)
        path = self._folder / f"fault-{hashlib.sha1(kind.encode()).hexdigest()[:12]}"
        path.write_bytes(data)
        line = f"{FAULT}{kind}: {words[:200]!r} ({path})"
        print(line.encode(errors="replace").decode(), file=sys.stderr, flush=True)


def place_of(error: BaseException) -> str:
    """Where an exception left the project: its type, and the last line of code that is ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "taichi_pynerf" in frame.filename] or frames
    return f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"


def fuzz(name: str, folder: Path, flags: list[str]) -> None:
    """Fuzz a parser; ends the process.

    Args:
        name: of the parser.
        folder: for its corpus and its faults.
        flags: libFuzzer's.
    """
    parser: Parser = parser_in(Path(tempfile.mkdtemp(prefix="fuzz_")), name)
    corpus, faults = folder / "corpus", Faults(folder / "faults")
    (corpus / "good").write_bytes(parser.path.read_bytes())

    def one(data: bytes) -> None:
        parser.path.write_bytes(data)
        started = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fault = parser.fault()
        except Exception as error:
            faults.add(place_of(error), str(error), data)
        else:
            if fault is not None:
                faults.add(*fault, data)
        if time.process_time() - started > SLOWEST:
            faults.add("slow", f"more than {SLOWEST} s", data)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return mutated(parser.path.suffix, data, seed, most, lambda d: atheris.Mutate(d, most))

    argv = ["fuzz", str(corpus), f"-artifact_prefix={folder}/faults/", *flags]
    atheris.Setup(argv, one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    root, names, flags = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]
    os.environ["TQDM_DISABLE"] = "1"
    for name in names:
        for part in ("corpus", "faults"):
            (root / name / part).mkdir(parents=True, exist_ok=True)
        unpack(name, root / name / "corpus")
        pid = os.fork()
        if not pid:
            log = os.open(root / name / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(log, sys.stdout.fileno())
            os.dup2(log, sys.stderr.fileno())
            fuzz(name, root / name, flags)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(name, status, flush=True)


if __name__ == "__main__":
    main()
