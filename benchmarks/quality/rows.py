"""The rows of the tables, in plain data: images, settings, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taichi_pynerf.runs.scene_source import MULTISCALE

DEMO = "demo"
DEMOS = {DEMO: "still-life", "demo-foliage": "foliage", "demo-glossy": "glossy"}
"""The built-in scenes: {name of images: name of the scene}."""
BLENDER_SCENES = ["chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship"]

LOSSMULT = {"drawn": "scales", "weighted": "pixels", "off": "pixels"}
"""Ways to weight coarse pixels by area: {name: `MultiScaleDataset.sampling`}."""


@dataclass(frozen=True)
class Images:
    """The images that a row trains and tests on.

    Attributes:
        scene: a folder's name, or a key of `DEMOS`.
        img_downscale: divisor of the files' size; the quotient counts as full size.
        scales: reductions of the full size that are trained and tested on.
        reduced_too: train on 1/2, 1/4 and 1/8 of the full size too, each half as often as the next
            finer one, as photographs are by default, and test at `scales` alone.
        train_distances: demo only, the cameras' distances from the scene in world units.
        test_distances: demo only; each distance is tested by itself, at full size.
        num_train: demo only, views to train on.
        resolution: demo only, pixels along each side.
    """

    scene: str
    img_downscale: int = 1
    scales: tuple[int, ...] = (1,)
    reduced_too: bool = False
    train_distances: tuple[float, ...] = ()
    test_distances: tuple[float, ...] = ()
    num_train: int = 72
    resolution: int = 256

    @property
    def train_scales(self) -> tuple[int, ...]:
        """Reductions of the full size that are trained on."""
        return MULTISCALE if self.reduced_too else self.scales


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        table: the key of its table in `TABLES`.
        label: its name in the table.
        images: the images that it trains and tests on.
        settings: settings of `PyNeRFConfig`, on top of the preset.
        preset: the preset, unless another is asked for.
        max_steps, max_seconds: when to stop; 0 seconds is no limit.
        lossmult: a key of `LOSSMULT`.
        scale_schedule: {first step: finest image scale}, for training from coarse to fine.
        clamp: clamp levels to the trained ones when testing.
        trained_as: test the model that this other row trains.
        num_test: test images of each scale, evenly spread; 0 for all.
    """

    table: str
    label: str
    images: Images
    settings: Mapping[str, object] = field(default_factory=dict)
    preset: str = "cpu"
    max_steps: int = 20000
    max_seconds: float = 0.0
    lossmult: str = "drawn"
    scale_schedule: Mapping[int, int] = field(default_factory=dict)
    clamp: bool = True
    trained_as: str = ""
    num_test: int = 0


TABLES = {
    "multiscale-blender": "Multi-scale Blender: 800 x 800 and its 1/2, 1/4, 1/8, white background",
    "blender": "Single-scale Blender: 800 x 800, white background",
    "llff": "LLFF: 1008 x 756, every eighth image held out",
    "lego800": "Lego at 800 x 800, two hours",
    "lego800-shorter": "Lego at 800 x 800, 50 minutes",
    "lego800-scales": "Lego at four scales from 800 x 800 down, 50 minutes",
    "lego400-seconds": "Lego at 400 x 400, 900 seconds",
    "fern": "LLFF's fern at 504 x 378, every eighth image held out, 600 seconds",
    "demo-end": "Demo scene, four scales, 900 seconds",
    "lego400": "Lego at four scales from 400 x 400 down, equal steps",
    "near-far": "Demo scene, trained near and tested far, equal steps",
    "far-near": "Demo scene, trained far and tested near, equal steps",
    "demo-steps": "Ablations on the demo scene, four scales, equal steps",
    "demo-seconds": "Ablations on the demo scene, four scales, equal training time",
    "foliage-steps": "Ablations on the demo scene foliage, four scales, equal steps",
    "foliage-seconds": "Ablations on the demo scene foliage, four scales, equal training time",
    "glossy-steps": "Ablations on the demo scene glossy, four scales, equal steps",
    "glossy-seconds": "Ablations on the demo scene glossy, four scales, equal training time",
    "lego200-steps": "Ablations on lego, four scales from 200 x 200 down, equal steps",
    "lego200-seconds": "Ablations on lego, four scales from 200 x 200 down, equal training time",
}
"""{key: title}."""

LONG = {"preset": "quality", "max_seconds": 7200.0}
SHORTER = {"preset": "quality", "max_seconds": 3000.0}
SINGLE = {"single_level": True}

