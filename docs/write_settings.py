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
        "`--no-carve`. `--set num_levels=6` says the same, and may be repeated.",
        "",
        "The preset `cpu` is used on the CPU, `gpu` on CUDA; an empty cell of these two means the",
        "default of the method. *Unbounded* lists what changes in `cpu` for unbounded scenes, and",
        "`quality` what `--preset quality` changes in `cpu` for trainings of bounded scenes that",
        "take half an hour or longer; an empty cell of these two means the value of `cpu`.",
        "Unbounded scenes are trained with `--preset quality` as by `cpu`. At several scales, as",
        f"photographs are trained unless `--no-multiscale`, unbounded scenes have {several}.",
        "",
        "The scene gives `aabb`, `unbounded` and `num_cascades`. `--aabb` and `--scene_scale`",
        "change the box ([data.md](data.md#placement)), `--num_cascades` changes nothing, and",
        "`unbounded` has no flag.",
        "",
        "Some flags of `apps/train.py` are no settings:",
        "",
        "- `--scale_schedule 0:8,500:4,1000:1` trains from coarse to fine: on the scale 1/8 alone",
        "  from the first step, on 1/4 too from step 500, on all scales from step 1000. It needs",
        "  images at several scales.",
        "- `--black_background` shows transparent pixels over black in place of white, in tests",
        "  and in renders of the run.",
        "- `torchrun --nproc_per_node=2 apps/train.py …` shares the rays of each step among two",
        "  processes ([architecture.md](architecture.md#why-it-is-done-this-way)).",
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
