"""Copies of photos: what they keep of the photos, and what is no photo."""

import numpy as np
import pytest
from format_makers import swapped_profile, write_images
from PIL import ExifTags, Image

from taichi_pynerf.data.authoring.photo_folder import gather_photos
from taichi_pynerf.data.images import decode_straight, read_header
from taichi_pynerf.errors import SceneError, SceneWarning

FLAT = np.full((16, 24, 3), (200, 30, 60), np.uint8)


def camera_exif(orientation):
    """What a phone says of a photo."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Model] = "phone"
    exif.get_ifd(ExifTags.IFD.Exif).update({
        ExifTags.Base.FocalLength: 5.5, ExifTags.Base.FocalLengthIn35mmFilm: 26,
        ExifTags.Base.ExposureTime: 0.01, ExifTags.Base.FNumber: 2.0,
        ExifTags.Base.ISOSpeedRatings: 200, ExifTags.Base.ExifImageWidth: 24,
    })  # fmt: skip
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    exif.update({ExifTags.IFD.Exif: 0, ExifTags.IFD.GPSInfo: 0})  # else a TIFF gets neither
    return exif


def gather(source, tmp_path):
    (tmp_path / "copies").mkdir()
    return gather_photos(source, tmp_path / "copies", progress=False)[0], tmp_path / "copies"


def told_to_give_their_folder(source):
    with pytest.warns(SceneWarning, match="give their folder itself"):
        gather_photos(source, source, progress=False)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_copies_keep_the_lens_the_exposure_and_the_place(tmp_path, suffix):
    source = tmp_path / "in"
    source.mkdir()
    path = source / f"a{suffix}"
    Image.fromarray(FLAT).save(path, exif=camera_exif(6))
    ((name,),), copies = gather(source, tmp_path)
    header = read_header(copies / name)
    assert (header.width, header.height, header.orientation) == (16, 24, 1)
    assert header.exposure == read_header(path).exposure == pytest.approx(np.log2(0.005))
    with Image.open(copies / name) as image:
        exif = image.getexif()
        values = exif.get_ifd(ExifTags.IFD.Exif)
        assert values[ExifTags.Base.FocalLength] == 5.5
        assert values[ExifTags.Base.FocalLengthIn35mmFilm] == 26
        assert ExifTags.Base.ExifImageWidth not in values  # it is another one now
        assert exif[ExifTags.Base.Model] == "phone"
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


def test_a_photo_with_a_broken_exif_block_is_copied(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    Image.fromarray(FLAT).save(source / "a.jpg", exif=b"Exif\0\0nothing of a TIFF", dpi=(72, 72))
    assert gather(source, tmp_path)[0] == [["a.jpg"]]


def test_profiles_of_converted_and_turned_photos_are_followed(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    profile = swapped_profile()
    Image.fromarray(FLAT).save(source / "a.webp", lossless=True, icc_profile=profile)
    Image.fromarray(FLAT).save(
        source / "b.jpg", quality=95, icc_profile=profile, exif=camera_exif(6)
    )
    Image.fromarray(FLAT).save(source / "c.png", icc_profile=profile)
    _, copies = gather(source, tmp_path)
    for name in ("a.jpg", "b.jpg", "c.png"):
        swapped = decode_straight(copies / name)[4, 4, :3].astype(int)
        assert np.abs(swapped - (30, 200, 60)).max() <= 6
    assert (copies / "c.png").read_bytes() == (source / "c.png").read_bytes()


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_what_is_transparent_stays_so(tmp_path, suffix):
    source = tmp_path / "in"
    source.mkdir()
    rgba = np.dstack([FLAT, np.full(FLAT.shape[:2], 255, np.uint8)])
    rgba[:, :12, 3] = 0
    Image.fromarray(rgba).save(source / f"a{suffix}", lossless=True)
    Image.fromarray(FLAT).save(source / f"b{suffix}")
    groups, copies = gather(source, tmp_path)
    assert groups == [["a.png", "b.jpg"]]
    np.testing.assert_array_equal(decode_straight(copies / "a.png")[..., 3], rgba[..., 3])


def test_masks_depths_and_reduced_copies_are_no_photos(tmp_path):
    source = tmp_path / "in"
    write_images(source / "images", ["a.png", "b.png", "b_mask.png", "dynamic_mask_a.png"], 24, 16)
    write_images(source / "images_2", ["a.png", "b.png"], 12, 8)
    write_images(source / "masks", ["a.png"], 24, 16)
    write_images(source / "depth" / "raw", ["a.png"], 24, 16)
    write_images(source / "images_3", ["c.png"], 24, 16)  # of another camera
    with pytest.warns(SceneWarning, match="6 images are masks, depths or reduced copies"):
        ((*names,),), _ = gather(source, tmp_path)
    assert names == ["a.png", "b.png", "c.png"]


def test_a_folder_of_reduced_photos_alone_is_one_of_photos(tmp_path):
    write_images(tmp_path / "images_2", ["a.png", "b.png"], 12, 8)
    write_images(tmp_path / "images", ["a.png", "b.png"], 24, 16)
    assert gather(tmp_path / "images_2", tmp_path)[0] == [["a.png", "b.png"]]
    write_images(tmp_path / "in" / "masks", ["a.png"], 24, 16)
    with pytest.raises(SceneError, match="no photos in this folder"):
        told_to_give_their_folder(tmp_path / "in")
