"""The exposure of a photograph that a model has not seen, from its EXIF data.

Training learns a colour map for each of its photographs (`training.color_correction`). Their gains
follow the exposures that EXIF records, in a way that depends on the camera: display colours are
about the power 1 / 2.2 of the light, but cameras also lift shadows, and lenses add glare. So a line
is fitted through the logarithms of both. It gives the gain of a held-out photograph without a look
at its pixels. White balance is not in EXIF in numbers, so all channels have one gain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import torch

from taichi_pynerf.evaluation.metrics import compute_psnr, compute_ssim

LEAST_PHOTOS = 5  # photographs with EXIF exposure; fewer lie on a line by chance
LEAST_SPREAD = 1 / 3  # stops between the extreme exposures: the steps that cameras set
LEAST_CORRELATION = 0.5  # Kendall's tau; five gains in random order reach it in 12 % of cases
BEYOND = 1.0  # stops by which a line is followed beyond the exposures that it was fitted to


@dataclass(frozen=True)
class ExposureResponse:
    """How the colours of photographs follow their exposures by EXIF.

    Attributes:
        slope: stops of display colours per stop of exposure; above 0.
        middle: exposure of gain 1, stops relative to 1 s at f/1 and ISO 100.
        low, high: least and greatest exposure of the training photographs.
        photos: number of photographs that the line was fitted to.
        correlation: Kendall's tau of their exposures and gains.
    """

    slope: float
    middle: float
    low: float
    high: float
    photos: int
    correlation: float

    def gain(self, exposure: float) -> float:
        """Factor on the display colours of the mean photograph; 1 for an exposure of NaN."""
        if math.isnan(exposure):
            return 1.0
        within = min(max(exposure, self.low - BEYOND), self.high + BEYOND)
        return 2.0 ** (self.slope * (within - self.middle))

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, for checkpoints and reports."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> ExposureResponse | None:
        """The inverse of `to_dict`; None for anything else."""
        try:
            found = cls(**values)  # type: ignore[arg-type]
            good = all(math.isfinite(value) for value in asdict(found).values())
        except TypeError:
            return None
        return found if good else None


def fit_response(
    gains: torch.Tensor, exposures: torch.Tensor
) -> tuple[ExposureResponse | None, str]:
    """The line through the gains of photographs over their exposures.

    Theil and Sen's estimate, the median of the slopes between all pairs of different exposures: a
    photograph with the sun in the lens hardly moves it.

    Args:
        gains: [K] above 0, factors by which photographs are brighter than the mean photograph.
        exposures: [K] by EXIF, in stops; NaN where unknown.

    Returns:
        The response, or None if the exposures say nothing; and why, in words.
    """
    known = ~exposures.isnan() & (gains > 0)
    x, y = exposures[known].double(), gains[known].double().log2()
    if len(x) < LEAST_PHOTOS:
        return None, f"{len(x)} training photographs have it, and {LEAST_PHOTOS} are needed"
    low, high = float(x.min()), float(x.max())
    if high - low < LEAST_SPREAD:
        return None, f"the training photographs differ in it by {high - low:.2f} stops alone"
    first, second = torch.triu_indices(len(x), len(x), 1)
    dx, dy = x[second] - x[first], y[second] - y[first]
    apart = dx.abs() > 1e-3
    slope = float((dy[apart] / dx[apart]).quantile(0.5))
    agree = (dx[apart] * dy[apart]).sign()
    correlation = float(agree.sum() / (apart.sum() * (dy != 0).sum().clamp_min(1)).sqrt())
    if slope <= 0 or correlation < LEAST_CORRELATION:
        return None, f"colours do not follow it (Kendall's tau {correlation:.2f})"
    level = float((y - slope * x).quantile(0.5))
    response = ExposureResponse(slope, -level / slope, low, high, len(x), correlation)
    return response, f"{slope:.2f} stops of colour per stop (Kendall's tau {correlation:.2f})"


@dataclass(frozen=True)
class ExposedMetric:
    """A metric of a render that is exposed as the photograph was, by EXIF.

    Attributes:
        metric: a function of a render, a photograph and, by name, a mask.
        response: gives the gain.
        exposure: exposure of the photograph, in stops; NaN stands for the mean exposure.
    """

    metric: Callable[..., float]
    response: ExposureResponse
    exposure: float = math.nan

    def at(self, exposure: float) -> ExposedMetric:
        """The metric for a photograph of this exposure."""
        return replace(self, exposure=exposure)

    def __call__(
        self, rgb: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None
    ) -> float:
        """The metric of a render and a photograph, [H, W, 3] each, where mask [H, W] is true."""
        return self.metric(exposed(rgb, self.response.gain(self.exposure)), target, mask=mask)


def exposed(rgb: torch.Tensor, gain: float) -> torch.Tensor:
    """Display colours in [0, 1], brighter by a factor."""
    return (rgb * gain).clamp(0, 1)


def exif_metrics(response: ExposureResponse | None) -> Mapping[str, ExposedMetric]:
    """PSNR and SSIM of renders exposed by EXIF; none without a response."""
    if response is None:
        return {}
    metrics = {"psnr_exif": compute_psnr, "ssim_exif": compute_ssim}
    return {name: ExposedMetric(metric, response) for name, metric in metrics.items()}


def response_in(training: object) -> ExposureResponse | None:
    """The response in the training state of a checkpoint, if there is one."""
    values = training.get("exposure_response") if isinstance(training, dict) else None
    return ExposureResponse.from_dict(values)
