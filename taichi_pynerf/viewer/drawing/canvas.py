"""The current picture: patches of all resolutions, shown at full size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from taichi_pynerf.viewer.drawing.progressive import Patch, ProgressiveRenderer
from taichi_pynerf.viewer.drawing.shading import depth_range, shade
from taichi_pynerf.viewer.settings import ViewSettings
from taichi_pynerf.viewer.views import TrainingViews


class PictureCanvas:
    """Colours the patches of a renderer and assembles them.

    Args:
        renderer: draws the patches.
        views: the training views, for the error map.
    """

    def __init__(self, renderer: ProgressiveRenderer, views: TrainingViews | None):
        self._renderer, self._views = renderer, views
        self._image: np.ndarray | None = None
        self._style: tuple | None = None
        self._depths = (0.0, 1.0)

    def update(self, settings: ViewSettings, seconds: float, refine: bool) -> bool:
        """Draw for about `seconds`; returns whether the picture changed."""
        patches = self._renderer.advance(seconds, refine)
        restyled = settings.style() != self._style
        if restyled:
            self._style = settings.style()
            patches = list(self._renderer.patches())
        for patch in patches:
            self._paste(patch, settings)
        return bool(patches)

    def image(self, size: tuple[int, int], background: tuple[float, float, float]) -> np.ndarray:
        """A copy, uint8 [H, W, 3], stretched to `size` (width, height) if that has changed."""
        if self._image is None:
            colour = np.round(255.0 * np.array(background)).astype(np.uint8)
            return np.tile(colour, (size[1], size[0], 1))
        if self._image.shape[:2] != (size[1], size[0]):
            stretched = Image.fromarray(self._image).resize(size, Image.Resampling.BILINEAR)
            return np.array(stretched)
        return self._image.copy()

    def _paste(self, patch: Patch, settings: ViewSettings) -> None:
        whole = patch.box == (0, 0, *patch.size)
        if whole:
            self._depths = depth_range(patch.layers)
        colours = shade(
            patch,
            settings,
            depths=self._depths,
            num_levels=len(self._renderer.model.field.resolutions),
            far=self._renderer.far,
            views=self._views,
        )
        if whole:
            size = (patch.shot.width, patch.shot.height)
            if patch.size != size:
                colours = np.array(Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC))
            self._image = colours
            return
        left, top, right, bottom = patch.box
        assert self._image is not None  # the first patch is a whole one
        self._image[top:bottom, left:right] = colours
