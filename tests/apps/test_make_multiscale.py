"""Blender scenes converted into Mip-NeRF's multi-scale folders."""

import json

import numpy as np
import pytest
from PIL import Image
from scene_makers import blender_transforms, random_rgba, write_blender_scene

from taichi_pynerf.apps import make_multiscale as make_multiscale_app
from taichi_pynerf.data.authoring.multiscale_writer import write_multiscale
from taichi_pynerf.data.images import box_downscale, decode_image
from taichi_pynerf.errors import SceneError

WIDTH, HEIGHT, VIEWS = 16, 8, 3
KEYS = {
    "file_path",
    "cam2world",
    "width",
    "height",
    "focal",
    "label",
    "near",
    "far",
    "lossmult",
    "pix2cam",
}


@pytest.fixture(scope="module")
def blender(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "noise"
    return write_blender_scene(folder, VIEWS, WIDTH, HEIGHT, splits=("train", "test"))


@pytest.fixture(scope="module")
def converted(blender):
    return write_multiscale(blender, blender.parent / "multiscale", progress=False)


def stored(folder, split, view, j):
    return np.asarray(Image.open(folder / f"images_{split}" / f"{view:03d}_d{j}.png"))


def boxes(values, k):
    """Means over k x k pixels, in float64."""
    height, width, channels = values.shape
    return values.reshape(height // k, k, width // k, k, channels).mean(axis=(1, 3))


def test_metadata_is_the_formats(blender, converted):
    metadata = json.loads((converted / "metadata.json").read_text())
    assert set(metadata) == {"train", "test"}
    transforms = blender_transforms(VIEWS, "test")
    test = metadata["test"]
    assert set(test) == KEYS
    assert all(len(values) == 4 * VIEWS for values in test.values())
    full_focal = 0.5 * WIDTH / np.tan(0.5 * transforms["camera_angle_x"])
    for row in range(4 * VIEWS):
        view, j = divmod(row, 4)
        assert test["file_path"][row] == f"images_test/{view:03d}_d{j}.png"
        assert test["cam2world"][row] == transforms["frames"][view]["transform_matrix"]
        assert (test["width"][row], test["height"][row]) == (WIDTH >> j, HEIGHT >> j)
        assert test["focal"][row] == pytest.approx(full_focal / 2**j, rel=1e-12)
        assert (test["label"][row], test["lossmult"][row]) == (j, 4**j)
        assert (test["near"][row], test["far"][row]) == (2.0, 6.0)
        with Image.open(converted / test["file_path"][row]) as image:
            assert (image.mode, image.size) == ("RGBA", (WIDTH >> j, HEIGHT >> j))


def test_pix2cam_maps_image_coordinates_to_opengl_directions(converted):
    train = json.loads((converted / "metadata.json").read_text())["train"]
    for matrix, w, h, f in zip(
        train["pix2cam"], train["width"], train["height"], train["focal"], strict=True
    ):
        middle, corner = np.array(matrix) @ [w / 2, h / 2, 1], np.array(matrix) @ [0, 0, 1]
        np.testing.assert_allclose(middle, [0, 0, -1], atol=1e-12)
        np.testing.assert_allclose(corner, [-w / 2 / f, h / 2 / f, -1], rtol=1e-12)


def test_coarse_pixels_are_means_of_premultiplied_ones(blender, converted):
    for view in range(VIEWS):
        straight = np.asarray(Image.open(blender / "train" / f"r_{view}.png")).astype(float) / 255
        premultiplied = np.dstack([straight[..., :3] * straight[..., 3:], straight[..., 3:]])
        for j in range(4):
            expected = boxes(premultiplied, 2**j)
            rgba = stored(converted, "train", view, j) / 255.0
            np.testing.assert_allclose(rgba[..., 3], expected[..., 3], atol=0.5001 / 255)
            over_white = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
            # Two roundings: of the colour and of alpha.
            white = expected[..., :3] + 1 - expected[..., 3:]
            np.testing.assert_allclose(over_white, white, atol=1.001 / 255)


def test_they_equal_what_the_datasets_average_in_memory(blender, converted):
    for j in range(4):
        own = box_downscale(decode_image(blender / "train" / "r_1.png"), 2**j).astype(int)
        folder = decode_image(converted / "images_train" / f"001_d{j}.png").astype(int)
        assert np.abs(own - folder).max() <= 1


def test_full_size_is_as_it_was_but_for_colours_that_nobody_sees(blender, converted):
    original = np.asarray(Image.open(blender / "train" / "r_0.png"))
    seen = original[..., 3] > 0
    np.testing.assert_array_equal(stored(converted, "train", 0, 0)[seen], original[seen])


def test_as_published_is_a_cut_mean_of_straight_colours(blender, tmp_path):
    folder = write_multiscale(blender, tmp_path / "out", as_published=True, progress=False)
    for view in range(VIEWS):
        straight = np.asarray(Image.open(blender / "train" / f"r_{view}.png")) / 255.0
        for j in range(4):
            below = boxes(straight, 2**j) * 255 - stored(folder, "train", view, j)
            assert below.min() > -1e-4  # the converter works in float32
            assert below.max() < 1.0 + 1e-4


def test_both_ways_agree_within_rounding_where_nothing_is_half_seen(tmp_path):
    scene = write_blender_scene(tmp_path / "opaque", 1, WIDTH, HEIGHT)
    image = random_rgba(HEIGHT, WIDTH)
    image[..., 3] = 255
    image[:, 8:] = 0  # a block of each size is all opaque or all clear
    Image.fromarray(image).save(scene / "train" / "r_0.png")
    own = write_multiscale(scene, tmp_path / "own", progress=False)
    published = write_multiscale(scene, tmp_path / "pub", as_published=True, progress=False)
    for j in range(4):
        difference = stored(own, "train", 0, j).astype(int) - stored(published, "train", 0, j)
        assert np.abs(difference).max() <= 1


def test_number_of_scales(blender, tmp_path):
    folder = write_multiscale(blender, tmp_path / "out", num_scales=2, progress=False)
    names = {path.name for path in (folder / "images_test").iterdir()}
    assert names == {f"{view:03d}_d{j}.png" for view in range(VIEWS) for j in range(2)}


def test_faults_are_one_line_and_leave_nothing(blender, tmp_path):
    def fails(words, data_dir=blender, out="out", **options):
        with pytest.raises(SceneError, match=words) as caught:
            write_multiscale(data_dir, tmp_path / out, progress=False, **options)
        assert "\n" not in str(caught.value)

    fails("cannot be reduced by 16", num_scales=5)
    fails(r"no transforms_train\.json", data_dir=tmp_path)
    mixed = write_blender_scene(tmp_path / "mixed", 2, WIDTH, HEIGHT)
    Image.fromarray(random_rgba(HEIGHT, HEIGHT)).save(mixed / "train" / "r_1.png")
    fails("8x8 pixels, where 16x8", data_dir=mixed)
    fails("is there already", out="mixed")
    fails("holds train, which is no part", out="mixed", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mixed"]


def test_app(blender, tmp_path, capsys):
    tool = make_multiscale_app
    arguments = [str(blender), str(tmp_path / "out"), "--num_scales", "3"]
    tool.main(arguments)
    tool.main([*arguments, "--overwrite"])
    assert capsys.readouterr().out == f"{tmp_path / 'out'}\n" * 2
    assert (tmp_path / "out" / "metadata.json").is_file()
    with pytest.raises(SceneError, match="is there already"):
        tool.main(arguments)
