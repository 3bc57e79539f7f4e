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
