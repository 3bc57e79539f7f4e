"""Images of all common kinds, linear ones through a tone curve, and wrong suffixes."""

import threading

import numpy as np
import pytest
from PIL import Image
from scene_makers import random_rgba, write_blender_scene

from taichi_pynerf.data import load_split
from taichi_pynerf.data.image_kinds import KINDS, kind_of
from taichi_pynerf.data.images import decode_image, decode_straight, read_header
from taichi_pynerf.data.linear_images import srgb, write_exr
from taichi_pynerf.errors import SceneError, SceneWarning

oiio = pytest.importorskip("OpenImageIO")
tifffile = pytest.importorskip("tifffile")

LIGHT = np.array([[0.0, 0.001, 0.18, 0.5], [1.0, 4.0, 0.9, 0.02]], dtype=np.float32)


def write_hdr(path, rgb):
    spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], 3, oiio.FLOAT)
    file = oiio.ImageOutput.create(str(path))
    assert file.open(str(path), spec)
    assert file.write_image(rgb)
    file.close()
    return path


def smooth(height=48, width=64):
    """[H, W, 3] uint8 without edges, which lossy kinds keep well."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x + 40, 3 * y + 30, x + y + 60], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("suffix", "kind", "options"),
    [
        (".webp", "WebP", {"lossless": True}),
        (".tif", "TIFF", {}),
        (".tiff", "TIFF", {"compression": "tiff_lzw"}),
        (".bmp", "BMP", {}),
    ],
)
def test_lossless_kinds_are_read_to_the_bit(tmp_path, suffix, kind, options):
    pixels = random_rgba(9, 7)[..., :3]
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", **options)
    header = read_header(tmp_path / f"a{suffix}")
    assert (header.width, header.height, header.has_alpha, header.kind) == (7, 9, False, kind)
    np.testing.assert_array_equal(decode_image(tmp_path / f"a{suffix}", channels=3), pixels)


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_avif_and_heic_are_read(tmp_path, suffix):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    path = tmp_path / f"a{suffix}"
    Image.fromarray(smooth()).save(path, quality=95)
    assert read_header(path).stored_size == (64, 48)
    assert np.abs(decode_image(path, channels=3).astype(int) - smooth()).max() <= 12
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SceneError, match="cut off or broken"):
        decode_image(path)


def test_an_absent_reader_is_named_with_what_installs_it(tmp_path, monkeypatch):
    def absent(module, extra):
        from taichi_pynerf.errors import MissingPackageError

        raise MissingPackageError(f'{module} is absent: pip install "taichi-pynerf[{extra}]"')

    monkeypatch.setattr("taichi_pynerf.data.image_kinds.optional", absent)
    monkeypatch.setattr("taichi_pynerf.data.linear_images.optional", absent)
    (tmp_path / "IMG_1.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(SceneError, match=r"IMG_1.jpg: a HEIC image in spite of its name.*\[heif\]"):
        read_header(tmp_path / "IMG_1.jpg")
    (tmp_path / "a.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(40))
    with pytest.raises(SceneError, match=r"a\.exr.*\[hdr\]"):
        read_header(tmp_path / "a.exr")


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_tiff(tmp_path, dtype, channels):
    values = np.random.default_rng(0).integers(0, 2**16, (5, 6, channels)).astype(dtype)
    order = ">" if dtype[0] == ">" else "<"
    shape = values[..., 0] if channels == 1 else values
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(
        tmp_path / "deep.tif", shape, byteorder=order,
        photometric="minisblack" if channels == 1 else "rgb", **extra,
    )  # fmt: skip
    decoded = decode_straight(tmp_path / "deep.tif", channels=3)
    expected = np.broadcast_to(values[..., :3] / 257.0, (5, 6, 3))
    assert np.abs(decoded - expected).max() <= (0.51 if channels == 1 else 1.0)


def test_tiffs_that_cannot_be_shown_are_refused_in_words(tmp_path):
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(SceneError, match=r"float\.tif.*mode F"):
        decode_image(tmp_path / "float.tif")
    tifffile.imwrite(tmp_path / "wide.tif", np.full((4, 4), 70_000, np.int32))
    with pytest.raises(SceneError, match=r"wide\.tif.*32 bits"):
        decode_image(tmp_path / "wide.tif")


@pytest.mark.parametrize("exposure", [0.0, -2.0, 1.5])
@pytest.mark.parametrize("suffix", [".exr", ".hdr"])
def test_light_goes_through_exposure_and_the_srgb_curve(tmp_path, suffix, exposure):
    path = tmp_path / f"light{suffix}"
    rgb = np.stack([LIGHT, LIGHT[::-1], 0.5 * LIGHT], -1)
    if suffix == ".exr":
        write_exr(path, {name: rgb[..., i] for i, name in enumerate("RGB")}, {})
    else:
        write_hdr(path, rgb)
    assert read_header(path).stored_size == (4, 2)
    decoded = decode_straight(path, exposure=exposure)
    # A Radiance value keeps 8 bits of the greatest of its three.
    step = 0.0 if suffix == ".exr" else 2.0 ** np.ceil(np.log2(rgb.max(-1, keepdims=True))) / 128
    low, high = (255 * srgb((rgb + sign * step) * 2.0**exposure) for sign in (-1, 1))
    assert (decoded[..., :3] >= low - 0.6).all()
    assert (decoded[..., :3] <= high + 0.6).all()
    assert (decoded[..., 3] == 255).all()


def test_srgb_curve_is_the_standard_one():
    values = np.array([-1.0, 0.0, 0.0031308, 0.18, 0.5, 1.0, 9.0])
    expected = [0.0, 0.0, 0.04045, 0.461356, 0.735357, 1.0, 1.0]
    np.testing.assert_allclose(srgb(values), expected, atol=1e-5)


def test_exr_alpha_is_no_light_and_colours_come_multiplied_by_it(tmp_path):
    alpha = np.array([[0.0, 0.25, 1.0]], np.float32)
    write_exr(tmp_path / "a.exr", {"R": 0.5 * alpha, "G": alpha, "B": 0 * alpha, "A": alpha}, {})
    assert read_header(tmp_path / "a.exr").has_alpha
    straight = decode_straight(tmp_path / "a.exr")
    np.testing.assert_array_equal(straight[0, 1:, :3], [[188, 255, 0]] * 2)
    np.testing.assert_array_equal(straight[0, :, 3], [0, 64, 255])


def test_exr_values_that_are_no_numbers_become_black_or_white(tmp_path):
    values = np.array([[np.nan, np.inf, -np.inf, -3.0, 1e30]], np.float32)
    write_exr(tmp_path / "odd.exr", dict.fromkeys("RGB", values), {})
    np.testing.assert_array_equal(decode_image(tmp_path / "odd.exr")[0, :, 0], [0, 255, 0, 0, 255])


def test_exr_layers_grey_and_a_part_of_the_picture(tmp_path):
    names = [f"ViewLayer.{kind}.{c}" for kind in ("Combined", "Mist") for c in "BGR"]
    values = {name: np.full((2, 2), 0.1 * i, np.float32) for i, name in enumerate(names)}
    write_exr(tmp_path / "layers.exr", values, {})
    expected = np.round(255 * srgb(np.array([0.2, 0.1, 0.0])))
    np.testing.assert_array_equal(decode_image(tmp_path / "layers.exr")[0, 0, :3], expected)

    write_exr(tmp_path / "grey.exr", {"Y": np.full((2, 2), 0.5, np.float32)}, {})
    np.testing.assert_array_equal(decode_image(tmp_path / "grey.exr")[0, 0, :3], [188] * 3)

    write_exr(tmp_path / "none.exr", {"Z": np.ones((2, 2), np.float32)}, {})
    with pytest.raises(SceneError, match=r"none\.exr: no channels R, G, B"):
        decode_image(tmp_path / "none.exr")

    spec = oiio.ImageSpec(2, 1, 3, oiio.HALF)
    spec.x, spec.y, spec.full_width, spec.full_height = 3, 1, 6, 4
    file = oiio.ImageOutput.create(str(tmp_path / "part.exr"))
    assert file.open(str(tmp_path / "part.exr"), spec)
    assert file.write_image(np.ones((1, 2, 3), np.float32))
    file.close()
    decoded = decode_image(tmp_path / "part.exr", channels=3)
    assert decoded.shape == (4, 6, 3)
    assert (decoded[1, 3:5] == 255).all()
    assert decoded.sum() == 6 * 255


def test_large_linear_images_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    from taichi_pynerf.data import images, linear_images

    paths = [tmp_path / f"{i}.exr" for i in range(6)]
    for path in paths:
        write_exr(path, dict.fromkeys("RGB", np.ones((4, 4), np.float32)), {})
    inside, most, lock = [0], [0], threading.Lock()
    true_planes = linear_images._planes

    def counted(*args):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        planes = true_planes(*args)
        with lock:
            inside[0] -= 1
        return planes

    monkeypatch.setattr(linear_images, "_planes", counted)
    monkeypatch.setattr(images.os, "cpu_count", lambda: 6)
    images.decode_images(paths, lambda index, image: None, "Loading")
    assert most[0] == 1


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"GIF89a" + bytes(9), "a GIF image"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x20ftypisom" + bytes(20), "a video"),
        (b"", "empty"),
        (b"hello", "not an image of a known kind"),
    ],
)
def test_what_is_no_image_is_called_by_its_name(tmp_path, head, words):
    (tmp_path / "photo.jpg").write_bytes(head)
    with pytest.raises(SceneError, match=words) as caught:
        read_header(tmp_path / "photo.jpg")
    assert all(kind in str(caught.value) for kind in KINDS)


def test_raw_photographs_are_refused_though_they_look_like_tiffs(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "a.DNG")
    with pytest.raises(SceneError, match="raw photograph"):
        kind_of(tmp_path / "a.DNG")


def test_wrong_suffixes_are_told_once_and_read_as_what_they_are(tmp_path):
    folder = write_blender_scene(tmp_path / "scene")
    for path in sorted((folder / "train").glob("*.png"))[:2]:
        with Image.open(path) as image:
            image.convert("RGB").save(path, format="WEBP", lossless=True)
    with pytest.warns(SceneWarning, match=r"2 of 3 images.*r_0\.png is a WebP image"):
        scene = load_split(folder, "train")
    assert len(scene) == 3


def test_a_scene_of_exr_images_takes_the_exposure(tmp_path):
    folder = write_blender_scene(tmp_path / "scene", width=8, height=6)
    for path in (folder / "train").glob("*.png"):
        path.unlink()
        write_exr(path.with_suffix(".exr"), dict.fromkeys("RGB", np.full((6, 8), 0.1)), {})
    for exposure in (0.0, 2.0):
        scene = load_split(folder, "train", exposure=exposure)
        value = round(255 * float(srgb(np.array(0.1 * 2**exposure))))
        assert scene.pixels.shape == (3 * 48, 3)
        assert (scene.pixels == value).all()
