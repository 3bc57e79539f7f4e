"""A field that is a formula, for tests of what is rendered from a density that is known."""

from types import SimpleNamespace

import torch

from taichi_pynerf.geometry.contraction import uncontract
from taichi_pynerf.geometry.ruled_out import RuledOut

COLOR = (0.25, 0.5, 0.75)
RESOLUTIONS = (4, 8, 16, 32)


class AnalyticField:
    """Stands in for a field: a density that is known, one colour, and a record of what was asked.

    Args:
        density: world positions [M, 3] to densities [M]; the scene box is (-1, 1)^3.
        resolutions: cells of the levels, of which each has a head.
        unbounded: whether positions of the field are contracted ones.
    """

    one_pass = False

    def __init__(self, density, resolutions=RESOLUTIONS, unbounded=False):
        self.of_world, self.unbounded = density, unbounded
        self.num_heads, self.resolutions = len(resolutions), resolutions
        self.ruled_out = RuledOut(unbounded)
        self.positions, self.levels = [], []

    def new_features(self, num_samples):
        return None

    def density(self, positions, levels, keep=None):
        self.positions.append(positions)
        self.levels.append(levels)
        if self.unbounded:
            return self.of_world(uncontract(4 * positions.double() - 2).float())
        return self.of_world(2 * positions - 1)

    def codes(self, positions, levels):
        return SimpleNamespace(sigmas=self.density(positions, levels))

    def colors(self, codes, index, dirs):
        return torch.tensor(COLOR).repeat(len(index), 1)

    def __call__(self, positions, dirs, levels, known=None):
        sigmas = self.density(positions, levels)
        return SimpleNamespace(sigmas=sigmas, rgbs=torch.tensor(COLOR).repeat(len(sigmas), 1))
