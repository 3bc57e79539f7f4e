"""Optional packages."""

import json

import pytest

from taichi_pynerf.errors import MissingPackageError
from taichi_pynerf.extras import optional


def test_an_installed_package_is_imported():
    assert optional("json.decoder", "any") is json.decoder


def test_an_absent_one_is_named_with_the_extra_that_brings_it():
    with pytest.raises(MissingPackageError) as caught:
        optional("no_such_package.inside", "video")
    assert "\n" not in str(caught.value)
    assert "no_such_package" in str(caught.value)
    assert 'pip install "taichi-pynerf[video]"' in str(caught.value)


def test_one_that_does_not_load_is_told_from_an_absent_one(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("raise RuntimeError('operator x::y does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError, match=r"half_there is installed.*x::y") as caught:
        optional("half_there", "lpips")
    assert "pip install" not in str(caught.value)
    assert "one build" in str(caught.value)
