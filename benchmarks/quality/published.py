"""Figures of the literature for the same images; means over scales if there are several.

Some of these figures are not from the method's own paper but from later papers that ran it again.
LPIPS is left out, because papers use different networks for it.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A published figure.

    Attributes:
        method: the method's name.
        psnr: dB.
        source: where the method is described.
    """

    method: str
    psnr: float
    source: str


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "multiscale-blender": (
        Published("lego: iNGP", 31.83, "Müller et al., SIGGRAPH 2022"),
        Published("lego: Mip-NeRF", 35.74, "Barron et al., ICCV 2021"),
        Published("lego: Tri-MipRF", 35.72, "Hu et al., ICCV 2023"),
        Published("lego: Mip-Splatting", 35.07, "Yu et al., CVPR 2024"),
        Published("lego: LOD-GS", 36.20, "LOD-GS"),
        Published("8 scenes: Mip-NeRF", 34.51, "Barron et al., ICCV 2021"),
        Published("8 scenes: PyNeRF", 34.78, "Turki et al., NeurIPS 2023"),
        Published("8 scenes: Mip-Splatting", 34.56, "Yu et al., CVPR 2024"),
        Published("8 scenes: LOD-GS", 35.37, "LOD-GS"),
        Published("8 scenes: Zip-NeRF", 36.69, "Barron et al., ICCV 2023"),
        Published("8 scenes: Rip-NeRF", 37.23, "Liu et al., SIGGRAPH 2024"),
    ),
    "blender": (
        Published("lego: PyNeRF", 36.63, "Turki et al., NeurIPS 2023, table 6"),
        Published("lego: ngp_pl, RTX 2080 Ti, 305 s", 35.76, "its README"),
        Published("lego: nerfacc's instant-ngp, TITAN RTX, 288 s", 35.67, "its documentation"),
        Published("lego: taichi-nerfs, RTX 3090, 208 s", 35.0, "its README"),
    ),
}
"""{table: figures}."""
