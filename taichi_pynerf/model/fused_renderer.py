"""Rendering a model's rays in one kernel, for the models that the kernel covers."""

import torch

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.field import PyramidField
from taichi_pynerf.model.occupancy import OccupancyGrid, TrainedLevels
from taichi_pynerf.model.pyramid import level_knots
from taichi_pynerf.ops.fused_render import (
    FusedSpec,
    PackedNetworks,
    fused_render,
    linear_layers,
    pack_networks,
)
from taichi_pynerf.ops.ray_march import block_size


def reason_against_fusing(config: PyNeRFConfig) -> str | None:
    """The part of a model that the kernel does not cover, in words; None if it covers all."""
    if config.sampler != "occupancy":
        return f"the {config.sampler} sampler"
    if config.unbounded:
        return "unbounded scenes"
    if not config.share_feature_grid:
        return "a feature grid per level"
    return None


class FusedRenderer:
    """Renders rays of a bounded scene with a shared feature grid through `ops.fused_render`.

    Args:
        config, field, occupancy, trained_levels, box: the parts of the model. Later changes by
            training are picked up.

    Raises:
        ValueError: the kernel does not cover this configuration, see `reason_against_fusing`.
    """

    def __init__(
        self,
        config: PyNeRFConfig,
        field: PyramidField,
        occupancy: OccupancyGrid,
        trained_levels: TrainedLevels,
        box: SceneBox,
    ):
        reason = reason_against_fusing(config)
        if reason is not None:
            raise ValueError(f"the fused kernel does not cover {reason}")
        self.field, self.occupancy, self.trained_levels = field, occupancy, trained_levels
        self.box, self.early_stop_eps = box, config.early_stop_eps
        self.level_size = box.size * config.cells_per_footprint
        self.encoder = field.shared_encoder
        resolutions = field.resolutions if field.num_heads > 1 else field.resolutions[-1:]
        self.knots = torch.tensor(level_knots(resolutions))
        # The finest head is the widest.
        heads, colors = linear_layers(field.heads[-1]), linear_layers(field.color_heads[0])
        self.spec = FusedSpec(
            grid=self.encoder.spec,
            num_heads=field.num_heads,
            num_outputs=heads[-1].out_features,
            head_layers=len(heads),
            color_layers=len(colors),
            widest=max(max(x.in_features, x.out_features) for x in (*heads, *colors)),
            blend_colors=config.output_interpolation == "color",
            linear=config.level_interpolation == "linear" and field.num_heads > 1,
            occupancy_resolution=occupancy.resolution,
            block=block_size(1, occupancy.resolution),
            levels_resolution=trained_levels.resolution,
        )
        self._packed: PackedNetworks | None = None

    def sums(self, rays: Rays, step_size: float, level: float | None = None) -> torch.Tensor:
        """Weighted sums [N, 6] along rays: rgb, opacity, distance, level.

        Args:
            rays: N rays.
            step_size: length of a step, world units.
            level: a fixed pyramid level instead of each sample's own.
        """
        origins, dirs, ends = self.box.enter(rays)
        return fused_render(
            self.spec,
            origins,
            dirs,
            rays.rays_d,
            rays.pixel_areas,
            ends,
            self._networks(),
            self.encoder.table,
            self.occupancy.occupied,
            self.occupancy.blocks,
            self.trained_levels.level_min,
            self.trained_levels.level_max,
            self.knots.to(rays.rays_o.device),
            self.level_size,
            step_size,
            self.early_stop_eps,
            level,
        )

    def _networks(self) -> PackedNetworks:
        """The networks' matrices; those that are on the device already, if they are the same.

        Their values are compared: torch's fused Adam changes them without counting a version.
        """
        packed = pack_networks(self.field.heads, self.field.color_heads)
        if self._packed is None or not torch.equal(packed.weights, self._packed.weights):
            self._packed = packed
        return self._packed
