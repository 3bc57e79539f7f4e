import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from format_makers import (
    circle_poses,
    nerfstudio_transforms,
    srgb_profile,
    swapped_profile,
    write_nerfstudio_scene,
)
from PIL import Image
from scene_makers import random_rgba

from taichi_pynerf.data import images, load_split
from taichi_pynerf.data.images import (
    ImageHeader,
    box_downscale,
    decode_image,
    decode_images,
    decode_mask,
    decode_straight,
    image_size,
    read_header,
)
from taichi_pynerf.errors import SceneError

ORIENTATION = 0x0112


def save(path: Path, array: np.ndarray, mode: str | None = None, **options) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def fails_in_one_line(path: Path, *words: str) -> None:
    with pytest.raises(SceneError) as caught:
        decode_image(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (path.name, *words):
        assert word in message


def test_rgba_is_premultiplied_to_the_nearest(tmp_path):
    straight = random_rgba(33, 31)
    premultiplied = decode_image(save(tmp_path / "a.png", straight))
    alpha = straight[..., 3:].astype(float)
    expected = np.round(straight[..., :3] * alpha / 255.0)
    np.testing.assert_array_equal(premultiplied[..., :3], expected)
    np.testing.assert_array_equal(premultiplied[..., 3:], alpha)
    assert premultiplied.dtype == np.uint8


def test_every_product_of_colour_and_alpha_is_rounded_to_the_nearest(tmp_path):
    value, alpha = np.meshgrid(np.arange(256), np.arange(256))
    table = np.stack([value, value, value, alpha], axis=-1).astype(np.uint8)
    premultiplied = decode_image(save(tmp_path / "table.png", table))
    np.testing.assert_array_equal(premultiplied[..., 0], np.round(value * alpha / 255.0))


def test_opaque_images_get_full_alpha(tmp_path):
    rgb = random_rgba(4, 6)[..., :3]
    decoded = decode_image(save(tmp_path / "rgb.png", rgb))
    np.testing.assert_array_equal(decoded[..., :3], rgb)
    assert (decoded[..., 3] == 255).all()


def test_jpeg_is_decoded(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    decoded = decode_image(save(tmp_path / "flat.jpg", flat, quality=95))
    assert np.abs(decoded[..., :3].astype(int) - flat).max() <= 2
    assert (decoded[..., 3] == 255).all()


def test_grey_with_and_without_alpha(tmp_path):
    grey = random_rgba(5, 7)[..., 0]
    decoded = decode_image(save(tmp_path / "grey.png", grey))
    np.testing.assert_array_equal(decoded[..., :3], np.repeat(grey[..., None], 3, axis=-1))
    grey_alpha = np.array([[[200, 255], [200, 128], [200, 0]]], np.uint8)
    Image.fromarray(grey_alpha, "LA").save(tmp_path / "la.png")
    expected = [[[200] * 3 + [255], [100] * 3 + [128], [0] * 4]]
    np.testing.assert_array_equal(decode_image(tmp_path / "la.png"), expected)


def test_one_bit_image(tmp_path):
    decoded = decode_image(save(tmp_path / "bit.png", np.array([[0, 255]], np.uint8), "1"))
    np.testing.assert_array_equal(decoded, [[[0, 0, 0, 255], [255, 255, 255, 255]]])


def test_palette_image_with_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "palette.png", transparency=bytes([255, 0]))
    decoded = decode_image(tmp_path / "palette.png")
    np.testing.assert_array_equal(decoded, [[[10, 20, 30, 255], [0, 0, 0, 0]]])


def test_sixteen_bit_grey_is_rounded_to_the_nearest(tmp_path):
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], np.uint16)
    decoded = decode_image(save(tmp_path / "deep.png", values))
    np.testing.assert_array_equal(decoded[0, :, 0], np.round(values[0] / 257.0))
    assert (decoded[..., 3] == 255).all()


def write_png(path: Path, width: int, height: int, depth: int, colour: int, rows: bytes) -> Path:
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks))
    return path


