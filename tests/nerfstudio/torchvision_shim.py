"""Let torchvision load beside a torch that it was not built for.

Its registry build brings operators compiled against a CUDA torch; beside a CPU-only one they do not
load, and the import stops at the first that it names. nerfstudio uses none of them: declaring the
names is enough. For the tests' environment alone.

    python tests/nerfstudio/torchvision_shim.py ns-train --help
    python tests/nerfstudio/torchvision_shim.py apps/export.py --format nerfstudio …
"""

import runpy
import sys
from importlib.metadata import entry_points

import torch

_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library = None  # operators live as long as their library


def declare_operators() -> None:
    """Let `import torchvision` work, by declaring what it asks for unless its own are there."""
    global _library
    try:
        import torchvision
    except RuntimeError:
        _library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            _library.define(name + _NMS)
        import torchvision  # noqa: F401


if __name__ == "__main__":
    declare_operators()
    command, *sys.argv = sys.argv[1:2] + sys.argv[1:]
    if command.endswith(".py"):
        runpy.run_path(command, run_name="__main__")
    else:
        (script,) = entry_points(group="console_scripts", name=command)
        script.load()()
