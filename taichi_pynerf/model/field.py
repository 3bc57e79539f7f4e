"""The pyramid field: position, direction and level in, density and colour out."""

import functools
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.geometry.ruled_out import RuledOut
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.encodings import PyramidEncoder
from taichi_pynerf.model.field_pass import LARGEST_LOGIT, field_pass, head_codes
from taichi_pynerf.model.field_values import FieldCodes, FieldOutputs, KnownFeatures
from taichi_pynerf.model.heads import (
    TILE,
    LevelSlices,
    begin_alike,
    begin_learned,
    blend_heads,
    blend_slices,
    feature_slices,
    first_output,
    inverse,
    mlp,
    run_in_blocks,
    slice_by_level,
    tiled_codes,
    unsort,
)
from taichi_pynerf.model.pyramid import split_level
from taichi_pynerf.ops.level_tiles import LevelTiles, activate, level_tiles
from taichi_pynerf.ops.spherical_harmonics import NUM_COEFFICIENTS, spherical_harmonics

# Type of the networks in mixed precision. In float16 the gradients of a mean over thousands of rays
# underflow: for a fresh model those of the heads and tables are all rounded to 0.
NETWORK_DTYPE = torch.bfloat16


class PyramidField(nn.Module):
    """A hash grid, one density head per pyramid level, and a colour network (PyNeRF, section 3).

    Head `l` sees only grid features of resolution N_l and coarser. A sample evaluates the two heads
    around its level and blends them: either their outputs before the activations, followed by one
    colour network ("embedding"), or the densities and colours of per-level colour networks
    ("color").

    With `config.single_level` there is a single head on the whole grid: a plain hash-grid field.
    """

    def __init__(self, config: PyNeRFConfig):
        super().__init__()
        self.config = config
        self.box = SceneBox(config.aabb, config.unbounded, config.num_cascades)
        self.ruled_out = RuledOut(config.unbounded)
        assert isinstance(config.max_resolution, int)  # PyNeRF refuses "auto"
        new_encoder = partial(
            PyramidEncoder,
            base_resolution=config.base_resolution,
            max_resolution=config.max_resolution,
            features_per_level=config.features_per_level,
            hash_table_size=config.hash_table_size,
            scale_factor=config.scale_factor,
        )
        encoder = new_encoder(config.num_levels)
        self.resolutions = encoder.spec.resolutions
        self.num_grid_levels = len(self.resolutions)
        self.num_heads = 1 if config.single_level else self.num_grid_levels
        if config.share_feature_grid:
            self.encoders = nn.ModuleList([encoder])
        else:
            first = self.num_grid_levels - self.num_heads
            self.encoders = nn.ModuleList(
                new_encoder(level + 1) for level in range(first, self.num_grid_levels)
            )
        hidden = [config.hidden_dim] * (config.num_layers - 2)
        out = 1 + config.geo_feature_dim
        self.heads = nn.ModuleList(
            mlp([levels * config.features_per_level, *hidden, out])
            for levels in range(self.num_grid_levels - self.num_heads + 1, self.num_grid_levels + 1)
        )
        num_color_heads = self.num_heads if config.output_interpolation == "color" else 1
        self.color_heads = nn.ModuleList(
            mlp([out + NUM_COEFFICIENTS, *[config.hidden_dim] * (config.num_layers - 1), 3])
            for _ in range(num_color_heads)
        )
        begin_alike(self.heads)
        begin_alike(self.color_heads)
        if config.initial_networks != "random":
            must = config.initial_networks == "learned"
            begin_learned(self.heads, self.color_heads, must)
        # Whether forward and backward are one pass over blocks (`field_pass`). Such a pass does not
        # return the outputs of the heads.
        self.one_pass = (
            config.output_interpolation == "embedding"
            and config.share_feature_grid
            and config.num_layers == 3
            and config.pyramid_loss_weight == 0
            and not (config.compile or config.mixed_precision)
        )
        if config.compile:
            for network in (*self.heads, *self.color_heads):
                network.compile(dynamic=True)  # slices of all sizes, one compilation

    def forward(
        self,
        positions: torch.Tensor,
        dirs: torch.Tensor,
        levels: torch.Tensor,
        known: KnownFeatures | None = None,
    ) -> FieldOutputs:
        """Density and colour of samples.

        Args:
            positions: [M, 3] in the unit cube.
            dirs: [M, 3] unit view directions.
            levels: [M] continuous pyramid levels in [0, L - 1].
            known: what `density` or `codes` has already found of these samples.
        """
        if self.one_pass:
            return self._forward_in_one_pass(positions, dirs, levels, known)
        slices, embeddings = self._embed(nn.Sequential.__call__, positions, levels, known=known)
        basis = spherical_harmonics(dirs.index_select(0, slices.order))
        with self._precision(positions.device):
            if self.config.output_interpolation == "embedding":
                embedding = blend_slices(embeddings, slices)
                sigmas = truncated_exp(embedding[:, 0].float())
                rgbs = torch.sigmoid(self._color(0, embedding, basis).float())
            else:
                both = blend_slices(
                    [
                        self._density_and_color(head, embedding, basis, slices)
                        for head, embedding in enumerate(embeddings)
                    ],
                    slices,
                )
                sigmas, rgbs = both[:, 0], both[:, 1:]
        sorted_outputs = torch.cat([sigmas.unsqueeze(-1), rgbs], 1)
        outputs = unsort(sorted_outputs, slices.order)
        sigmas = self._per_world_unit(outputs[:, 0], positions)
        return FieldOutputs(sigmas, outputs[:, 1:], slices, embeddings)

    def _forward_in_one_pass(
        self,
        positions: torch.Tensor,
        dirs: torch.Tensor,
        levels: torch.Tensor,
        known: KnownFeatures | None,
    ) -> FieldOutputs:
        if self._in_tiles(positions):
            tiles, codes, _ = self._tiled(positions, levels, known)
            logits = self._color(0, codes, spherical_harmonics(tiles.gather(dirs)))
            sigmas, rgbs = activate(codes, logits, tiles, LARGEST_LOGIT)
            return FieldOutputs(self._per_world_unit(sigmas, positions), rgbs)
        slices = self._slices(levels)
        features = self._sorted_features(positions.index_select(0, slices.order), slices, known)
        basis = spherical_harmonics(dirs.index_select(0, slices.order))
        known_codes = None
        if known is not None and known.codes is not None:
            known_codes = known.codes.index_select(0, known.index.index_select(0, slices.order))
        sigmas, rgbs = field_pass(
            features, basis, slices, list(self.heads), self.color_heads[0], known_codes
        )
        return FieldOutputs(self._per_world_unit(sigmas, positions), rgbs, slices)

    def density(
        self, positions: torch.Tensor, levels: torch.Tensor, keep: KnownFeatures | None = None
    ) -> torch.Tensor:
        """Density [M] alone; arguments as in `forward`.

        Args:
            keep: a buffer for the grid's features, for a later call of `forward`.
        """
        if self.one_pass and self._in_tiles(positions):
            tiles, codes, _ = self._tiled(positions, levels)
            sigmas = tiles.scatter(truncated_exp(codes[:, 0]))
            return self._per_world_unit(sigmas, positions)
        if self.config.output_interpolation == "embedding":
            slices, blended = self._blend(first_output, positions, levels, keep)
            sigmas = truncated_exp(blended.float())
        else:
            slices, logits = self._embed(first_output, positions, levels, keep=keep)
            sigmas = blend_slices([truncated_exp(x.float()) for x in logits], slices)
        return self._per_world_unit(unsort(sigmas, slices.order).squeeze(-1), positions)

    @torch.no_grad()
    def codes(self, positions: torch.Tensor, levels: torch.Tensor) -> FieldCodes:
        """Densities without gradients, and what `colors` needs to follow.

        Colours take half the time of a sample, and many samples need none. Only for
        `config.output_interpolation` "embedding", which has one colour network.
        """
        features: torch.Tensor | None = None
        if self.one_pass and self._in_tiles(positions):
            tiles, codes, features = self._tiled(positions, levels)
            rows = tiles.places
        else:
            if self.one_pass:
                slices = self._slices(levels)
                features = self._sorted_features(positions.index_select(0, slices.order), slices)
                codes = head_codes(features, slices, list(self.heads))
            else:
                slices, codes = self._blend(nn.Sequential.__call__, positions, levels)
            rows = inverse(slices.order)
        sigmas = truncated_exp(codes[:, 0].float()).index_select(0, rows)
        return FieldCodes(self._per_world_unit(sigmas, positions), codes, rows, features)

    @torch.no_grad()
    def colors(self, codes: FieldCodes, index: torch.Tensor, dirs: torch.Tensor) -> torch.Tensor:
        """Colours [K, 3] of samples that `codes` has seen, without gradients.

        Args:
            index: int64 [K] indices of the samples.
            dirs: [K, 3] unit view directions.
        """
        known = codes.codes.index_select(0, codes.rows.index_select(0, index))
        with self._precision(dirs.device):
            return torch.sigmoid(self._color(0, known, spherical_harmonics(dirs)).float())

    def _per_world_unit(self, sigmas: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Densities per world unit from the heads' densities, which are per local size.

        In an unbounded scene the local size is the box's size inside the box, and grows with the
        distance outside, as pictures of a scene say nothing of its unit. So a fresh field is thin
        everywhere: a ray from the middle loses as much light from 1 to 2 box sizes as from 10 to
        20. In cells that are ruled out it is 0.
        """
        if not self.config.unbounded:
            return sigmas
        return self.ruled_out.leave(sigmas * self.box.closeness(positions), positions)

    @property
    def shared_encoder(self) -> PyramidEncoder:
        """The encoder that all levels share, with `config.share_feature_grid`."""
        (encoder,) = self.encoders
        assert isinstance(encoder, PyramidEncoder)
        return encoder

    def new_features(self, num_samples: int) -> torch.Tensor | None:
        """A buffer [M, F] for features of samples, or None if each level has its own grid."""
        if not self.config.share_feature_grid:
            return None
        encoder = self.shared_encoder
        return encoder.table.new_empty(num_samples, encoder.total_features)

    def _blend(
        self,
        run: Callable[[nn.Module, torch.Tensor], torch.Tensor],
        positions: torch.Tensor,
        levels: torch.Tensor,
        keep: KnownFeatures | None = None,
    ) -> tuple[LevelSlices, torch.Tensor]:
        """The heads' blended outputs of the sorted samples; `run` as in `blend_heads`."""
        if torch.is_grad_enabled():
            slices, outputs = self._embed(run, positions, levels, keep=keep)
            return slices, blend_slices(outputs, slices)
        slices = self._slices(levels)
        positions = positions.index_select(0, slices.order)
        with self._precision(positions.device):
            windows = self._windows(positions, slices, None, keep)
            return slices, blend_heads(run, self.heads, windows, slices)

    @property
    def _two_heads(self) -> bool:
        """Whether a sample uses the heads below and above its level, or else the nearest."""
        return self.config.level_interpolation == "linear" and self.num_heads > 1

    def _slices(self, levels: torch.Tensor) -> LevelSlices:
        mode = "linear" if self._two_heads else "none"
        floor, fraction = split_level(levels, self.num_heads, mode)
        return slice_by_level(floor, fraction, self.num_heads, self._two_heads)

    def _embed(
        self,
        run: Callable[[nn.Module, torch.Tensor], torch.Tensor],
        positions: torch.Tensor,
        levels: torch.Tensor,
        known: KnownFeatures | None = None,
        keep: KnownFeatures | None = None,
    ) -> tuple[LevelSlices, list[torch.Tensor]]:
        """Every head's outputs on its slice of the sorted samples; `run` as in `blend_heads`."""
        slices = self._slices(levels)
        positions = positions.index_select(0, slices.order)
        with self._precision(positions.device):
            windows = self._windows(positions, slices, known, keep)
            outputs = [
                run_in_blocks(partial(run, head), x)
                for head, x in zip(self.heads, windows, strict=True)
            ]
            return slices, outputs

    def _windows(
        self,
        positions: torch.Tensor,
        slices: LevelSlices,
        known: KnownFeatures | None,
        keep: KnownFeatures | None,
    ) -> list[torch.Tensor]:
        """The features that each head sees, for its slice of the sorted samples."""
        if not self.config.share_feature_grid:
            windows = [slices.rows(level) for level in range(self.num_heads)]
            return [
                encoder(positions[first:last])
                for encoder, (first, last) in zip(self.encoders, windows, strict=True)
            ]
        features = self._sorted_features(positions, slices, known)
        if keep is not None:
            keep.rows[keep.index.index_select(0, slices.order)] = features
        if self.num_heads == 1:
            return [features]
        return feature_slices(features, slices, self.config.features_per_level)

    def _sorted_features(
        self, positions: torch.Tensor, slices: LevelSlices, known: KnownFeatures | None = None
    ) -> torch.Tensor:
        """Shared-grid features [M, F] of sorted samples; 0 at levels that no head reads."""
        return self._features(positions, slices.order, slices.level_begin(), known)

    def _features(
        self,
        positions: torch.Tensor,
        order: torch.Tensor,
        level_begin: torch.Tensor,
        known: KnownFeatures | None = None,
    ) -> torch.Tensor:
        """Shared-grid features of rows of samples: those of sample `order[i]` in row `i`."""
        known_features = None
        if known is not None:
            known_features = known.rows.index_select(0, known.index.index_select(0, order))
        begin = level_begin if self.num_heads > 1 else None
        return self.shared_encoder(positions, begin, known_features)

    def _in_tiles(self, positions: torch.Tensor) -> bool:
        """Whether the heads work on tiles: where launches cost more than memory."""
        return positions.device.type != "cpu" and positions.shape[0] > 0

    def _tiled(
        self, positions: torch.Tensor, levels: torch.Tensor, known: KnownFeatures | None = None
    ) -> tuple[LevelTiles, torch.Tensor, torch.Tensor]:
        """Samples in tiles, their codes [P, C] and their features [P, F]."""
        tiles = level_tiles(levels, self.num_heads, self._two_heads, TILE)
        features = self._features(tiles.gather(positions), tiles.samples, tiles.level_begin, known)
        return tiles, tiled_codes(features, tiles, list(self.heads)), features

    def _density_and_color(
        self, head: int, embedding: torch.Tensor, basis: torch.Tensor, slices: LevelSlices
    ) -> torch.Tensor:
        first, last = slices.rows(head)
        color = torch.sigmoid(self._color(head, embedding, basis[first:last]).float())
        return torch.cat([truncated_exp(embedding[:, :1].float()), color], 1)

    def _color(self, head: int, embedding: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
        def run(embedding: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
            return self.color_heads[head](torch.cat([embedding, basis.to(embedding.dtype)], 1))

        return run_in_blocks(run, embedding, basis)

    def _precision(self, device: torch.device) -> torch.autocast:
        enabled = self.config.mixed_precision and has_bfloat16(device)
        return torch.autocast(device.type, NETWORK_DTYPE, enabled=enabled)


@functools.cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16. True for devices other than CUDA's.

    Warns:
        UserWarning: it does not, so the networks stay in float32.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) >= (8, 0):
        return True
    warnings.warn(
        f"mixed_precision does nothing: {torch.cuda.get_device_name(device)} has no bfloat16, "
        "which came with compute capability 8.0",
        stacklevel=2,
    )
    return False


def truncated_exp(x: torch.Tensor) -> torch.Tensor:
    """exp(x), with x limited to 15 in value and in gradient, so that neither overflows."""
    return _TruncatedExp.apply(x)


class _TruncatedExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        y = x.clamp(max=15).exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (y,) = ctx.saved_tensors
        return grad * y
