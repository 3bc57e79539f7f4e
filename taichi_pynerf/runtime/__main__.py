"""`python -m taichi_pynerf.runtime`: the table of backends."""

import dataclasses
import json
import sys

import taichi as ti
import torch

from taichi_pynerf.runtime.report import describe, probe, table


def main(argv: list[str]) -> None:
    """Print the table of backends, or with `--probe NAME` the report on one, as JSON."""
    if argv[:1] == ["--probe"]:
        print(json.dumps(dataclasses.asdict(probe(argv[1]))))
        return
    version = ".".join(map(str, ti.__version__))
    print(f"taichi {version}, torch {torch.__version__}")
    print(table(describe()))


if __name__ == "__main__":
    main(sys.argv[1:])