def test_sixteen_bit_colour_is_within_one_step(tmp_path):
    values = [65535, 300, 40000, 65535, 0, 65535, 1000, 65535]
    rows = b"\0" + struct.pack(">8H", *values)
    decoded = decode_image(write_png(tmp_path / "deep.png", 2, 1, 16, 6, rows))
    assert np.abs(decoded.flatten() - np.array(values) / 257.0).max() <= 1.0


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, suffix, orientation):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:, 8:, 0] = 255  # red on the right
    upright[:4, :, 1] = 255  # green at the top
    # How the camera must have stored the upright picture for each orientation.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = save(tmp_path / f"o{suffix}", np.ascontiguousarray(stored), exif=exif, quality=100)
    decoded = decode_image(path)
    assert decoded.shape == (8, 16, 4)
    assert np.abs(decoded[2::4, 2::4, :2].astype(int) - upright[2::4, 2::4, :2]).max() < 60


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    decoded = decode_image(save(tmp_path / "ink.jpg", flat, "CMYK", quality=95))
    assert np.abs(decoded[..., :3].astype(int) - flat).max() <= 3
    assert (decoded[..., 3] == 255).all()


def test_cmyk_jpeg_without_its_marker_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(buffer, "JPEG")
    data = buffer.getvalue()
    start = data.index(b"\xff\xee")  # APP14, Adobe's
    length = struct.unpack(">H", data[start + 2 : start + 4])[0]
    path = tmp_path / "ink.jpg"
    path.write_bytes(data[:start] + data[start + 2 + length :])
    fails_in_one_line(path, "CMYK", "save it as RGB")


@pytest.mark.parametrize("block", [b"Exif\0\0nothing of a TIFF", b"Exif\0\0MM\0*\0\0"])
def test_pixels_with_a_broken_exif_block_are_read(tmp_path, block):
    flat = np.full((16, 24, 3), (200, 30, 60), np.uint8)
    # With a density in its head, Pillow does not look into the block before it is asked to.
    path = save(tmp_path / "a.jpg", flat, exif=block, quality=95, dpi=(72, 72))
    assert read_header(path) == ImageHeader(24, 16, 1, False, "JPEG")
    assert np.abs(decode_image(path, channels=3).astype(int) - flat).max() <= 4
    assert decode_mask(path).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colours_with_a_profile_are_brought_to_srgb(tmp_path, mode, suffix):
    rgba = np.full((4, 6, 4), (200, 30, 60, 255), np.uint8)
    rgba[:, 3:] = (10, 90, 255, 255)
    rgba[0, 0, 3] = 90 if mode == "RGBA" else 255
    path = save(tmp_path / f"a{suffix}", rgba, mode, icc_profile=swapped_profile())
    decoded = decode_straight(path)
    assert np.abs(decoded[..., :3].astype(int) - rgba[..., [1, 0, 2]]).max() <= 1
    np.testing.assert_array_equal(decoded[..., 3], rgba[..., 3])


def test_a_colour_that_stands_for_nothing_is_found_before_the_profile_is_followed(tmp_path):
    rgb = np.full((2, 2, 3), (200, 30, 60), np.uint8)
    rgb[0, 0] = (1, 2, 3)
    path = save(
        tmp_path / "a.png", rgb, transparency=(1, 2, 3), icc_profile=swapped_profile()
    )  # fmt: skip
    assert decode_straight(path)[..., 3].tolist() == [[0, 255], [255, 255]]


def test_profiles_that_change_nothing_or_cannot_be_followed_leave_values_as_stored(tmp_path):
    rgb = random_rgba(8, 12)[..., :3]
    for profile in (srgb_profile(), b"junk" * 50, swapped_profile()[:300]):
        path = save(tmp_path / "a.png", rgb, icc_profile=profile)
        np.testing.assert_array_equal(decode_straight(path, channels=3), rgb)
    grey = save(tmp_path / "grey.png", rgb[..., 0], icc_profile=swapped_profile())
    np.testing.assert_array_equal(decode_straight(grey)[..., 1], rgb[..., 0])
    flat = np.full((8, 8, 3), (200, 30, 60), np.uint8)
    plain = decode_image(save(tmp_path / "plain.jpg", flat, "CMYK", quality=95))
    inks = save(tmp_path / "inks.jpg", flat, "CMYK", quality=95, icc_profile=swapped_profile())
    np.testing.assert_array_equal(decode_image(inks), plain)


def test_missing_file(tmp_path):
    fails_in_one_line(tmp_path / "none.png", "missing")


def test_folder_instead_of_a_file(tmp_path):
    (tmp_path / "folder.png").mkdir()
    fails_in_one_line(tmp_path / "folder.png", "cannot be decoded")


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_files_that_are_no_images(tmp_path, data):
    path = tmp_path / "broken.png"
    path.write_bytes(data)
    fails_in_one_line(path, "broken")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_truncated_image(tmp_path, suffix, kept):
    path = save(tmp_path / f"cut{suffix}", random_rgba(64, 64)[..., :3])
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    fails_in_one_line(path, "cut off or broken")


