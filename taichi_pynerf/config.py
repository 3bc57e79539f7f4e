"""Every setting of a model and of its training, in one frozen, checked dataclass."""

import dataclasses
import math
from dataclasses import dataclass

from taichi_pynerf.errors import ConfigError

AUTO = "auto"

_CHOICES = {
    "output_interpolation": ("embedding", "color"),
    "level_interpolation": ("linear", "none"),
    "sampler": ("occupancy", "hierarchical"),
    "background": ("white", "black", "random", AUTO),
}

# What differs from the defaults; "cpu" is tuned on measurements (docs/performance.md).
_PRESETS: dict[str, dict] = {
    "default": {},
    "cpu": {
        "max_resolution": AUTO,
        "cells_per_footprint": 2.0,
        "background": AUTO,
        "hash_table_size": 2**19,
        "hidden_dim": 64,
        "learning_rate": 2e-2,
        "final_learning_rate": 0.1,
        "occupancy_resolution": 96,
        "march_resolution": 256,
        "render_step": 0.5,
        "cone_angle": 1 / 64,
        "occupancy_threshold": 0.025,
        "cull_hidden": 1e-3,
        "early_stop_eps": 1e-3,
        "samples_per_batch": 12288,
        "pyramid_loss_weight": 0.0,
    },
    "gpu": {  # instant-ngp's batch size; not measured yet
        "max_resolution": AUTO,
        "background": AUTO,
        "hash_table_size": 2**19,
        "hidden_dim": 64,
        "learning_rate": 1e-2,
        "occupancy_threshold": 0.01,
        "samples_per_batch": 2**18,
        "pyramid_loss_weight": 0.0,
    },
}

# What an unbounded scene has on top: docs/unbounded.md.
_UNBOUNDED_PRESETS: dict[str, dict] = {
    "default": {},
    "cpu": {
        "learning_rate": 4e-2,
        "occupancy_resolution": 64,
        "occupancy_threshold": 0.1,
        "distortion_loss_weight": 0.02,
        "gradient_distance": 0.5,
    },
    "gpu": {
        "occupancy_threshold": 0.02,
        "distortion_loss_weight": 0.02,
        "gradient_distance": 0.5,
    },
}


