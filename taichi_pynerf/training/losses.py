"""The training losses: colour, structure, depth, pyramid consistency, distortion, table decay."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.model.field import FieldOutputs
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.proposals import Histogram
from taichi_pynerf.model.renders import TrainingRender
from taichi_pynerf.ops.ray_march import Samples
from taichi_pynerf.training.depth_losses import DEPTH_LOSSES, urban_depth

TOGETHER = 16  # pixels of a group whose SSIM is taken
C1, C2 = 0.01**2, 0.03**2  # of SSIM, for colours in [0, 1]


def loss_inputs(
    model: PyNeRF, render: TrainingRender, background: torch.Tensor, progress: float = 1.0
) -> dict[str, Any]:
    """The inputs that a loss gets for a batch of rays.

    Args:
        background: [3] or [N, 3] colour behind the scene.
        progress: share of the training that is done, in [0, 1].

    Returns:
        {"rgb": [N, 3] over the background, "depth": [N], "acc": [N], "render": the render,
        "resolutions" and "encoders" of the field's grids, "networks": the weights of its heads and
        colour networks, "progress"}.
    """
    return {
        "rgb": render.rgb + (1 - render.acc).unsqueeze(-1) * background,
        "depth": render.depth,
        "acc": render.acc,
        "render": render,
        "resolutions": model.field.resolutions,
        "encoders": model.field.encoders,
        "networks": [*model.field.heads.parameters(), *model.field.color_heads.parameters()],
        "progress": progress,
    }


class PyNeRFLoss(nn.Module):
    """The weighted sum of losses that a configuration asks for.

    Terms of weight 0 are not computed.
    """

    def __init__(self, config: PyNeRFConfig):
        super().__init__()
        self.config = config
        self.spacing = SceneBox(config.aabb, config.unbounded).to_spacing

    def forward(self, outputs: dict, targets: dict) -> dict[str, torch.Tensor]:
        """Losses of one batch of rays.

        Args:
            outputs: as `loss_inputs` gives them.
            targets: "rgb" [N, 3]. "weights" [N], the pixels' weights: all 1 where pixels are drawn
                by area; multi-scale Blender's `lossmult`; with `contrast_share` in inverse
                proportion to how often a pixel is drawn, so that they are 1 in the mean over many
                steps. "depth" [N], distances along the rays in the unit of outputs["depth"], 0 or
                NaN where unknown. "sparse_depth" [N], likewise, at the pixels that were drawn for
                their sparse points; not given in steps without any. "acc" [N], the photographs'
                alpha. A term whose target is missing is left out.

        Returns:
            {"total_loss", "color_loss", …}, each a scalar.
        """
        config, render = self.config, outputs["render"]
        squares = (outputs["rgb"] - targets["rgb"]).square().mean(-1)
        losses = {"color_loss": (targets["weights"] * squares).mean()}
        total = config.color_loss_weight * losses["color_loss"]
        if config.structure_loss_weight > 0:
            losses["structure_loss"] = structure(outputs["rgb"], targets["rgb"])
            total = total + config.structure_loss_weight * losses["structure_loss"]
        if config.depth_loss_weight > 0 and "depth" in targets:
            loss = DEPTH_LOSSES[config.depth_loss]
            losses["depth_loss"] = loss(
                outputs, targets["depth"], targets["weights"], self.spacing, outputs["progress"]
            )
            total = total + config.depth_loss_weight * losses["depth_loss"]
        if config.sparse_depth_weight > 0 and "sparse_depth" in targets:
            losses["sparse_depth_loss"] = urban_depth(
                outputs,
                targets["sparse_depth"],
                targets["weights"],
                self.spacing,
                outputs["progress"],
            )
            total = total + config.sparse_depth_weight * losses["sparse_depth_loss"]
        if config.opacity_loss_weight > 0 and "acc" in targets:
            squares = (outputs["acc"] - targets["acc"]).square()
            losses["opacity_loss"] = (targets["weights"] * squares).mean()
            total = total + config.opacity_loss_weight * losses["opacity_loss"]
        if config.weight_decay > 0:
            losses["weight_decay"] = mean_square(outputs["networks"])
            total = total + config.weight_decay * losses["weight_decay"]
        if config.pyramid_loss_weight > 0:
            losses["pyramid_loss"] = pyramid_consistency(
                render.field, render.positions, render.samples.ray_indices, outputs["resolutions"]
            )
            total = total + config.pyramid_loss_weight * losses["pyramid_loss"]
        if config.distortion_loss_weight > 0:
            losses["distortion_loss"] = distortion(render.weights, render.samples, self.spacing)
            # Fog right before each camera has no distortion, so an early penalty would breed it.
            # The term grows with the training, once colours have found their places.
            weight = config.distortion_loss_weight * outputs["progress"] ** 2
            total = total + weight * losses["distortion_loss"]
        if config.sampler == "proposal" and render.proposed.rounds:
            borders, rounds = render.proposed
            weights = render.weights.detach().view(len(borders), -1)
            losses["proposal_loss"] = sum(
                proposal_loss(borders, weights, found) for found in rounds
            )
            total = total + losses["proposal_loss"]
        if config.hash_decay > 0:
            losses["hash_decay"] = sum(
                table_energy(encoder.table_for_torch(), encoder.spec.level_sizes)
                for encoder in outputs["encoders"]
            )
            total = total + config.hash_decay * losses["hash_decay"]
        return {"total_loss": total, **losses}


def structure(rgb: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - SSIM of groups of `TOGETHER` pixels, mean over groups and channels.

    S3IM (Xie et al., "S3IM: Stochastic Structural SIMilarity and Its Unreasonable Effectiveness for
    Neural Fields", ICCV 2023, eq. 5): SSIM of patches that are put together of random pixels, with
    a window that does not overlap. It asks for the right contrast among pixels, where squares alone
    are content with a blurred mean. A batch is drawn at random, so neighbours in it will do. With
    `contrast_share` some of its pixels are drawn more often than others, and groups are of these.

    Args:
        rgb, target: [N, 3] colours of the batch. Differentiable in rgb. Pixels left over after the
            last whole group do not count.
    """
    size = min(TOGETHER, len(rgb))
    whole = len(rgb) // max(size, 1) * size
    x, y = (colors[:whole].view(-1, size, 3) for colors in (rgb, target))
    x_mean, y_mean = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    x_off, y_off = x - x_mean, y - y_mean
    covariance = (x_off * y_off).mean(1)
    variances = (x_off.square() + y_off.square()).mean(1)
    means = (2 * x_mean * y_mean + C1) / (x_mean.square() + y_mean.square() + C1)
    return 1 - (means.squeeze(1) * (2 * covariance + C2) / (variances + C2)).mean()


