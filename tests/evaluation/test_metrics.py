import math

import numpy as np
import pytest
import torch

from taichi_pynerf.evaluation.metrics import compute_psnr, compute_ssim


def image_pair(height=24, width=31, noise=0.1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(height, width, 3, generator=generator)
    target[:, : width // 2] = 1.0  # a bright flat half, where variances nearly cancel
    pred = (target + noise * torch.randn(height, width, 3, generator=generator)).clamp(0, 1)
    return pred, target


@pytest.mark.parametrize("error", [1.0, 0.1, 0.01, 1e-3])
def test_psnr_of_a_constant_error(error):
    target = torch.zeros(4, 5, 3)
    assert compute_psnr(target + error, target) == pytest.approx(-20 * math.log10(error), abs=1e-4)


def test_psnr_of_one_wrong_pixel_and_of_none():
    target = torch.full((10, 10, 3), 0.25)
    pred = target.clone()
    pred[3, 4] += 0.5
    assert compute_psnr(pred, target) == pytest.approx(-10 * math.log10(0.25 / 100), abs=1e-5)
    assert compute_psnr(target, target) == math.inf


def test_ssim_of_equal_images_is_one():
    pred, _ = image_pair()
    assert compute_ssim(pred, pred) == pytest.approx(1.0, abs=1e-12)


def test_ssim_of_flat_images_by_hand():
    # Without variance only the luminance term is left.
    pred, target = torch.full((12, 12, 3), 0.2), torch.full((12, 12, 3), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert compute_ssim(pred, target) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_ssim_stays_on_the_device_of_its_images(masked):
    """Here the images lie on the processor, and another device is where tensors go by default."""
    x, y = torch.rand(12, 13, 3), torch.rand(12, 13, 3)
    mask = torch.rand(12, 13) < 0.5 if masked else None
    expected = compute_ssim(x, y, mask=mask)
    with torch.device("meta"):
        assert compute_ssim(x, y, mask=mask) == expected


def test_ssim_is_symmetric_and_falls_with_noise():
    values = [compute_ssim(*image_pair(noise=noise)) for noise in (0.01, 0.05, 0.2)]
    assert values == sorted(values, reverse=True)
    pred, target = image_pair()
    assert compute_ssim(pred, target) == pytest.approx(compute_ssim(target, pred), abs=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
def test_ssim_agrees_with_scipy(noise):
    ndimage = pytest.importorskip("scipy.ndimage")
    pred, target = image_pair(noise=noise, seed=3)
    taps = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    taps /= taps.sum()

    def blur(image):
        for axis in (0, 1):
            image = ndimage.correlate1d(image, taps, axis=axis)
        return image[5:-5, 5:-5]

    x, y = pred.double().numpy(), target.double().numpy()
    mean_x, mean_y = blur(x), blur(y)
    var_x = np.maximum(0.0, blur(x * x) - mean_x**2)
    var_y = np.maximum(0.0, blur(y * y) - mean_y**2)
    cov = blur(x * y) - mean_x * mean_y
    cov = np.sign(cov) * np.minimum(np.sqrt(var_x * var_y), np.abs(cov))
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    ssim /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    assert compute_ssim(pred, target) == pytest.approx(ssim.mean(), abs=1e-9)


@pytest.mark.parametrize(("height", "window_size"), [(10, 9), (9, 9), (2, 1), (1, 1)])
def test_ssim_window_shrinks_to_fit(height, window_size):
    pred, target = image_pair(height=height)
    small = compute_ssim(pred, target, window_size=window_size)
    assert compute_ssim(pred, target) == small
    assert -1.0 <= small < 1.0


@pytest.mark.parametrize("metric", [compute_psnr, compute_ssim])
def test_metrics_refuse_what_they_cannot_compare(metric):
    image = torch.zeros(12, 12, 3)
    with pytest.raises(ValueError, match="one shape"):
        metric(image, image[:-1])
    with pytest.raises(ValueError, match="no pixels"):
        metric(image[:0], image[:0])
    with pytest.raises(ValueError, match="float"):
        metric(image.byte(), image)


def test_ssim_refuses_other_layouts_and_windows():
    image = torch.zeros(3, 12, 12)
    with pytest.raises(ValueError, match="H, W, 3"):
        compute_ssim(image, image)
    image = torch.zeros(12, 12, 3)
    for window_size in (0, -1, 4):
        with pytest.raises(ValueError, match="odd"):
            compute_ssim(image, image, window_size=window_size)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
def test_psnr_and_ssim_agree_with_scikit_image(noise):
    skimage = pytest.importorskip("skimage.metrics")
    pred, target = image_pair(noise=noise, seed=5)
    x, y = pred.double().numpy(), target.double().numpy()
    if noise:
        expected = skimage.peak_signal_noise_ratio(y, x, data_range=1.0)
        assert compute_psnr(pred, target) == pytest.approx(expected, abs=1e-4)
    expected = skimage.structural_similarity(
        x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0,
        channel_axis=-1,
    )  # fmt: skip
    assert compute_ssim(pred, target) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_psnr_and_ssim_agree_with_torchmetrics(noise):
    torchmetrics = pytest.importorskip("torchmetrics.functional.image")
    pred, target = image_pair(noise=noise, seed=6)
    x, y = (image.permute(2, 0, 1).unsqueeze(0).double() for image in (pred, target))
    expected = torchmetrics.peak_signal_noise_ratio(x, y, data_range=1.0)
    assert compute_psnr(pred, target) == pytest.approx(float(expected), abs=1e-4)
    _, ssim_map = torchmetrics.structural_similarity_index_measure(
        x, y, gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=1.0,
        return_full_image=True,
    )  # fmt: skip
    expected = ssim_map[..., 5:-5, 5:-5].mean()  # where the window lies inside of the image
    assert compute_ssim(pred, target) == pytest.approx(float(expected), abs=1e-4)
