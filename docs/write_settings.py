"""Writes docs/settings.md from the settings themselves: `python docs/write_settings.py`."""

import dataclasses
from pathlib import Path

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.presets import LONGER, PRESETS, SEVERAL_SCALES_PRESETS, UNBOUNDED_PRESETS
from taichi_pynerf.settings import settings_of

PAGE = Path(__file__).parent / "settings.md"


def page() -> str:
    """The page: a table for every group of settings."""
    changes = SEVERAL_SCALES_PRESETS["cpu"].items()
    several = ", ".join(f"`{name}` {value}" for name, value in changes)
    lines = [
        "# Settings",
        "",
        "Every setting of `PyNeRFConfig`. Each is a flag of `apps/train.py` too: `--num_levels 6`,",
        "`--no-carve`. The preset `cpu` is used on the CPU, `gpu` on CUDA; an empty cell means the",
        "default of the method. *Unbounded* lists what changes in `cpu` for unbounded scenes, and",
        "`quality` what `--preset quality` changes in `cpu` for trainings of bounded scenes that",
        "take half an hour or longer; unbounded ones are trained as by `cpu`.",
        "At several scales, as photographs are trained unless `--no-multiscale`, these have",
        f"{several}.",
        "The scene gives `aabb` and `unbounded`; they have no flags.",
        "",
        "This page is made from the code: `python docs/write_settings.py`.",
    ]
    defaults = {field.name: field.default for field in dataclasses.fields(PyNeRFConfig)}
    group = None
    for name, setting in settings_of(PyNeRFConfig).items():
        if setting.group != group:
            group = setting.group
            head = (
                "| setting | meaning | values | default | `cpu` | `quality` | `gpu` | unbounded |"
            )
            lines += ["", f"## {group}", "", head, "|---|---|---|---|---|---|---|---|"]
        cells = [
            f"`{name}`", setting.meaning, setting.wanted, f"{defaults[name]}",
            *(f"{preset.get(name, '')}" for preset in
              (PRESETS["cpu"], LONGER, PRESETS["gpu"], UNBOUNDED_PRESETS["cpu"])),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
