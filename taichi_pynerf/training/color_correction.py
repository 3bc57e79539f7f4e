"""Exposure and white balance of the photographs, learned with the scene.

A phone sets both anew for every picture, and a field that must explain all of them with one colour
learns the mean, and a haze that tells the pictures apart. Here each photograph has an affine map
of colours of its own, near the identity (Urban Radiance Fields, Rematas et al. 2022, section 4.2).
A gain of the light is nearly a gain of display colours too, as these are a power of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from taichi_pynerf.data.datasets import TrainingImages

LEARNING_RATE = 5e-3  # of the entries of the maps
MEAN_WEIGHT = 1.0  # of the loss that keeps the mean map the identity
# Of the loss that keeps each map near the identity: gains of the channels, which exposure and white
# balance are, come cheap; the other entries could paint each photograph with what it shows.
GAIN_WEIGHT, OTHER_WEIGHT = 1e-3, 3e-2

# What counts as a difference: a third of a stop of light, the step of a wheel, is about 0.15 in
# display colours. Neighbours in scenes of one exposure differ by 0.01 to 0.07.
EXIF_STOPS = 1 / 3
NEIGHBOUR_STOPS = 0.12


class ColorCorrection(nn.Module):
    """An affine colour map for each photograph: `color @ (I + E) + e`, with 12 numbers learned.

    Which exposure is the scene's own is open; the mean over the photographs is made it, so that
    pictures rendered without a map look like the mean photograph.

    Args:
        names: V names; views of one name, such as the scales of a picture, are one photograph.
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
        """[N, 3] colours over black as the photographs show them. Differentiable.

        Args:
            rgb: [N, 3] the scene's colours over black, and so premultiplied by the opacity.
            acc: [N] opacity.
            view_indices: int64 [N] the view of each pixel.
        """
        image = self.image_of_view.index_select(0, view_indices)
        maps = self.embeddings.index_select(0, image)
        colors = torch.cat([rgb, acc.unsqueeze(-1)], 1)
        return rgb + torch.bmm(colors.unsqueeze(1), maps).squeeze(1)

    def penalty(self) -> torch.Tensor:
        """What to add to the loss, so that maps stay near the identity, and their mean at it."""
        mean = self.embeddings.mean(0)
        gains = torch.eye(4, 3, dtype=torch.bool, device=mean.device)
        costs = torch.where(gains, GAIN_WEIGHT, OTHER_WEIGHT)
        deviations = (costs * self.embeddings.square()).sum() / len(self.embeddings)
        return MEAN_WEIGHT * mean.square().sum() + deviations

    @torch.no_grad()
    def gains(self) -> torch.Tensor:
        """[K, 3] by how much each photograph's channels are brighter than the scene's."""
        return 1 + self.embeddings.diagonal(dim1=1, dim2=2)


def within_range(rgb: torch.Tensor, photo: torch.Tensor) -> torch.Tensor:
    """The colours [N, 3], cut to 1 where the photograph is at its greatest value.

    What was brighter than its camera could record may be as bright as the other photographs say.
    """
    return torch.where(photo >= 1, rgb.clamp_max(1), rgb)


def exposures_differ(dataset: TrainingImages) -> bool:
    """Whether the photographs of a dataset were exposed differently, as far as can be told.

    By EXIF, if nearly all files have it; else by the images: two that were taken from nearly the
    same place, looking the same way, show much the same, and should be about as bright.
    """
    known = dataset.exposures[~dataset.exposures.isnan()]
    if len(known) > 0.9 * len(dataset):
        low, high = known.quantile(torch.tensor([0.1, 0.9])).tolist()
        if high - low > EXIF_STOPS:
            return True
    return neighbour_difference(dataset) > NEIGHBOUR_STOPS


def neighbour_difference(dataset: TrainingImages) -> float:
    """By how many stops of display colours the images nearest to each other differ, in the median.

    The median over the images of the difference of their mean logarithms.
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
    """[3] mean of the channels' logarithms to the base 2; black is no darker than 1/32."""
    return (image.reshape(-1, 3) + 1 / 32).log2().mean(0)
