"""Image quality: PSNR, and SSIM as in Mip-NeRF's evaluation."""

from __future__ import annotations

import math

import torch


def compute_psnr(
    pred: torch.Tensor, target: torch.Tensor, *, mask: torch.Tensor | None = None
) -> float:
    """Peak signal-to-noise ratio in dB, for values in [0, 1]; `inf` if the two are equal.

    .. math:: -10 \\log_{10} \\operatorname{mean}((pred - target)^2)

    Args:
        pred, target: float tensors of one shape, usually [H, W, 3].
        mask: bool, of that shape without the last axis: which pixels count; None: all.

    Raises:
        ValueError: the shapes differ, or the tensors are empty or not of floats, or no pixel
            counts.
    """
    _check_pair(pred, target)
    if mask is not None:
        pred, target = pred[mask], target[mask]
        _check_pair(pred, target)
    mse = (pred.double() - target.double()).square().mean().item()
    return math.inf if mse == 0.0 else -10.0 * math.log10(mse)


def compute_ssim(
    pred: torch.Tensor,
    target: torch.Tensor,
    *,
    window_size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    mask: torch.Tensor | None = None,
) -> float:
    """Structural similarity (Wang et al. 2004) with the settings of Mip-NeRF's evaluation.

    Means, variances and covariances come from a Gaussian window, at all places where the whole
    window lies inside the image. Variances are clamped to be at least 0, and covariances to what
    the variances allow. The result is the mean over pixels and channels. In an image narrower than
    the window, the window shrinks to the greatest odd size that fits.

    Args:
        pred, target: [H, W, 3] float tensors with values in [0, 1].
        window_size: odd number of taps of the window.
        sigma: width of the Gaussian in pixels.
        k1, k2: stabilisers of the two fractions.
        mask: [H, W] bool, which pixels count; all if None. Pixels that do not count are taken
            from `target`. A window counts if its middle pixel does; if none does, all count.

    Raises:
        ValueError: the shapes differ or are not [H, W, 3], the tensors are empty or not of floats,
            or `window_size` is not odd and positive.
    """
    _check_pair(pred, target)
    if pred.ndim != 3 or pred.shape[-1] != 3:
        raise ValueError(f"SSIM compares images of shape [H, W, 3], got {list(pred.shape)}")
    if window_size < 1 or window_size % 2 == 0:
        raise ValueError(f"the SSIM window needs an odd number of taps, got {window_size}")
    smaller_side = min(pred.shape[:2])
    window_size = min(window_size, smaller_side - (smaller_side + 1) % 2)
    middles = every = torch.ones(1, 1, dtype=torch.bool, device=pred.device)
    if mask is not None:
        pred = torch.where(mask[..., None], pred, target)
        border = window_size // 2
        middles = mask[border : mask.shape[0] - border, border : mask.shape[1] - border]
        if not middles.any():  # only pixels at the border count
            middles = every

    # float64, as in bright flat regions a variance is a small difference of large numbers. One
    # channel at a time stays in the cache, which matters most for speed.
    window = _gaussian_window(window_size, sigma)
    x, y = (im.detach().double().permute(2, 0, 1).contiguous() for im in (pred, target))
    per_channel = [
        _ssim_map(x[c], y[c], window, k1**2, k2**2).masked_select(middles).mean() for c in range(3)
    ]
    return torch.stack(per_channel).mean().item()


def _ssim_map(
    x: torch.Tensor, y: torch.Tensor, window: list[float], c1: float, c2: float
) -> torch.Tensor:
    """The SSIM of two images [H, W] in every window."""
    mean_x, mean_y = _filter_valid(x, window), _filter_valid(y, window)
    var_x = (_filter_valid(x * x, window) - mean_x**2).clamp(min=0.0)
    var_y = (_filter_valid(y * y, window) - mean_y**2).clamp(min=0.0)
    greatest_cov = (var_x * var_y).sqrt()
    cov = _filter_valid(x * y, window) - mean_x * mean_y
    cov = cov.clamp(min=-greatest_cov, max=greatest_cov)
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2.0 * cov + c2) / (var_x + var_y + c2)
    return luminance * structure


def _gaussian_window(num_taps: int, sigma: float) -> list[float]:
    """A Gaussian around the middle tap, with sum 1."""
    taps = [math.exp(-0.5 * ((i - num_taps // 2) / sigma) ** 2) for i in range(num_taps)]
    return [tap / sum(taps) for tap in taps]


def _filter_valid(image: torch.Tensor, window: list[float]) -> torch.Tensor:
    """Filter an image [H, W] along both axes, where the whole window lies inside."""
    for axis in (0, 1):
        size = image.shape[axis] - len(window) + 1
        filtered = image.narrow(axis, 0, size) * window[0]
        for i, tap in enumerate(window[1:], start=1):
            filtered.add_(image.narrow(axis, i, size), alpha=tap)
        image = filtered
    return image


def _check_pair(pred: torch.Tensor, target: torch.Tensor) -> None:
    if pred.shape != target.shape:
        raise ValueError(
            f"pred and target must have one shape, got {list(pred.shape)} and {list(target.shape)}"
        )
    if pred.numel() == 0:
        raise ValueError("pred and target have no pixels")
    if not (pred.is_floating_point() and target.is_floating_point()):
        raise ValueError("pred and target must be float tensors with values in [0, 1]")