def test_corrupt_pixel_data(tmp_path):
    path = save(tmp_path / "corrupt.png", random_rgba(64, 64))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(bytes(data))
    fails_in_one_line(path, "cut off or broken")


def test_other_formats_are_refused(tmp_path):
    fails_in_one_line(
        save(tmp_path / "image.gif", random_rgba(4, 4)[..., 0]), "a GIF image", "PNG, JPEG"
    )


@pytest.mark.parametrize("side", [10_001, 60_000])
def test_images_that_claim_a_vast_size_are_refused_undecoded(tmp_path, side):
    path = write_png(tmp_path / "bomb.png", side, side, 8, 0, b"\0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SceneError, match=r"bomb\.png.*100 megapixels"):
            decode_images([path], lambda index, image: None, "Loading")
        with pytest.raises(SceneError, match=r"bomb\.png.*100 megapixels"):
            image_size(path)


def test_image_without_pixels(tmp_path):
    fails_in_one_line(write_png(tmp_path / "empty.png", 0, 4, 8, 0, b"\0"))


def test_decode_images_hands_every_image_on_with_its_index(tmp_path):
    arrays = [np.full((4, 4, 3), value, np.uint8) for value in range(20)]
    paths = [save(tmp_path / f"{i}.png", array) for i, array in enumerate(arrays)]
    seen = {}
    decode_images(paths, lambda index, image: seen.update({index: image[0, 0, 0]}), "Loading")
    assert seen == dict(enumerate(range(20)))


def test_decode_images_names_the_first_broken_file(tmp_path):
    paths = [save(tmp_path / f"{i}.png", random_rgba(4, 4)) for i in range(6)]
    for i in (2, 4):
        paths[i].write_bytes(b"")
    with pytest.raises(SceneError, match=r"2\.png"):
        decode_images(paths, lambda index, image: None, "Loading")


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6, 12])
def test_box_downscale_is_the_exact_mean(k):
    image = random_rgba(24, 36)
    means = image.reshape(24 // k, k, 36 // k, k, 4).astype(float).mean(axis=(1, 3))
    reduced = box_downscale(image, k)
    assert reduced.dtype == np.uint8
    np.testing.assert_array_equal(reduced, np.floor(means + 0.5))


def test_box_downscale_does_not_overflow():
    white = np.full((600, 600, 4), 255, np.uint8)
    assert (box_downscale(white, 600) == 255).all()


def test_scales_come_from_the_full_image_and_not_from_rounded_halves():
    image = np.zeros((4, 4, 4), np.uint8)
    image[0::2, 0::2] = 2  # every 2x2 mean is 0.5, which rounds to 1
    image[0, 0] = 1
    assert (box_downscale(box_downscale(image, 2), 2) == 1).all()
    assert (box_downscale(image, 4) == 0).all()  # 7 / 16


def test_box_downscale_says_which_factors_fit():
    with pytest.raises(SceneError, match=r"18x12.*among 1, 2, 3, 6"):
        box_downscale(np.zeros((12, 18, 4), np.uint8), 4)


def test_straight_colours_are_as_stored(tmp_path):
    straight = random_rgba(5, 7)
    np.testing.assert_array_equal(decode_straight(save(tmp_path / "a.png", straight)), straight)


def test_a_header_is_read_once_until_its_file_changes(tmp_path, monkeypatch):
    folder = write_nerfstudio_scene(tmp_path, nerfstudio_transforms(circle_poses(10)))
    paths = sorted((folder / "images").iterdir())
    exif_of, read = images.exif_of, []
    monkeypatch.setattr(
        images, "exif_of", lambda image: read.append(image.filename) or exif_of(image)
    )
    names = [load_split(folder, split).names for split in ("train", "val", "test")]
    assert list(map(len, names)) == [9, 1, 1]
    assert sorted(read) == list(map(str, paths))

    read.clear()
    stamp = paths[0].stat().st_mtime_ns
    save(paths[0], random_rgba(32, 18))
    os.utime(paths[0], ns=(stamp, stamp + 10**9))
    load_split(folder, "train")
    assert read == [str(paths[0])]
    assert read_header(paths[0]).has_alpha


def test_the_header_of_a_file_that_was_read_and_is_gone_is_an_error(tmp_path):
    path = save(tmp_path / "a.png", random_rgba(4, 4))
    read_header(path)
    path.unlink()
    with pytest.raises(SceneError, match=r"a\.png: this image file is missing"):
        read_header(path)
