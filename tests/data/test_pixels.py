import os

import numpy as np
import pytest
from scene_makers import make_cameras, make_scene, write_blender_scene

from taichi_pynerf.data import PyNeRFDataset, load_split, pixels
from taichi_pynerf.errors import SceneError, SceneWarning


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("TAICHI_PYNERF_CACHE", str(folder))
    return folder


def test_large_buffers_are_files_that_vanish(tmp_path, cache, monkeypatch):
    scene_dir = write_blender_scene(tmp_path / "scene")
    in_memory = load_split(scene_dir, "train")
    assert not isinstance(in_memory.pixels, np.memmap)
    monkeypatch.setattr(pixels, "MAX_BYTES_IN_MEMORY", 100)
    mapped = load_split(scene_dir, "train")
    assert isinstance(mapped.pixels, np.memmap)
    np.testing.assert_array_equal(mapped.pixels, in_memory.pixels)
    assert PyNeRFDataset.from_scene(mapped).image(1).shape == (8, 16, 3)
    assert list(cache.iterdir()) == []  # the file has no name


def test_no_room_is_said(monkeypatch, cache):
    monkeypatch.setattr(pixels, "MAX_BYTES_IN_MEMORY", 100)
    with pytest.raises(SceneError, match=r"need 9437184\.0 GiB.*img_downscale"):
        pixels.allocate(3 * 2**50, 3)
    cache.rmdir()
    cache.write_text("a file")
    with pytest.raises(SceneError, match="no room"):
        pixels.allocate(1000, 3)


def test_windows_are_the_images():
    scene = make_scene()
    parts = pixels.windows(np.arange(3 * 8 * 16), make_cameras())
    assert [part.shape for part in parts] == [(8, 16)] * 3
    assert parts[1][0, 0] == 128
    assert scene.images[2].base is not None


def test_the_cache_knows_changed_files_and_settings(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    first = pixels.cache_path([path], (8, 3))
    assert pixels.cache_path([path], (8, 3)) == first
    assert pixels.cache_path([path], (4, 3)) != first
    os.utime(path, ns=(1, 1))
    assert pixels.cache_path([path], (8, 3)) != first


def test_kept_pixels_come_back_and_others_do_not(cache):
    kept = np.arange(12, dtype=np.uint8).reshape(4, 3)
    path = cache / "pixels" / "some.npy"
    assert pixels.read_cached(path, 4, 3) is None
    pixels.write_cached(path, kept)
    np.testing.assert_array_equal(pixels.read_cached(path, 4, 3), kept)
    assert pixels.read_cached(path, 4, 4) is None
    path.write_bytes(path.read_bytes()[:-3])
    assert pixels.read_cached(path, 4, 3) is None


def test_the_least_lately_used_go_first(cache, monkeypatch):
    monkeypatch.setattr(pixels, "MAX_BYTES_IN_CACHE", 3000)
    paths = [cache / "pixels" / f"{i}.npy" for i in range(4)]
    for i, path in enumerate(paths[:3]):
        pixels.write_cached(path, np.zeros((300, 3), np.uint8))
        os.utime(path, (i, i))
    pixels.read_cached(paths[0], 300, 3)
    pixels.write_cached(paths[3], np.zeros((300, 3), np.uint8))
    assert [path.exists() for path in paths] == [True, False, True, True]
    pixels.write_cached(cache / "pixels" / "large.npy", np.zeros((3000, 3), np.uint8))
    assert not (cache / "pixels" / "large.npy").exists()


def test_a_cache_that_cannot_be_written_is_a_warning(cache):
    cache.write_text("a file")
    with pytest.warns(SceneWarning, match="cannot be kept"):
        pixels.write_cached(cache / "pixels" / "some.npy", np.zeros((4, 3), np.uint8))
