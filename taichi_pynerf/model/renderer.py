"""From rays to pixels: sample, evaluate the field, composite."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from taichi_pynerf import runtime
from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.geometry.constants import constant
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.field import PyramidField
from taichi_pynerf.model.field_values import FieldOutputs, KnownFeatures
from taichi_pynerf.model.fused_renderer import FusedRenderer, reason_against_fusing
from taichi_pynerf.model.occupancy import OccupancyGrid, TrainedLevels, trained_density
from taichi_pynerf.model.proposals import (
    EXPLORE,
    ProposalNetwork,
    Proposed,
    explore_share,
    learns,
    propose,
)
from taichi_pynerf.model.pyramid import level_knots
from taichi_pynerf.model.ray_rounds import SAMPLES_PER_RAY, RayChunks, RayRounds
from taichi_pynerf.model.renders import LEAST_SEEN, Rendered, TrainingRender
from taichi_pynerf.model.samples import (
    SAMPLES_AT_ONCE,
    density_for_all,
    draws_per_ray,
    hierarchical_samples,
    keep_samples,
    pack,
    samples_per_ray,
    samples_to_train,
    with_less_gradient_near_cameras,
)
from taichi_pynerf.ops.compositing import composite, transmittance
from taichi_pynerf.ops.placement import place_samples
from taichi_pynerf.ops.ray_march import Samples, march_rays

RAYS_AT_ONCE = 2**16  # greatest number of rays under way in rendering
ROUNDING = 5e-6  # error of an opacity summed in float32
UNSEEN = 0.1  # a sample needs no colour if its weight is below this share of `early_stop_eps`
WIDE_PIXEL = 2.0  # width, in training's steps, of a pixel that shows nothing of finer steps


class PyramidRenderer:
    """Renders a pyramid field with the sampler that the configuration names.

    "occupancy" marches through the occupancy grid. "hierarchical" takes `num_samples` stratified
    samples per ray and `num_importance` more where these found weight (NeRF, section 5.2).
    "proposal" lets a small field say where its `fine_samples` should fall (`proposals.py`).

    Args:
        config, field, occupancy, trained_levels: the parts of the model.
        proposals: the small field, for the sampler "proposal".
        fused: render in one kernel with the networks inside (`FusedRenderer`), instead of packed
            samples and torch's networks. The default: where this keeps rays on a graphics card that
            torch cannot use, and the kernel covers the model. On a processor it is slower.
        step_scale: factor for the length of all steps.

    Raises:
        ValueError: `fused` is true, and the kernel does not cover the model; or `step_scale` is
            not positive.
    """

    def __init__(
        self,
        config: PyNeRFConfig,
        field: PyramidField,
        occupancy: OccupancyGrid,
        trained_levels: TrainedLevels,
        fused: bool | None = None,
        step_scale: float = 1.0,
        proposals: ProposalNetwork | None = None,
    ):
        if not step_scale > 0:
            raise ValueError(f"step_scale must be positive, got {step_scale}")
        self.config = config
        self.field = field
        self.proposals = proposals
        self.occupancy = occupancy
        self.trained_levels = trained_levels
        self.box = SceneBox(config.aabb, config.unbounded, occupancy.num_cascades)
        diagonal = math.sqrt(3) * self.box.field_size
        self.step_size = step_scale * diagonal / config.march_resolution
        self.cone_angle = step_scale * config.cone_angle if config.unbounded else 0.0
        # More cells per footprint are the same as a larger box: footprints get finer levels.
        self.level_size = self.box.field_size * config.cells_per_footprint
        several = field.num_heads > 1
        self.level_knots = tuple(level_knots(field.resolutions)) if several else (0.0,)
        if fused is None:
            fused = runtime.on_vulkan_gpu() and reason_against_fusing(config) is None
        parts = config, field, occupancy, trained_levels, self.box
        self.fused = FusedRenderer(*parts) if fused else None

    @property
    def density_thresholds(self) -> list[float]:
        """Per cascade, the density at which a step has the opacity `config.occupancy_threshold`."""
        opacity, steps = self.config.occupancy_threshold, (self.step_size, self.cone_angle)
        return self.occupancy.thresholds(opacity, self.box.size, *steps)

    # ---- training -------------------------------------------------------------------------

    def train_rays(
        self, rays: Rays, generator: torch.Generator, progress: float = 1.0, step: int = -1
    ) -> TrainingRender:
        """One differentiable pass: all samples of all rays at once.

        Gradients reach the field, and the rays through positions and view directions. Distances of
        samples along a ray count as constants.

        Args:
            generator: jitters the samples.
            progress: share of the training that is done: at first proposals have less of a say.
            step: number of the step: proposals learn in some of them.
        """
        config, proposed = self.config, None
        offsets = None  # of the choice among samples that hardly count
        if config.sampler == "proposal":
            how = explore_share(progress), learns(config, step, progress)
            samples, proposed = self._proposed(rays, generator, *how)
        elif config.sampler == "occupancy":
            shape = len(rays), draws_per_ray(config)
            drawn = torch.rand(shape, generator=generator, device=rays.rays_o.device)
            samples, _ = self._march(rays, drawn[:, 0], config.max_samples_per_ray)
            offsets = drawn[:, 1] if config.thin_below else None
        else:
            samples = self._hierarchical(rays, generator)
        positions, levels = self._place(rays, samples)
        known = shares = None
        # Proposed samples are not hidden, and few of them have no weight.
        if proposed is None and (config.cull_hidden or offsets is not None):
            kept, shares, known = samples_to_train(
                self.field, samples, positions, levels, config.cull_hidden,
                config.thin_below, offsets,
            )  # fmt: skip
            samples = keep_samples(samples, kept)
            positions, levels = positions.index_select(0, kept), levels.index_select(0, kept)
        self.trained_levels.record(positions.detach(), levels)
        out = self._ask(rays, samples, positions, levels, known)
        if config.gradient_distance > 0:
            distance = config.gradient_distance * self.box.size
            out = with_less_gradient_near_cameras(out, samples, distance)
        sigmas = out.sigmas if shares is None else density_for_all(out.sigmas, shares, samples)
        pixels = composite(
            sigmas, out.rgbs, samples.t_starts, samples.t_ends, samples.packed_info,
            config.early_stop_eps,
        )  # fmt: skip
        depth = pixels.depth / pixels.acc.clamp_min(LEAST_SEEN)
        sums = pixels.rgb, depth, pixels.acc, pixels.weights
        return TrainingRender(*sums, samples, positions, levels, out, proposed)

    @torch.no_grad()
    def update_occupancy(self, generator: torch.Generator) -> None:
        """Measure the field again in some cells of the occupancy grid."""
        density = partial(trained_density, self.field, self.box, self.trained_levels, generator)
        self.occupancy.update(density, self.density_thresholds, generator)

    # ---- rendering ------------------------------------------------------------------------

    @torch.no_grad()
    def render_rays(
        self,
        rays: Rays,
        level: float | None = None,
        at_once: int = RAYS_AT_ONCE,
        on_rays: Callable[[int], object] | None = None,
    ) -> Rendered:
        """Render rays without gradients, ending each ray where it is opaque.

        Args:
            rays: N rays; N may be 0.
            level: a fixed pyramid level instead of each sample's own.
            at_once: greatest number of rays at a time; memory grows with it.
            on_rays: called with the number of rays finished since the last call.
        """
        work, told = self.begin(rays, level, at_once), 0
        while not work.finished:
            work.advance()
            if on_rays is not None:
                on_rays(work.num_ended - told)
                told = work.num_ended
        return Rendered.of(work.sums)

    @torch.no_grad()
    def begin(
        self, rays: Rays, level: float | None = None, at_once: int = RAYS_AT_ONCE
    ) -> RayRounds | RayChunks:
        """Begin a rendering in pieces; arguments as in `render_rays`."""
        if self.config.sampler != "occupancy":
            at_once = min(SAMPLES_PER_RAY * at_once, SAMPLES_AT_ONCE)
            at_once = max(1, at_once // samples_per_ray(self.config))
            if self.config.sampler == "hierarchical":
                return RayChunks(rays, partial(self._hierarchical_sums, level=level), at_once)
            one_step = partial(self._proposed_sums, level=level)
            return RayChunks(rays, partial(self._sums_by_step, sums_of=one_step), at_once)
        if self.fused is not None:
            one_step = partial(self._fused_sums, level=level)
            return RayChunks(rays, partial(self._sums_by_step, sums_of=one_step), at_once)
        march_on = partial(self._march_on, level=level)
        return RayRounds(
            rays, self._render_steps(rays), march_on, at_once, self.config.max_samples_per_ray
        )

    def _render_steps(self, rays: Rays) -> torch.Tensor | float:
        """[N] step lengths of rendering in those of training, or one of all rays."""
        if self.config.render_step == 1:
            return 1.0
        steps = torch.full_like(rays.pixel_areas, self.config.render_step)
        return steps.masked_fill_(self.are_wide(rays), 1)

    def are_wide(self, rays: Rays) -> torch.Tensor:
        """bool [N]: rays with pixels so wide that training's steps are fine enough for them."""
        return self.box.pixel_widths(rays) >= WIDE_PIXEL * self.step_size

    @torch.no_grad()
    def _march_on(
        self,
        rays: Rays,
        jitter: torch.Tensor,
        step: float,
        max_samples: int,
        light: torch.Tensor,
        level: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A round of `RayRounds`."""
        samples, t_next = self._march(rays, jitter, max_samples, step)
        sums = self._sums(rays, samples, level, light)
        # Rounding may leave a little light to an opaque ray, which must end nevertheless.
        eps = self.config.early_stop_eps
        goes_on = samples.packed_info[:, 1] == max_samples
        return sums, t_next, goes_on & (light - sums[:, 3] > eps + min(eps, ROUNDING))

    def _hierarchical_sums(self, rays: Rays, level: float | None) -> torch.Tensor:
        return self._sums(rays, self._hierarchical(rays, None, True, level), level)

    def _proposed_sums(self, rays: Rays, step: float, level: float | None) -> torch.Tensor:
        return self._sums(rays, self._proposed(rays, None, EXPLORE, False, step)[0], level)

    def _fused_sums(self, rays: Rays, step: float, level: float | None) -> torch.Tensor:
        assert self.fused is not None
        return self.fused.sums(rays, step * self.step_size, level)

    @torch.no_grad()
    def _sums_by_step(
        self, rays: Rays, sums_of: Callable[[Rays, float], torch.Tensor]
    ) -> torch.Tensor:
        """Sums [N, 6] from those of rays of one step length, a share of training's."""
        if self.config.render_step == 1:
            return sums_of(rays, 1.0)
        wide = self.are_wide(rays)
        num_narrow = len(rays) - int(wide.sum())  # the one wait for a device
        order = wide.to(torch.uint8).argsort(stable=True)
        sums = torch.zeros(len(rays), 6, device=rays.rays_o.device)
        parts = (order[:num_narrow], self.config.render_step), (order[num_narrow:], 1.0)
        for index, step in parts:
            if len(index):
                sums[index] = sums_of(rays[index], step)
        return sums

    def _levels_to_render(
        self, positions: torch.Tensor, levels: torch.Tensor, level: float | None
    ) -> torch.Tensor:
        if level is not None:
            return torch.full_like(levels, float(level))
        return self.trained_levels.clamp(positions, levels)

    def _sums(
        self,
        rays: Rays,
        samples: Samples,
        level: float | None,
        trans: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[N, 6] weighted sums along rays: rgb, opacity, distance, level."""
        positions, levels = self._place(rays, samples)
        levels = self._levels_to_render(positions, levels, level)
        # On other devices the colours of all samples come sooner than word of which are seen.
        if self.config.output_interpolation == "embedding" and positions.device.type == "cpu":
            sigmas, rgbs = self._ask_visible(rays, samples, positions, levels, trans)
        else:
            out = self._ask(rays, samples, positions, levels)
            sigmas, rgbs = out.sigmas, out.rgbs
        pixels = composite(
            sigmas, rgbs, samples.t_starts, samples.t_ends, samples.packed_info,
            self.config.early_stop_eps, initial_trans=trans,
        )  # fmt: skip
        mean_level = torch.zeros_like(pixels.acc)
        mean_level.index_add_(0, samples.ray_indices, pixels.weights * levels)
        columns = (x.unsqueeze(-1) for x in (pixels.acc, pixels.depth, mean_level))
        return torch.cat([pixels.rgb, *columns], 1)

    def _ask_visible(
        self,
        rays: Rays,
        samples: Samples,
        positions: torch.Tensor,
        levels: torch.Tensor,
        trans: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Densities [M], and colours [M, 3], black where they would not be seen."""
        codes = self.field.codes(positions, levels)
        eps = self.config.early_stop_eps
        light = transmittance(
            codes.sigmas, samples.t_starts, samples.t_ends, samples.packed_info, eps, trans
        )
        weights = torch.expm1((samples.t_starts - samples.t_ends).mul_(codes.sigmas))
        weights.mul_(light).neg_()
        seen = (weights >= UNSEEN * eps) & (light >= eps)
        seen = seen.nonzero().squeeze(-1)
        dirs = rays.rays_d.index_select(0, samples.ray_indices.index_select(0, seen))
        rgbs = torch.zeros_like(positions)
        rgbs[seen] = self.field.colors(codes, seen, dirs)
        return codes.sigmas, rgbs

    # ---- shared ---------------------------------------------------------------------------

    def _march(
        self, rays: Rays, jitter: torch.Tensor, max_samples: int, step: float = 1.0
    ) -> tuple[Samples, torch.Tensor]:
        origins, dirs, ends = self.box.enter(rays)
        return march_rays(
            origins,
            dirs,
            jitter,
            ends,
            self.occupancy.occupied,
            step * self.step_size,
            step * self.cone_angle,
            max_samples=max_samples,
            blocks=self.occupancy.blocks,
        )

    def _hierarchical(
        self,
        rays: Rays,
        generator: torch.Generator | None = None,
        render: bool = False,
        level: float | None = None,
    ) -> Samples:
        def density(samples: Samples, t: torch.Tensor) -> torch.Tensor:
            positions, levels = self._place(rays, samples, t)
            levels = self._levels_to_render(positions, levels, level) if render else levels
            return self.field.density(positions, levels)

        return hierarchical_samples(rays, self.box, self.config, density, generator)

    def _proposed(self, rays: Rays, *how: Any) -> tuple[Samples, Proposed]:
        """Samples where the small field asks for them; `how` as in `propose`."""
        assert self.proposals is not None  # the sampler "proposal" has them
        ruled_out = self.field.ruled_out
        proposed = propose(self.proposals, self.box, rays, self.config, *how, ruled_out=ruled_out)
        return pack(self.box.from_spacing(proposed.borders)), proposed

    def _place(
        self, rays: Rays, samples: Samples, t: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Field positions [M, 3] and pyramid levels [M] of samples, at interval middles or `t`."""
        if t is not None:
            samples = samples._replace(t_starts=t, t_ends=t)
        positions, levels = place_samples(
            rays.rays_o, rays.rays_d, rays.pixel_areas, samples, self.box.center, self.box.size,
            self.box.unbounded, self.level_size, constant(self.level_knots, rays.rays_o),
        )  # fmt: skip
        if rays.rays_o.requires_grad or rays.rays_d.requires_grad:
            positions = self._positions(rays, samples)
        return positions, levels

    def _positions(self, rays: Rays, samples: Samples) -> torch.Tensor:
        """The positions of `_place`, differentiable in the rays."""
        t = ((samples.t_starts + samples.t_ends) / 2).detach()
        origins = self.box.to_unit(rays.rays_o).index_select(0, samples.ray_indices)
        dirs = self.box.direction_to_unit(rays.rays_d).index_select(0, samples.ray_indices)
        positions = torch.addcmul(origins, dirs, t.unsqueeze(-1))
        return self.box.unit_to_field(positions) if self.box.unbounded else positions.clamp_(0, 1)

    def _ask(
        self,
        rays: Rays,
        samples: Samples,
        positions: torch.Tensor,
        levels: torch.Tensor,
        known: KnownFeatures | None = None,
    ) -> FieldOutputs:
        dirs = rays.rays_d.index_select(0, samples.ray_indices)
        return self.field(positions, dirs, levels, known)
