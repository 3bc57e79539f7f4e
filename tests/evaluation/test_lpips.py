"""LPIPS if it is available, and the message if it is not."""

import sys
import types

import pytest
import torch

from taichi_pynerf.errors import MissingPackageError
from taichi_pynerf.evaluation.lpips import LPIPS


class FakeMetric:
    """As torchmetrics' class: the mean of what it was given since the last reset."""

    def __init__(self, net_type, normalize):
        assert normalize  # values are in [0, 1]
        self.net_type, self.values = net_type, []

    def __call__(self, pred, target):
        assert pred.shape == target.shape
        assert pred.shape[:2] == (1, 3)
        self.values.append((pred - target).abs().mean())
        return sum(self.values) / len(self.values)

    def reset(self):
        self.values.clear()


class WithoutNetwork:
    def __init__(self, **_):
        raise OSError("<urlopen error [Errno -2] Name or service not known>\nmore")


def install(monkeypatch, metric):
    lpip = types.SimpleNamespace(LearnedPerceptualImagePatchSimilarity=metric)
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setattr(
        "taichi_pynerf.evaluation.lpips.optional",
        lambda module, extra: lpip if module == "torchmetrics.image.lpip" else None,
    )


def test_each_image_is_measured_by_itself(monkeypatch):
    install(monkeypatch, FakeMetric)
    lpips = LPIPS("vgg")
    assert lpips.name == "lpips_vgg"
    black, grey = torch.zeros(40, 48, 3), torch.full((40, 48, 3), 0.5)
    assert lpips(black, grey) == pytest.approx(0.5)
    assert lpips(black, black) == 0.0


def test_too_small_an_image_has_no_value(monkeypatch):
    install(monkeypatch, FakeMetric)
    value = LPIPS()(torch.zeros(31, 64, 3), torch.zeros(31, 64, 3))
    assert value != value


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch):
    install(monkeypatch, WithoutNetwork)
    with pytest.raises(MissingPackageError, match="alex network cannot be fetched") as caught:
        LPIPS()
    assert "\n" not in str(caught.value)
    assert "checkpoints" in str(caught.value)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingPackageError, match=r"taichi-pynerf\[lpips\]"):
        LPIPS()


def test_a_torchvision_of_another_torch_is_one_line(monkeypatch):
    def broken(module):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("taichi_pynerf.extras.importlib.import_module", broken)
    with pytest.raises(MissingPackageError, match="take torch and torchvision of one build"):
        LPIPS()


def test_an_unknown_net_is_refused():
    with pytest.raises(ValueError, match="resnet"):
        LPIPS("resnet")