def proposal_loss(borders: torch.Tensor, weights: torch.Tensor, found: Histogram) -> torch.Tensor:
    """The amount by which a histogram fails to bound the field's weights, mean over rays.

    Mip-NeRF 360, eq. 13: sum_i max(0, w_i - B_i)^2 / w_i, where B_i is the sum of the histogram's
    weights over all of its intervals that meet interval i. Bounds that are too high cost nothing,
    so the histogram learns to leave no surface out. Its weights sum to 1 at most, which keeps it
    narrow.

    Args:
        borders: [N, S + 1] borders of the field's intervals.
        weights: [N, S] the field's weights.
        found: the histogram of the same N rays. Differentiable in its weights alone.
    """
    sums = torch.nn.functional.pad(found.weights.cumsum(-1), (1, 0))
    above = torch.searchsorted(found.borders.contiguous(), borders.contiguous(), right=True)
    last = sums.shape[1] - 1
    from_below = sums.gather(1, (above[:, :-1] - 1).clamp(0, last))
    to_above = sums.gather(1, above[:, 1:].clamp(0, last))
    lacking = (weights - (to_above - from_below)).clamp_min(0)
    return (lacking.square() / (weights + 1e-5)).sum(-1).mean()


def pyramid_consistency(
    field: FieldOutputs,
    positions: torch.Tensor,
    ray_indices: torch.Tensor,
    resolutions: tuple[int, ...],
) -> torch.Tensor:
    """Distance of the coarser head of each sample from the average of the finer one.

    Consecutive samples of one ray inside one cell of the coarser level form a run. Over each run
    both heads' outputs are averaged; the loss is the mean square of their difference, so that a
    coarse head stands for the mean of what the finer one resolves. The finer head is the teacher
    and gets no gradient: detail must not be blurred to please the coarser level.

    Args:
        field: the field's outputs for the M samples of a batch of rays.
        positions: [M, 3] positions in the field's unit cube, which holds a contracted scene.
        ray_indices: int32 or int64 [M] the samples' rays.
        resolutions: cells across the scene box, per level of the pyramid.

    Returns:
        A scalar; 0 if no sample uses two heads.
    """
    slices, total = field.slices, positions.new_zeros(())
    if slices is not None and not slices.two_heads:
        return total
    if slices is None or not field.head_outputs:
        raise ValueError(
            "the field keeps no outputs of its heads: make the model, too, with a "
            "pyramid_loss_weight above 0"
        )
    found: list[tuple[torch.Tensor, torch.Tensor]] = []  # differences, and which run each row is of
    for level, resolution in enumerate(resolutions[:-1]):
        first, last = slices.starts[level], slices.starts[level + 1]
        if first == last:
            continue
        rows = slices.order[first:last]
        coarse = field.head_outputs[level][first - slices.rows(level)[0] :].float()
        fine = field.head_outputs[level + 1][: last - first].float()
        cell = (positions.index_select(0, rows) * resolution).floor()
        key = torch.cat([cell, ray_indices.index_select(0, rows).unsqueeze(-1).to(cell)], 1)
        changes = (key[1:] != key[:-1]).any(-1)
        run = torch.cat([changes.new_zeros(1), changes]).cumsum(0)
        found.append((coarse - fine.detach(), run))
    if not found:
        return total
    last_runs = torch.stack([run[-1] for _, run in found]).tolist()  # in one look at the device
    for (difference, run), last_run in zip(found, last_runs, strict=True):
        sums = difference.new_zeros(last_run + 1, difference.shape[1]).index_add(0, run, difference)
        lengths = difference.new_zeros(last_run + 1).index_add_(
            0, run, torch.ones_like(difference[:, 0])
        )
        mean = sums / lengths.unsqueeze(-1)
        total = total + mean.square().mean(-1).sum()
    return total / (sum(last_runs) + len(last_runs))


