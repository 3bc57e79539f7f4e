"""LPIPS, a learned distance of images (Zhang et al. 2018), through torchmetrics."""

from __future__ import annotations

import math
import warnings

import torch

from taichi_pynerf.errors import MissingPackageError
from taichi_pynerf.extras import optional

NETS = ("alex", "vgg", "squeeze")
LEAST_SIDE = 32  # pixels; smaller images leave nothing for the networks' last layers


class LPIPS:
    """LPIPS of two images; lower is more alike.

    Args:
        net: the network whose features are compared. PyNeRF reports "alex", Mip-NeRF and most
            others "vgg". Figures of different networks cannot be compared.

    Raises:
        ValueError: no such net.
        MissingPackageError: torchmetrics or torchvision is not installed, or the network's weights
            can neither be found nor fetched.
    """

    def __init__(self, net: str = "alex"):
        if net not in NETS:
            raise ValueError(f"net must be one of {', '.join(NETS)}, not {net!r}")
        optional("torchvision", "lpips")
        module = optional("torchmetrics.image.lpip", "lpips")
        self.net = net
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torchvision warns about its own arguments
                metric = module.LearnedPerceptualImagePatchSimilarity
                self._model = metric(net_type=net, normalize=True)
        except (OSError, RuntimeError) as error:  # no network, a broken or partial file
            raise MissingPackageError(
                f"the weights of LPIPS's {net} network cannot be fetched ({_first_line(error)}): "
                f"put torchvision's file into {torch.hub.get_dir()}/checkpoints, or leave LPIPS out"
            ) from None

    @property
    def name(self) -> str:
        """ "lpips_" and the net."""
        return f"lpips_{self.net}"

    @torch.no_grad()
    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> float:
        """LPIPS of images [H, W, 3] in [0, 1]; NaN below 32 pixels, too small for the networks."""
        if min(pred.shape[:2]) < LEAST_SIDE:
            return math.nan
        images = (x.clamp(0, 1).permute(2, 0, 1).unsqueeze(0) for x in (pred, target))
        value = float(self._model(*images))
        self._model.reset()
        return value


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
