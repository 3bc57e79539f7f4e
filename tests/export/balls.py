"""A model of a ball that needs no training, because its field is a formula."""

import torch
from tiny import tiny_model

from taichi_pynerf.model.field import FieldCodes, FieldOutputs
from taichi_pynerf.model.model import PyNeRF

RADIUS = 0.6  # world units; the tiny scene box is [-1, 1]^3


def color_of(points: torch.Tensor) -> torch.Tensor:
    """Colours that change gently from place to place."""
    return 0.5 + 0.4 * points


class _Ball(torch.nn.Module):
    """Stands in for a field; opaque within `RADIUS` of each centre."""

    def __init__(self, field, box, density, centers, softness):
        super().__init__()
        self.resolutions, self.num_heads = field.resolutions, field.num_heads
        self.box, self.value = box, density
        self.centers, self.softness = centers, softness

    def _world(self, positions):
        return (positions - 0.5) * self.box.size + torch.tensor(self.box.center)

    def density(self, positions, levels):
        points = self._world(positions)
        distance = torch.stack([(points - c).norm(dim=-1) - r for c, r in self.centers]).amin(0)
        return self.value * torch.sigmoid(-distance / self.softness)

    def codes(self, positions, levels):
        return FieldCodes(self.density(positions, levels), self._world(positions), None)

    def colors(self, codes, index, dirs):
        return color_of(codes.codes[index])

    def forward(self, positions, dirs, levels, known=None):
        rgbs = color_of(self._world(positions))
        return FieldOutputs(self.density(positions, levels), rgbs, None, [])


def ball_model(density: float = 300.0, centers=None, softness: float = 0.004, **options) -> PyNeRF:
    """A model of one ball of `RADIUS` at the origin, or of (centre, radius) pairs.

    The density is half of `density` on the surface, and changes within `softness` of it. Further
    options are settings of the model.
    """
    model = tiny_model(march_resolution=512, render_step=0.5, **options).eval()
    centers = [(torch.zeros(3), RADIUS)] if centers is None else centers
    model.field = _Ball(model.field, model.renderer.box, density, centers, softness)
    model.renderer.field = model.field
    return model
