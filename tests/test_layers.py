"""The imports of the package run one way: a module imports its own layer and lower ones only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import taichi_pynerf

PACKAGE = "taichi_pynerf"
ROOT = Path(taichi_pynerf.__file__).parent

# From the lowest to the highest: the files at the top, then one folder a layer. A module may
# import its own folder and those before it.
BASE = ("errors", "extras", "files", "settings", "presets", "config")
LAYERS = (
    "kernels", "runtime", "ops", "geometry", "data", "demo", "model", "evaluation", "runs",
    "training", "rendering", "export", "viewer", "nerfstudio",
    "api",
    "__init__",  # the public names
    "apps",
)  # fmt: skip
OUTSIDE = ("reference",)  # for tests and for reading: no module imports it
USERS_OF_TAICHI = ("runtime", "kernels", "ops", "demo", "viewer")
MOST_FILES = 16  # of a folder's own
MOST_LINES = 400  # of a file

# Files over MOST_LINES, and why.
LONG: dict[str, str] = {}

LAYER_OF = dict.fromkeys(BASE, -1) | {name: number for number, name in enumerate(LAYERS)}


def modules(root=ROOT):
    """{dotted name within the package: file} of all modules; a package by its own name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name, path, known):
    """What a module imports, anywhere in it.

    Returns:
        Dotted names of modules of this package, and top-level names of other packages.
    """
    inside, outside = set(), set()
    is_package = path.name == "__init__.py"
    package = [PACKAGE, *(name.split(".") if name != "__init__" else [])]
    package = package if is_package else package[:-1]

    def add(dotted):
        top, *rest = dotted.split(".")
        if top != PACKAGE:
            outside.add(top)
            return
        while rest and ".".join(rest) not in known:  # a name inside of a module
            rest.pop()
        inside.add(".".join(rest) or "__init__")

    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                add(".".join([*base, alias.name]))
    return inside - {name}, outside


MODULES = modules()
IMPORTS = {name: imports_of(name, path, MODULES) for name, path in MODULES.items()}


def unit(name):
    """The module or subpackage directly in the package."""
    return name.split(".")[0]


def cycle_through(start, graph):
    """Modules on some way from a module back to itself; none if there is no such way."""
    ways, seen = [[start]], set()
    while ways:
        way = ways.pop()
        for following in graph[way[-1]]:
            if following == start:
                return way
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


def test_every_folder_is_a_layer():
    listed = [*BASE, *LAYERS, *OUTSIDE]
    assert len(listed) == len(set(listed))
    assert {unit(name) for name in MODULES} == set(listed)


def test_folders_and_files_are_small():
    folders = [path.parent for path in MODULES.values()]
    assert {f.name: folders.count(f) for f in folders if folders.count(f) > MOST_FILES} == {}
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES and name not in LONG} == {}
    assert {name for name in LONG if lines[name] <= MOST_LINES} == set()


@pytest.mark.parametrize("name", sorted(name for name in MODULES if unit(name) not in OUTSIDE))
def test_a_module_imports_no_higher_layer(name):
    inside, _ = IMPORTS[name]
    own = LAYER_OF[unit(name)]
    higher = {
        imported
        for imported in inside
        if unit(imported) in OUTSIDE or LAYER_OF[unit(imported)] > own
    }
    assert higher == set()


def test_no_module_comes_back_to_itself():
    graph = {name: inside for name, (inside, _) in IMPORTS.items()}
    assert [way for name in graph if (way := cycle_through(name, graph))] == []


def test_only_these_import_taichi():
    users = {unit(name) for name, (_, outside) in IMPORTS.items() if "taichi" in outside}
    assert users <= set(USERS_OF_TAICHI)
    assert {"runtime", "kernels", "ops"} <= users  # the search sees what is there


def test_only_the_plugin_imports_nerfstudio():
    users = {unit(name) for name, (_, outside) in IMPORTS.items() if "nerfstudio" in outside}
    assert users == {"nerfstudio"}
    importers = {
        name for name, (inside, _) in IMPORTS.items()
        if unit(name) != "nerfstudio" and any(unit(i) == "nerfstudio" for i in inside)
    }  # fmt: skip
    assert importers <= {"__init__", *(name for name in MODULES if unit(name) == "apps")}
    assert {i for i in IMPORTS["__init__"][0] if unit(i) == "nerfstudio"} == {"nerfstudio.convert"}


def test_the_viewers_screens_know_nothing_of_each_other_and_the_viewer_nothing_of_them():
    screens = ("viewer.ggui", "viewer.web")

    def screen_of(name):
        return next((screen for screen in screens if f"{name}.".startswith(f"{screen}.")), None)

    for name, (inside, _) in IMPORTS.items():
        if unit(name) == "viewer":
            assert {screen_of(imported) for imported in inside} <= {None, screen_of(name)}, name
    assert {screen_of(name) for name in MODULES} == {None, *screens}


def test_kernels_know_no_torch_and_nothing_of_the_package_but_kernels_and_errors():
    for name, (inside, outside) in IMPORTS.items():
        if unit(name) == "kernels":
            assert "torch" not in outside
            assert {unit(imported) for imported in inside} <= {"kernels", "errors"}


def test_config_imports_nothing_of_the_package_but_settings_presets_and_errors():
    inside, _ = IMPORTS["config"]
    assert {unit(name) for name in inside} <= {"errors", "settings", "presets"}


def test_the_package_knows_nothing_of_its_apps_and_tools():
    for name, (_, outside) in IMPORTS.items():
        assert outside & {"apps", "data_tools", "benchmarks", "tests"} == set(), name


def test_reference_is_plain_torch():
    for name, (inside, outside) in IMPORTS.items():
        if unit(name) == "reference":
            assert "taichi" not in outside
            assert {unit(imported) for imported in inside} <= {"reference"}


# ---- the search itself ------------------------------------------------------------------------

SOURCES = {
    "__init__.py": "import os\n",
    "low.py": "import torch.nn\n",
    "high.py": "from taichi_pynerf import low\nfrom taichi_pynerf.low import name\n",
    "lazy.py": "def f():\n    import taichi_pynerf.sub.deep as deep\n    import taichi as ti\n",
    "sub/__init__.py": "from . import deep\nfrom .. import low\n",
    "sub/deep.py": "from ..high import name\nfrom .other import name\nfrom . import other\n",
    "sub/other.py": "from taichi_pynerf import __version__\n",
}
FOUND = {
    "__init__": (set(), {"os"}),
    "low": (set(), {"torch"}),
    "high": ({"low"}, set()),
    "lazy": ({"sub.deep"}, {"taichi"}),
    "sub": ({"sub.deep", "low"}, set()),
    "sub.deep": ({"high", "sub.other"}, set()),
    "sub.other": ({"__init__"}, set()),
}


def test_the_search_finds_imports_of_every_form(tmp_path):
    for name, source in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    known = modules(tmp_path)
    assert {name: imports_of(name, path, known) for name, path in known.items()} == FOUND


def test_the_search_finds_cycles():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}
    assert [cycle_through(name, graph) for name in graph] == [[], ["b", "c"], ["c", "b"], ["d"]]


WITHOUT_UNIX = """
import importlib, sys, types
import numpy, PIL.Image, taichi, torch, torch.distributed, tqdm
import asyncio, concurrent.futures, logging, multiprocessing, subprocess, tempfile, zipfile
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None  # an import of it fails
sys.platform = "win32"
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_no_module_needs_what_windows_lacks():
    names = [f"{PACKAGE}.{name}" for name in modules() if not name.startswith("nerfstudio")]
    command = [sys.executable, "-c", WITHOUT_UNIX, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
