import pytest

from taichi_pynerf.rendering.preview import median_view


@pytest.mark.parametrize(
    ("psnrs", "view"),
    [([20.0], 0), ([30.0, 10.0], 1), ([25.0, 35.0, 15.0], 0), ([None, 12.0, 40.0], 2)],
)
def test_the_view_that_stands_for_all_is_as_good_as_half_of_them(psnrs, view):
    images = [{"scale": 1, "psnr": psnr} for psnr in psnrs]
    coarser = [{"scale": 8, "psnr": 1.0}] * 9  # another scale has no say
    assert median_view(images + coarser) == view
