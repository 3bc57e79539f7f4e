"""Every setting of a model and of its training, in one frozen, checked dataclass."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.presets import AUTO, PRESETS, UNBOUNDED_PRESETS
from taichi_pynerf.settings import Group, check, is_numbers, with_attributes

UNLIMITED_STEPS = 10**6
"""Greatest number of steps of a training that ends by its seconds."""

_grid = Group("Pyramid and hash grid")
_networks = Group("Networks")
_scene = Group("Scene")
_sampling = Group("Sampling")
_training = Group("Training")
_losses = Group("Losses")
_run = Group("Run")


@with_attributes
@dataclass(frozen=True)
class PyNeRFConfig:
    """Settings of a pyramid field and of its training.

    The defaults are the method's (PyNeRF, arXiv 2312.00252). `PyNeRFConfig.preset("cpu")` and the
    other presets are tuned for machines. All lengths are in world units, all times in seconds. The
    grid's resolutions are base_resolution * scale_factor**l, coarsest first.

    Raises:
        ConfigError: a value is not allowed, or does not fit another.
    """

    num_levels: int = _grid.whole(8, "number of pyramid levels", 1, 64)
    base_resolution: int = _grid.whole(16, "cells across the scene box at the coarsest level", 1)
    max_resolution: int | str = _grid.whole(
        2048,
        "cells across the scene box at most, at the finest level; auto fits it to the cameras",
        1,
        or_text=AUTO,
    )
    scale_factor: float = _grid.number(2.0, "ratio of the resolutions of two levels", above=1)
    hash_table_size: int = _grid.whole(
        2**20, "entries of a level at most", 8, 2**26, power_of_two=True
    )
    features_per_level: int = _grid.whole(4, "features of an entry", 1)
    share_feature_grid: bool = _grid.flag(True, "one grid for all pyramid levels, not one for each")
    output_interpolation: str = _grid.choice(
        "embedding",
        "values of two levels that are blended: the heads' outputs, or densities and colours",
        "embedding",
        "color",
    )
    level_interpolation: str = _grid.choice(
        "linear", "blend of the two levels around a footprint, or the nearer one", "linear", "none"
    )
    cells_per_footprint: float = _grid.number(
        1.0, "cells of a pixel's own level along a side of its footprint", above=0
    )
    single_level: bool = _grid.flag(
        False, "one head on the whole grid: a plain hash-grid field, the baseline"
    )

    hidden_dim: int = _networks.whole(128, "width of the networks' hidden layers", 1)
    num_layers: int = _networks.whole(
        3, "linear layers of the colour network; density heads have one fewer", 2
    )
    geo_feature_dim: int = _networks.whole(
        15, "features that a density head passes to the colour network"
    )
    initial_networks: str = _networks.choice(
        "random",
        "weights that the networks begin with: random, learned on scenes of the demo, or (auto) "
        "learned where there are some of their shapes, and random elsewhere",
        "random",
        "learned",
        "auto",
    )
    mixed_precision: bool = _networks.flag(
        False, "networks in bfloat16; on CUDA from compute capability 8.0 on"
    )
    compile: bool = _networks.flag(False, "networks compiled by torch.compile")

    aabb: tuple[float, ...] = _scene.of(
        (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5),
        "scene box, world units",
        "min x y z, max x y z",
        lambda box: (
            is_numbers(box, 6) and all(a < b for a, b in zip(box[:3], box[3:], strict=True))
        ),
        of_scene=True,
    )
    unbounded: bool = _scene.flag(
        False, "space outside of the box contracted into a shell around it", of_scene=True
    )
    num_cascades: int = _scene.whole(
        5,
        "cascades of the occupancy grid of an unbounded scene; each doubles the box; the programs "
        "take it from the scene, whatever is given",
        1,
        16,
    )

    sampler: str = _sampling.choice(
        "occupancy",
        "where samples are taken along rays",
        "occupancy",
        "hierarchical",
        "proposal",
    )
    num_samples: int = _sampling.whole(64, "stratified samples of a ray (hierarchical)", 1)
    num_importance: int = _sampling.whole(
        128, "samples of a ray drawn from the coarse weights (hierarchical)"
    )
    proposal_rounds: int = _sampling.whole(
        2, "rounds in which the small field is evaluated along a ray (proposal)", 1, 8
    )
    proposal_samples: int = _sampling.whole(
        24, "samples of a ray in each round of the small field (proposal)", 2, 1024
    )
    proposal_interval: int = _sampling.whole(
        4, "steps of which one teaches the small field, but at first all do (proposal)", 1
    )
    proposal_resolution: int = _sampling.whole(
        512, "cells of the small field's finest level along each axis (proposal)", 64, 4096
    )
    fine_samples: int = _sampling.whole(
        16, "samples of a ray in the pyramid field (proposal)", 2, 1024
    )
    march_resolution: int = _sampling.whole(
        1024, "steps across the diagonal of the field's cube (occupancy)", 1
    )
    render_step: float = _sampling.number(
        1.0,
        "step of rendering as a share of training's; 1 for wide pixels (occupancy, proposal)",
        above=0,
        at_most=1,
    )
    cone_angle: float = _sampling.number(
        1 / 256, "least step as a share of the distance (unbounded scenes)", below=1
    )
    max_samples_per_ray: int = _sampling.whole(
        1024, "samples of a ray at most, in training (occupancy)", 1
    )
    occupancy_resolution: int = _sampling.whole(
        128, "cells of the occupancy grid along each axis", 1, 512
    )
    occupancy_interval: int = _sampling.whole(16, "steps between updates of the grid", 1)
    occupancy_threshold: float = _sampling.number(
        0.01, "least opacity of one step in a cell that counts as occupied", below=1
    )
    carve: bool = _sampling.flag(
        True,
        "cells that fall on transparent pixels in some image are empty from the start (occupancy)",
    )
    early_stop_eps: float = _sampling.number(1e-5, "transmittance at which a ray ends", below=1)
    cull_hidden: float = _sampling.number(
        0.0,
        "share of the light that must reach a sample for it to be trained (occupancy, "
        "hierarchical); 0: none",
        below=1,
    )
    thin_below: float = _sampling.number(
        0.0,
        "weight below which some samples are trained in place of all (occupancy); 0: all are",
        below=1,
    )

    batch_size: int = _training.whole(
        4096, "rays of a step; of the first alone if samples_per_batch is set", 1
    )
    samples_per_batch: int = _training.whole(
        0, "samples of a step, to which its number of rays adapts; 0: batch_size rays"
    )
    contrast_share: float = _training.number(
        0.0,
        "part of a pixel's probability to be drawn that follows its contrast with its neighbours",
        below=1,
    )
    max_steps: int = _training.whole(20000, "steps of training at most", 1)
    max_seconds: float = _training.number(
        0.0, "seconds of training at most, over which the learning rate decays too; 0: no limit"
    )
    learning_rate: float = _training.number(1e-3, "greatest learning rate", above=0)
    warmup_steps: int = _training.whole(50, "steps over which the learning rate rises")
    final_learning_rate: float = _training.number(
        0.03, "share of the learning rate that is left at the end", above=0, at_most=1
    )
    average_weights: float = _training.number(
        0.0, "part of the training, at its end, whose mean weights are the result", at_most=1
    )
    gradient_clip: float = _training.number(
        0.0, "greatest norm of the networks' gradient; 0: no limit"
    )
    skip_bad_steps: int = _training.whole(
        0, "steps with NaN or infinity that are left out; one more ends the training"
    )
    background: str = _training.choice(
        "white",
        "colour behind transparent pixels in training; auto: as the images need it",
        "white",
        "black",
        "random",
        AUTO,
    )
    pose_learning_rate: float = _training.number(
        0.0, "rate at which camera poses are corrected, radians and box sizes; 0: poses are kept"
    )
    color_correction: str = _training.choice(
        "none",
        "correction of each photograph's exposure and white balance; affine: a learned map of its "
        "own; auto: affine where they differ",
        "none",
        "affine",
        AUTO,
    )
    gradient_distance: float = _training.number(
        0.0, "distance from a camera below which gradients are reduced, box sizes; 0: nowhere"
    )
    seed: int = _training.whole(0, "seed of all randomness", 0, 2**63 - 1)

    color_loss_weight: float = _losses.number(1.0, "weight of the squared colour error")
    structure_loss_weight: float = _losses.number(
        0.0, "weight of 1 - SSIM of pixels that were drawn together (S3IM)"
    )
    pyramid_loss_weight: float = _losses.number(
        0.1, "weight of the difference between adjacent heads of a sample"
    )
    distortion_loss_weight: float = _losses.number(
        0.0, "weight of the distortion loss, which gathers a ray's weights in one place"
    )
    depth_loss_weight: float = _losses.number(
        0.0, "weight of the depth loss, where the scene has depths"
    )
    depth_loss: str = _losses.choice(
        "urban",
        "form of the depth loss: urban compares where light comes from, l1 mean distances",
        "urban",
        "l1",
    )
    sparse_depth_weight: float = _losses.number(
        0.0, "weight of the depth loss at sparse points, where the scene says who sees them"
    )
    sparse_depth_share: float = _losses.number(
        0.15, "share of a step's pixels that show sparse points, when training begins", below=1
    )
    opacity_loss_weight: float = _losses.number(
        0.0, "weight of the squared difference of opacity from the photographs' alpha"
    )
    weight_decay: float = _losses.number(
        0.0, "weight of the mean square of the networks' weights (L2 regularisation)"
    )
    hash_decay: float = _losses.number(
        0.0, "weight of the mean square of the table's entries, level by level"
    )

    data_device: str = _run.choice(
        "auto",
        "where the pixels of training images are kept: on the model's device, or in main memory; "
        "auto: on the device, if they take no more than half of its free memory",
        "auto",
        "cpu",
        "cuda",
    )
    val_interval: int = _run.whole(500, "steps between validations; 0: none")
    checkpoint_interval: float = _run.number(
        300.0, "seconds between checkpoints; 0: only at the end"
    )

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "aabb", tuple(map(float, self.aabb)))
        if self.num_levels > 1 and self.base_resolution * (self.scale_factor - 1) < 1:
            raise ConfigError(
                f"scale_factor is {self.scale_factor}: from base_resolution {self.base_resolution} "
                f"it must be at least {1 + 1 / self.base_resolution:g} to give a new resolution"
            )
        if isinstance(self.max_resolution, int) and self.max_resolution < self.base_resolution:
            raise ConfigError(
                f'max_resolution is {self.max_resolution}: it must be "{AUTO}" or a whole number '
                f"from base_resolution ({self.base_resolution}) on"
            )
        if self.unbounded and self.occupancy_resolution % 4:
            raise ConfigError(
                f"occupancy_resolution is {self.occupancy_resolution}: for an unbounded scene it "
                "must be a multiple of 4"
            )

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> "PyNeRFConfig":
        """The named preset, with the caller's settings on top.

        With `unbounded=True` among these it is the preset for unbounded scenes.

        Raises:
            ConfigError: an unknown preset or setting, or a bad value.
        """
        if name not in PRESETS:
            raise ConfigError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
        unbounded = UNBOUNDED_PRESETS[name] if overrides.get("unbounded") is True else {}
        return cls.from_dict({**PRESETS[name], **unbounded, **overrides})

    def replace(self, **changes: Any) -> "PyNeRFConfig":
        """A copy with some settings changed, and checked again."""
        return self.from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, as a checkpoint or a JSON file holds them."""
        values = dataclasses.asdict(self)
        values["aabb"] = list(self.aabb)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PyNeRFConfig":
        """The inverse of `to_dict`.

        Raises:
            ConfigError: an unknown setting or a bad value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"unknown settings: {', '.join(unknown)}")
        return cls(**values)
