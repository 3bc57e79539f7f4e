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


NERFACC = "nerfacc's instant-ngp, TITAN RTX, 288 s"
NGP_PL = "ngp_pl, RTX 2080 Ti, 305 s"
TAICHI_NERFS = "taichi-nerfs, RTX 3090, 208 s"
LOD_GS = "Yang et al., arXiv 2507.00554"

# Lego; by tables of this scene alone and by those of all scenes.
LEGO = (
    Published("PyNeRF", 36.63, "Turki et al., NeurIPS 2023, table 6"),
    Published(NGP_PL, 35.76, "its README"),
    Published(NERFACC, 35.67, "its documentation"),
    Published(TAICHI_NERFS, 35.0, "its README"),
)
LEGO_SCALES = (
    Published("LOD-GS", 36.20, LOD_GS),
    Published("Mip-NeRF", 35.74, "Barron et al., ICCV 2021"),
    Published("Tri-MipRF", 35.72, "Hu et al., ICCV 2023"),
    Published("Mip-Splatting", 35.07, "Yu et al., CVPR 2024"),
    Published("iNGP", 31.83, "Müller et al., SIGGRAPH 2022"),
)
# At 1008 x 756. The README gives NeRF's own figures beside those of JaxNeRF.
FERN = Published(
    "NeRF at full size, 1008 x 756", 25.17,
    "Mildenhall et al., ECCV 2020, as quoted in JaxNeRF's README",
)  # fmt: skip


def _of_scene(scene: str, figures: tuple[Published, ...]) -> tuple[Published, ...]:
    """The figures, under names that say which scene they are of."""
    return tuple(figure._replace(method=f"{scene}: {figure.method}") for figure in figures)


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "lego800": LEGO,
    "lego800-shorter": LEGO,
    "lego800-scales": LEGO_SCALES,
    "fern": (FERN,),
    "llff": (FERN._replace(method="fern: NeRF"),),
    "multiscale-blender": (
        *_of_scene("lego", LEGO_SCALES),
        Published("8 scenes: Mip-NeRF", 34.51, "Barron et al., ICCV 2021"),
        Published("8 scenes: PyNeRF", 34.78, "Turki et al., NeurIPS 2023"),
        Published("8 scenes: Mip-Splatting", 34.56, "Yu et al., CVPR 2024"),
        Published("8 scenes: LOD-GS", 35.37, LOD_GS),
        Published("8 scenes: Zip-NeRF", 36.69, "Barron et al., ICCV 2023"),
        Published("8 scenes: Rip-NeRF", 37.23, "Liu et al., SIGGRAPH 2024"),
    ),
    "blender": _of_scene("lego", LEGO),
}
"""{table: figures}."""