@dataclass(frozen=True)
class PyNeRFConfig:
    """Settings of a pyramid field and of its training.

    The defaults are the method's (PyNeRF, arXiv 2312.00252); `PyNeRFConfig.preset("cpu")` and its
    like are tuned for machines. All lengths are in world units, all times in seconds.
    """

    # Pyramid and hash grid: resolutions base_resolution * scale_factor**l, coarsest first.
    num_levels: int = 8
    base_resolution: int = 16
    max_resolution: int | str = 2048  # cells across the scene box; "auto": from the cameras
    scale_factor: float = 2.0
    hash_table_size: int = 2**20  # entries per level at most, a power of two
    features_per_level: int = 4
    share_feature_grid: bool = True  # False: each pyramid level has a grid of its own
    output_interpolation: str = "embedding"  # or "color"
    level_interpolation: str = "linear"  # or "none"
    cells_per_footprint: float = 1.0  # of a pixel's own level, along a side of its footprint
    single_level: bool = False  # one head on the whole grid: the plain baseline

    # Networks
    hidden_dim: int = 128
    num_layers: int = 3  # linear layers of the colour network; density heads have one fewer
    geo_feature_dim: int = 15  # features that a density head hands to the colour network

    # Scene
    aabb: tuple[float, ...] = (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)  # box (min xyz, max xyz)
    unbounded: bool = False  # space outside of the box is contracted into a shell around it
    num_cascades: int = 5  # unbounded: rays are followed to 2^(num_cascades - 1) times the box

    # Sampling
    sampler: str = "occupancy"  # or "hierarchical"
    num_samples: int = 64  # hierarchical: stratified samples per ray
    num_importance: int = 128  # hierarchical: samples drawn from the coarse weights
    march_resolution: int = 1024  # occupancy: steps across the diagonal of the field's cube
    render_step: float = 1.0  # occupancy: rendering's step in training's; 1 for wide pixels
    cone_angle: float = 1 / 256  # unbounded: least step as a share of the distance
    max_samples_per_ray: int = 1024
    occupancy_resolution: int = 128  # cells along each axis
    occupancy_interval: int = 16  # steps between updates
    occupancy_threshold: float = 0.01  # least opacity of one step for a cell to count
    carve: bool = True  # mark cells as empty that fall on see-through pixels in some image
    early_stop_eps: float = 1e-5  # transmittance at which a ray ends
    cull_hidden: float = 0.0  # > 0: train no sample that less than this share of light reaches

    # Training
    batch_size: int = 4096  # rays per step (the first step's, if samples_per_batch is set)
    samples_per_batch: int = 0  # > 0: rays per step adapt to about so many samples
    max_steps: int = 20000
    max_seconds: float = 0.0  # > 0: stop, and decay the learning rate, by training time too
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    final_learning_rate: float = 0.03  # share of the learning rate left at the end
    color_loss_weight: float = 1.0
    pyramid_loss_weight: float = 0.1
    distortion_loss_weight: float = 0.0
    hash_decay: float = 0.0  # weight of the mean square of the table's levels
    gradient_clip: float = 0.0  # > 0: greatest norm of the networks' gradient
    mixed_precision: bool = False  # networks in bfloat16 (CPU) or float16 (CUDA)
    compile: bool = False  # the networks by torch.compile
    # Behind transparent pixels in training: "white", "black", "random"; "auto": by the images
    background: str = "white"
    pose_learning_rate: float = 0.0  # > 0: correct the cameras' poses too, in radians and box sizes
    gradient_distance: float = 0.0  # > 0: nearer than this, in box sizes, less is learned
    val_interval: int = 500  # steps between validations; 0: none
    checkpoint_interval: float = 300.0  # seconds between checkpoints; 0: only at the end
    seed: int = 0

    def __post_init__(self):
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}: choose one of {', '.join(choices)}"
                )
        for name in (
            "share_feature_grid single_level unbounded carve mixed_precision compile"
        ).split():
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is {getattr(self, name)!r}: it must be True or False")
        for name in ("num_levels base_resolution hash_table_size features_per_level hidden_dim "
                     "num_samples march_resolution max_samples_per_ray occupancy_resolution "
                     "occupancy_interval batch_size max_steps").split():  # fmt: skip
            self._check(name, int, lambda v: v >= 1, "a whole number from 1 on")
        for (
            name
        ) in "num_importance geo_feature_dim samples_per_batch warmup_steps val_interval".split():
            self._check(name, int, lambda v: v >= 0, "a whole number from 0 on")
        for name in ("color_loss_weight pyramid_loss_weight distortion_loss_weight hash_decay "
                     "gradient_clip max_seconds checkpoint_interval "
                     "gradient_distance pose_learning_rate").split():  # fmt: skip
            self._check(name, (int, float), lambda v: v >= 0, "a number from 0 on")
        self._check("num_levels", int, lambda v: v <= 255, "a whole number up to 255")
        self._check("num_levels", int, lambda v: 1 <= v <= 64, "a whole number from 1 to 64")
        self._check("occupancy_resolution", int, lambda v: 1 <= v <= 512, "from 1 to 512")
        self._check("num_layers", int, lambda v: v >= 2, "a whole number from 2 on")
        self._check("learning_rate", (int, float), lambda v: v > 0, "a positive number")
        self._check("cells_per_footprint", (int, float), lambda v: v > 0, "a positive number")
        self._check("final_learning_rate", (int, float), lambda v: 0 < v <= 1, "in (0, 1]")
        self._check("scale_factor", (int, float), lambda v: v > 1, "a number above 1")
        if self.num_levels > 1 and self.base_resolution * (self.scale_factor - 1) < 1:
            raise ConfigError(
                f"scale_factor is {self.scale_factor}: from base_resolution {self.base_resolution} "
                f"it must be at least {1 + 1 / self.base_resolution:g} to give a new resolution"
            )
        self._check("num_cascades", int, lambda v: 1 <= v <= 16, "a whole number from 1 to 16")
        if self.unbounded and self.occupancy_resolution % 4:
            raise ConfigError(
                f"occupancy_resolution is {self.occupancy_resolution}: for an unbounded scene it "
                "must be a multiple of 4"
            )
        self._check("cone_angle", (int, float), lambda v: 0 <= v < 1, "in [0, 1)")
        self._check("cull_hidden", (int, float), lambda v: 0 <= v < 1, "in [0, 1)")
        self._check("render_step", (int, float), lambda v: 0 < v <= 1, "in (0, 1]")
        self._check("early_stop_eps", (int, float), lambda v: 0 <= v < 1, "in [0, 1)")
        self._check("occupancy_threshold", (int, float), lambda v: 0 <= v < 1, "in [0, 1)")
        self._check("seed", int, lambda v: 0 <= v < 2**63, "a whole number from 0 on")
        self._check(
            "hash_table_size", int, lambda v: 8 <= v <= 2**26 and v & (v - 1) == 0,
            "a power of two from 8 to 2**26",
        )  # fmt: skip
        if self.max_resolution != AUTO:
            self._check(
                "max_resolution", int, lambda v: v >= self.base_resolution,
                f'"auto" or a whole number from base_resolution ({self.base_resolution}) on',
            )  # fmt: skip
        self._check_aabb()

    def _check(self, name, types, holds, wanted):
        value = getattr(self, name)
        if not (_is_number(value, types) and holds(value)):
            raise ConfigError(f"{name} is {value!r}: it must be {wanted}")

    def _check_aabb(self):
        box = tuple(self.aabb) if isinstance(self.aabb, (tuple, list)) else ()
        good = len(box) == 6 and all(_is_number(v, (int, float)) for v in box)
        if not good or any(high <= low for low, high in zip(box[:3], box[3:], strict=True)):
            raise ConfigError(f"aabb is {self.aabb!r}: it must be min x y z, max x y z")
        object.__setattr__(self, "aabb", tuple(map(float, box)))

    @classmethod
    def preset(cls, name: str, **overrides) -> "PyNeRFConfig":
        """The named preset, with settings of one's own on top.

        With `unbounded=True` among these it is the one for unbounded scenes.

        Raises:
            ConfigError: an unknown preset or setting, or a bad value.
        """
        if name not in _PRESETS:
            raise ConfigError(f"unknown preset {name!r}: choose one of {', '.join(_PRESETS)}")
        unbounded = _UNBOUNDED_PRESETS[name] if overrides.get("unbounded") is True else {}
        return cls.from_dict({**_PRESETS[name], **unbounded, **overrides})

    def replace(self, **changes) -> "PyNeRFConfig":
        """A copy with some settings changed, checked anew."""
        return self.from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict:
        """Plain values only, as a checkpoint or a JSON file holds them."""
        values = dataclasses.asdict(self)
        values["aabb"] = list(self.aabb)
        return values

    @classmethod
    def from_dict(cls, values: dict) -> "PyNeRFConfig":
        """The inverse of `to_dict`.

        Raises:
            ConfigError: an unknown setting or a bad value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"unknown settings: {', '.join(unknown)}")
        return cls(**values)


def _is_number(value, types) -> bool:
    """Whether a value is of the types, no flag, and finite as a float."""
    if not isinstance(value, types) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


PRESETS = tuple(_PRESETS)