def distortion(
    weights: torch.Tensor,
    samples: Samples,
    spacing: Callable[[torch.Tensor], torch.Tensor] = lambda t: t,
) -> torch.Tensor:
    """Mip-NeRF 360's distortion loss (Barron et al. 2022, eq. 15), mean over rays.

    sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 d_i, with interval middles m and lengths d. For
    sorted samples the double sum is 2 sum_i w_i (m_i W_i - M_i), where W_i and M_i are the sums
    of w and w m over the samples before i on the ray. So prefix sums replace the pairs.

    Args:
        weights: [M] compositing weights. Differentiable.
        samples: the packed samples; distances in world units.
        spacing: ascending map of distances, for unbounded scenes: `SceneBox.to_spacing`.
    """
    if weights.shape[0] == 0:
        return weights.sum()
    w = weights.double()  # a prefix sum over all rays loses digits in float32
    starts, ends = spacing(samples.t_starts).double(), spacing(samples.t_ends).double()
    m, d = (starts + ends) / 2, ends - starts
    start = samples.packed_info[:, 0].index_select(0, samples.ray_indices)

    def before(x: torch.Tensor) -> torch.Tensor:
        exclusive = x.cumsum(0) - x
        return exclusive - exclusive.index_select(0, start)

    pairs = 2 * w * (m * before(w) - before(w * m))
    loss = (pairs + w.square() * d / 3).sum() / samples.packed_info.shape[0]
    return loss.to(weights.dtype)


def mean_square(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean square of all entries of some tensors."""
    count = sum(parameter.numel() for parameter in parameters)
    return torch.stack([parameter.square().sum() for parameter in parameters]).sum() / count


def table_energy(table: torch.Tensor, level_sizes: tuple[int, ...]) -> torch.Tensor:
    """Sum over the grid's levels of the mean square of their entries (Zip-NeRF, section 4)."""
    return sum(level.square().mean() for level in table.split(level_sizes))
