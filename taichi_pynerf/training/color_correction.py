"""Exposure and white balance of the photographs, learned with the scene.

A phone chooses both anew for every picture. A field that must explain all pictures with one colour
learns the mean, and a haze in front of each camera. Here each photograph has its own affine map of
colours, near the identity (Urban Radiance Fields, Rematas et al. 2022, section 4.2). A gain of the
light is nearly a gain of display colours too, as these are about a power of the light.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from taichi_pynerf.data.training_images import TrainingImages
from taichi_pynerf.evaluation.exif_exposure import ExposureResponse, fit_response

LEARNING_RATE = 5e-3  # for the entries of the maps
MEAN_WEIGHT = 1.0  # weight of the loss that keeps the mean map at the identity
# Weights of the loss that keeps each map near the identity. Exposure and white balance are gains of
# the channels, so gains cost little. The other entries could paint the picture itself.
GAIN_WEIGHT, OTHER_WEIGHT = 1e-3, 3e-2

# Least differences that count, in stops of light (EXIF) and in stops of display colours (images).
# Cameras set exposure in thirds of a stop, about 0.15 in display colours. Neighbours in scenes of
# one exposure differ by 0.01 to 0.07.
EXIF_STOPS = 1 / 3
NEIGHBOUR_STOPS = 0.12


class ColorCorrection(nn.Module):
    """An affine colour map for each photograph: `color @ (I + E) + e`, 12 learned numbers.

    Photographs do not tell which exposure is the scene's own. The mean over the photographs is
    taken for it, so that pictures rendered without a map look like the mean photograph.

    Args:
        names: V names; views that share a name, such as the scales of a picture, share a map.
    """

    image_of_view: torch.Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.register_buffer("image_of_view", torch.tensor([numbers[name] for name in names]))
        self.embeddings = nn.Parameter(torch.zeros(len(numbers), 4, 3))

    def forward(
        self,
        rgb: torch.Tensor,
        acc: torch.Tensor,
        view_indices: torch.Tensor,
    ) -> torch.Tensor:
        """Colours [N, 3] over black as the photographs show them. Differentiable.

        Args:
            rgb: [N, 3] the scene's colours over black, that is premultiplied by the opacity.
            acc: [N] opacity in [0, 1].
            view_indices: int64 [N] the view of each pixel.
        """
        image = self.image_of_view.index_select(0, view_indices)
        maps = self.embeddings.index_select(0, image)
        colors = torch.cat([rgb, acc.unsqueeze(-1)], 1)
        return rgb + torch.bmm(colors.unsqueeze(1), maps).squeeze(1)

    def penalty(self) -> torch.Tensor:
        """A term of the loss that keeps the maps near the identity, and their mean at it."""
        mean = self.embeddings.mean(0)
        gains = torch.eye(4, 3, dtype=torch.bool, device=mean.device)
        costs = torch.where(gains, GAIN_WEIGHT, OTHER_WEIGHT)
        deviations = (costs * self.embeddings.square()).sum() / len(self.embeddings)
        return MEAN_WEIGHT * mean.square().sum() + deviations

    @torch.no_grad()
    def gains(self) -> torch.Tensor:
        """Factors [K, 3] by which each photograph's channels are brighter than the scene's."""
        return 1 + self.embeddings.diagonal(dim1=1, dim2=2)

    @torch.no_grad()
    def light(self) -> torch.Tensor:
        """Factors [K] by which each photograph shows a middle grey brighter than the scene does."""
        matrices, offsets = self.embeddings[:, :3], self.embeddings[:, 3]
        return (1 + matrices.sum(1) + offsets / 0.5).mean(-1)

    def response(self, exposures: torch.Tensor) -> tuple[ExposureResponse | None, str]:
        """How `light` follows the exposures [V] of the views by EXIF; see `fit_response`."""
        first = {image: view for view, image in reversed([*enumerate(self.image_of_view.tolist())])}
        views = torch.tensor([first[image] for image in range(len(self.embeddings))])
        return fit_response(self.light().cpu(), exposures[views])


def within_range(rgb: torch.Tensor, photo: torch.Tensor) -> torch.Tensor:
    """Colours [N, 3], cut to 1 where the photograph is saturated.

    A saturated pixel says only "at least this bright"; how bright, the other photographs tell.
    """
    return torch.where(photo >= 1, rgb.clamp_max(1), rgb)


def exposures_differ(dataset: TrainingImages) -> bool:
    """Whether the photographs of a dataset were exposed differently, as far as can be told.

    Judged by EXIF if nearly all files have it, and by the images: two that were taken from nearly
    the same place in nearly the same direction show much the same, so they should be as bright.
    """
    known = dataset.exposures[~dataset.exposures.isnan()]
    if len(known) > 0.9 * len(dataset):
        low, high = known.quantile(torch.tensor([0.1, 0.9])).tolist()
        if high - low > EXIF_STOPS:
            return True
    return neighbour_difference(dataset) > NEIGHBOUR_STOPS


def neighbour_difference(dataset: TrainingImages) -> float:
    """Typical difference in brightness between neighbouring images, in stops of display colours.

    The median, over the images, of the difference between an image's mean logarithm and that of
    its nearest neighbour.
    """
    coarsest = int(dataset.scales.max())
    views = (dataset.scales == coarsest).nonzero().squeeze(1)
    if len(views) < 3:
        return 0.0
    light = torch.stack([_mean_stops(dataset.image(int(view))) for view in views])
    poses = dataset.cameras.c2w[views]
    axes, positions = poses[:, :, 2], poses[:, :, 3]
    spread = (positions - positions.mean(0)).norm(dim=-1).mean().clamp_min(1e-9)
    angles = torch.acos((axes @ axes.T).clamp(-1, 1))
    apart = torch.cdist(positions, positions) / spread + angles
    nearest = apart.fill_diagonal_(torch.inf).argmin(1)
    return float((light - light[nearest]).abs().mean(-1).median())


def _mean_stops(image: torch.Tensor) -> torch.Tensor:
    """[3] mean base-2 logarithm of each channel; 1/32 is added, so that black stays finite."""
    return (image.reshape(-1, 3) + 1 / 32).log2().mean(0)
