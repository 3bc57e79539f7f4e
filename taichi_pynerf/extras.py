"""Optional packages, imported where they are used. If one is absent, a line says what to do."""

import importlib
from types import ModuleType

from taichi_pynerf.errors import MissingPackageError


def optional(module: str, extra: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: dotted name of the module.
        extra: the extra of taichi-pynerf that installs it.

    Raises:
        MissingPackageError: it is not installed, or does not load.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingPackageError(
            f'{package} cannot be imported ({error}): pip install "taichi-pynerf[{extra}]"'
        ) from None
    except RuntimeError as error:  # raised by a torchvision that was built for another torch
        package = module.partition(".")[0]
        raise MissingPackageError(
            f"{package} is installed but does not load ({error}): take torch and torchvision of "
            "one build, both with CUDA or both without"
        ) from None
