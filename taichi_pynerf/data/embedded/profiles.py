"""Colour profiles of images, such as the Display P3 of phones, and the way from them to sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

SAME = 2
"""Greatest difference, in levels of 255, of colours in a profile that counts as sRGB itself."""

_PROFILES_KEPT = 32  # whose transforms are remembered, as all photos of a camera have the same


def in_srgb(image: Image.Image) -> Image.Image:
    """A decoded image with its colours in sRGB.

    Profiles of colour images are followed. Without a profile, or with a broken one, colours are
    taken for sRGB already. Profiles of grey images and of inks (CMYK) are ignored.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or image.mode not in ("RGB", "RGBA", "P"):
        return image
    # A colour that stands for transparency would not be found again afterwards.
    mode = "RGBA" if image.mode == "RGBA" or "transparency" in image.info else "RGB"
    transform = _to_srgb(profile, mode)
    if transform is None:
        return image
    return transform.apply(image if image.mode == mode else image.convert(mode))


@lru_cache(_PROFILES_KEPT)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile to sRGB; None if none is needed or possible."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    image = Image.fromarray(colors).convert(mode)
    try:
        transform = ImageCms.ImageCmsTransform(
            ImageCms.getOpenProfile(io.BytesIO(profile)),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            mode,
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
        moved = np.asarray(transform.apply(image))[..., :3].astype(int)
    except Exception:  # a broken profile, one of grey or of inks, or a Pillow without LittleCMS
        return None
    return None if np.abs(moved - colors).max() <= SAME else transform