_ABLATIONS: dict[str, dict] = {
    "pyramid": {"label": "pyramid (the preset)"},
    "single": {"label": "single head", "settings": SINGLE},
    "color": {"label": "blend of colours", "settings": {"output_interpolation": "color"}},
    "nearest": {"label": "nearest level, no blend", "settings": {"level_interpolation": "none"}},
    "grids": {"label": "a grid per level", "settings": {"share_feature_grid": False}},
    "consistency": {
        "label": "with consistency loss, 0.1",
        "settings": {"pyramid_loss_weight": 0.1},
    },
    "weighted": {"label": "lossmult as weights", "lossmult": "weighted"},
    "unweighted": {"label": "no lossmult", "lossmult": "off"},
    "no-clamp": {
        "label": "levels not clamped to the trained ones",
        "clamp": False,
        "trained_as": "pyramid",
    },
    "coarse-to-fine": {"label": "coarse to fine", "scale_schedule": (8, 4, 2, 1)},
    "hierarchical": {
        "label": "hierarchical sampling, 32 + 32",
        "settings": {
            "sampler": "hierarchical", "num_samples": 32, "num_importance": 32, "batch_size": 512,
        },
    },
    "decay": {"label": "hash decay per level, 0.01", "settings": {"hash_decay": 0.01}},
    "distortion": {
        "label": "distortion loss, 0.002",
        "settings": {"distortion_loss_weight": 0.002},
    },
    "random-start": {
        "label": "networks begin with random weights",
        "settings": {"initial_networks": "random"},
    },
    "white-background": {"label": "white background", "settings": {"background": "white"}},
    "one-cell": {"label": "one cell to a footprint", "settings": {"cells_per_footprint": 1.0}},
}  # fmt: skip


def _ablations(table: str, images: Images, num_test: int, **limit) -> dict[str, Row]:
    rows = {}
    for name, changes in _ABLATIONS.items():
        changes = dict(changes)
        if "scale_schedule" in changes:  # each new scale after another eighth of the steps
            eighth = limit.get("max_steps", 800) // 8
            changes["scale_schedule"] = {
                i * eighth: scale for i, scale in enumerate(changes["scale_schedule"])
            }
        if "trained_as" in changes:
            changes["trained_as"] = f"{table}-{changes['trained_as']}"
        rows[f"{table}-{name}"] = Row(
            table=table, images=images, num_test=num_test, **changes, **limit
        )
    return rows


def _pair(table: str, images: Images, **common) -> dict[str, Row]:
    """The pyramid and the single head."""
    return {
        f"{table}-pyramid": Row(table, "pyramid", images, **common),
        f"{table}-single": Row(table, "single head", images, SINGLE, **common),
    }


def _distances(table: str, images: Images) -> dict[str, Row]:
    """The pyramid and the single head, and the pyramid unclamped."""
    return {
        **_pair(table, images, max_steps=1000),
        f"{table}-no-clamp": Row(
            table, "pyramid, levels not clamped", images, max_steps=1000, clamp=False,
            trained_as=f"{table}-pyramid",
        ),
    }  # fmt: skip


# From 4 units on the whole scene is in the picture. Cameras at 2.6 do not see what is below the
# plinth, and no model can know what no training view shows. A far camera sees the scene like the
# 1/8 scale of a near one.
NEAR, FAR = 4.0, 32.0

ROWS: dict[str, Row] = {
    **{
        f"multiscale-{scene}": Row("multiscale-blender", scene, Images(scene, scales=MULTISCALE))
        for scene in BLENDER_SCENES
    },
    **{f"blender-{scene}": Row("blender", scene, Images(scene)) for scene in BLENDER_SCENES},
    "llff-fern": Row("llff", "fern", Images("fern", img_downscale=4)),
    "lego800": Row("lego800", "pyramid", Images("lego"), **LONG),
    "lego800-shorter": Row("lego800-shorter", "pyramid", Images("lego"), **SHORTER),
    **_pair("lego800-scales", Images("lego", scales=MULTISCALE), **SHORTER),
    **{
        f"lego400-seconds-{preset}": Row(
            "lego400-seconds", f'pyramid, preset "{preset}"', Images("lego", 2), preset=preset,
            max_seconds=900.0,
        )
        for preset in ("cpu", "quality")
    },
    "fern": Row("fern", "pyramid", Images("fern", 8, reduced_too=True), max_seconds=600.0),
    "demo-end": Row("demo-end", "pyramid", Images(DEMO, scales=MULTISCALE), max_seconds=900.0),
    **_pair("lego400", Images("lego", 2, MULTISCALE), max_steps=2500, num_test=12),
    **_distances(
        "near-far",
        Images(
            DEMO, resolution=128, scales=MULTISCALE, train_distances=(NEAR,),
            test_distances=(NEAR, 2 * NEAR, 4 * NEAR, FAR),
        ),
    ),
    **_distances(
        "far-near",
        Images(
            DEMO, resolution=256, train_distances=(4 * NEAR,),
            test_distances=(NEAR, 2 * NEAR, 4 * NEAR, FAR),
        ),
    ),
    **_ablations("demo-steps", Images(DEMO, 2, MULTISCALE), 8, max_steps=500),
    **_ablations("demo-seconds", Images(DEMO, 2, MULTISCALE), 8, max_seconds=60.0),
    **_ablations("foliage-steps", Images("demo-foliage", 2, MULTISCALE), 8, max_steps=500),
    **_ablations("foliage-seconds", Images("demo-foliage", 2, MULTISCALE), 8, max_seconds=60.0),
    **_ablations("glossy-steps", Images("demo-glossy", 2, MULTISCALE), 8, max_steps=500),
    **_ablations("glossy-seconds", Images("demo-glossy", 2, MULTISCALE), 8, max_seconds=60.0),
    **_ablations("lego200-steps", Images("lego", 4, MULTISCALE), 8, max_steps=500),
    **_ablations("lego200-seconds", Images("lego", 4, MULTISCALE), 8, max_seconds=60.0),
}  # fmt: skip
"""{name: row}."""
