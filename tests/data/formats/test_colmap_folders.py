"""Where people's scripts put a sparse model and its images."""

import shutil

import numpy as np
import pytest
from colmap_makers import HEIGHT, LENSES, WIDTH, write_model
from format_makers import assert_rays_are, circle_poses, file_rays, write_images
from PIL import Image

from taichi_pynerf.data import load_split
from taichi_pynerf.data.locating import locate_scene
from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.runs.scene_source import SceneSource

pytest.importorskip("pycolmap")

NAMES = [f"view_{i:02d}.png" for i in range(9)]


@pytest.fixture
def poses():
    return circle_poses(9)


def images(folder, names=NAMES):
    write_images(folder, names, WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "place", ["images", "input", ".", "dense/0/images", "dense/images", "photos", "masks"]
)
def test_images_are_found_where_scripts_put_them(tmp_path, poses, place):
    write_model(tmp_path / "sparse" / "0", poses, "PINHOLE")
    images(tmp_path / place)
    if place == "masks":
        searched = r"none of its 9 images \(view_00.png, …\) in any of these folders: images, input"
        with pytest.raises(SceneError, match=searched):
            load_split(tmp_path, "train")
        return
    scene = load_split(tmp_path, "train")
    assert len(scene) == 7
    focal, lens = LENSES["PINHOLE"]
    assert_rays_are(scene, 0, *file_rays(poses[1], WIDTH, HEIGHT, *focal, lens))


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("dense/0/sparse", "dense/0/images"),
        ("distorted/sparse/0", "input"),
        ("colmap", "images"),
        ("colmap_text", "images"),
        ("undistorted/sparse", "undistorted/images"),
    ],
)
def test_models_are_found_where_scripts_put_them(tmp_path, poses, model, place):
    write_model(tmp_path / model, poses)
    images(tmp_path / place)
    assert len(load_split(tmp_path, "train")) == 7


def test_undistorted_images_without_their_model_are_warned_of(tmp_path, poses):
    write_model(tmp_path / "sparse" / "0", poses, "OPENCV")
    images(tmp_path / "dense" / "0" / "images")
    with pytest.warns(SceneWarning, match="probably undistorted"):
        load_split(tmp_path, "train")


def test_of_several_models_the_largest_is_taken(tmp_path, poses):
    images(tmp_path / "images")
    write_model(tmp_path / "sparse" / "0", poses[:3])
    write_model(tmp_path / "sparse" / "1", poses)
    with pytest.warns(
        SceneWarning, match=r"2 sparse models.* 1 with 9 images, is taken \(0 has 3\)"
    ):
        assert len(load_split(tmp_path, "train")) == 7
    shutil.rmtree(tmp_path / "sparse" / "0")
    assert len(load_split(tmp_path, "train")) == 7
    write_model(tmp_path / "sparse" / "0", poses[:3])
    (tmp_path / "sparse" / "0" / "images.txt").write_text("1 two\n")
    with pytest.warns(SceneWarning, match=r"sparse/0/images\.txt: line 1: 2 values"):
        assert len(load_split(tmp_path, "train")) == 7


@pytest.mark.parametrize("suffix", [".txt", ".bin"])
def test_a_model_without_points(tmp_path, poses, suffix):
    import pycolmap

    folder = tmp_path / "sparse" / "0"
    write_model(folder, poses)
    images(tmp_path / "images")
    if suffix == ".bin":
        model = pycolmap.Reconstruction(folder)
        shutil.rmtree(folder)
        folder.mkdir()
        model.write_binary(folder)
    (folder / f"points3D{suffix}").unlink()
    scene = load_split(tmp_path, "train")
    assert len(scene) == 7
    assert scene.near > 0.0
    np.testing.assert_allclose(
        scene.transform.undo(np.zeros(3)), poses[:, :, 3].mean(axis=0), atol=1e-6
    )


def test_models_with_a_denominator_of_one(tmp_path, poses):
    images(tmp_path / "images")
    folder = tmp_path / "sparse" / "0"
    write_model(folder, poses, "OPENCV")
    start = f"1 FULL_OPENCV {WIDTH} {HEIGHT} 20 21 12.5 7.5 -0.1 0.03 0.01 -0.005 0.002"
    (folder / "cameras.txt").write_text(f"{start} 0 0 0\n")
    scene = load_split(tmp_path, "train")
    lens = (-0.1, 0.03, 0.002, 0.0, 0.01, -0.005)
    assert_rays_are(scene, 0, *file_rays(poses[1], WIDTH, HEIGHT, 20, 21, 12.5, 7.5, lens))
    start = f"1 THIN_PRISM_FISHEYE {WIDTH} {HEIGHT} 20 21 12.5 7.5 0.02 -0.01 0 0 0.003 0"
    (folder / "cameras.txt").write_text(f"{start} 0 0\n")
    scene = load_split(tmp_path, "train")
    lens = (0.02, -0.01, 0.003, 0.0, 0.0, 0.0)
    assert_rays_are(scene, 0, *file_rays(poses[1], WIDTH, HEIGHT, 20, 21, 12.5, 7.5, lens, True))


def test_reduced_images_alone(tmp_path, poses):
    write_model(tmp_path / "sparse" / "0", poses)
    write_images(tmp_path / "images_4", NAMES, WIDTH // 4, HEIGHT // 4)
    with pytest.warns(SceneWarning, match="images at 1/4 of the full size alone"):
        scene = load_split(tmp_path, "train")
    assert scene.cameras.fx[0].item() == pytest.approx(5.0)
    assert load_split(tmp_path, "train", img_downscale=4).images[0].shape == (4, 6, 3)


def test_photos_that_were_not_registered_are_counted(tmp_path, poses):
    write_model(tmp_path / "sparse" / "0", poses)
    images(tmp_path / "images", [*NAMES, "view_09.png", "view_10.png"])
    with pytest.warns(SceneWarning, match=r"2 of 11 images .* of no view .*view_09\.png"):
        load_split(tmp_path, "train")


def test_photos_of_another_suffix_and_in_folders(tmp_path, poses):
    folder = tmp_path / "sparse" / "0"
    write_model(folder, poses)
    text = (folder / "images.txt").read_text()
    (folder / "images.txt").write_text(text.replace("view_", "cam0/view_"))
    images(tmp_path / "images" / "cam0")
    for path in (tmp_path / "images" / "cam0").iterdir():
        with Image.open(path) as image:
            image.save(path.with_suffix(".JPG"))
        path.unlink()
    assert load_split(tmp_path, "train").names[0] == "view_01"


def test_half_a_model_is_the_nearest_format(tmp_path, poses):
    write_model(tmp_path / "sparse" / "0", poses)
    (tmp_path / "sparse" / "0" / "cameras.txt").unlink()
    with pytest.raises(SceneError, match=r"colmap: .*sparse/0/images; .*no sparse/0/cameras\.bin"):
        locate_scene(tmp_path)
    shutil.rmtree(tmp_path / "sparse")
    (tmp_path / "database.db").write_bytes(b"")
    with pytest.raises(SceneError, match=r"a COLMAP database; .*mapper"):
        locate_scene(tmp_path)


def test_the_model_that_is_asked_for_is_taken(tmp_path, poses):
    write_model(tmp_path / "sparse" / "0", poses[:3], "PINHOLE")
    write_model(tmp_path / "sparse" / "1", poses, "PINHOLE")
    images(tmp_path / "images")
    with pytest.warns(SceneWarning, match="6 of 9 images in .* are of no view"):
        scene = load_split(tmp_path, "train", colmap_path="sparse/0", holdout=0)
    assert len(scene) == 3
    assert len(load_split(tmp_path, "train", colmap_path="sparse/1", holdout=0)) == 9
    with pytest.raises(SceneError, match="models in this scene: sparse/0, sparse/1"):
        load_split(tmp_path, "train", colmap_path="sparse/2")


def test_a_model_outside_of_the_usual_places_is_taken(tmp_path, poses):
    write_model(tmp_path / "exports" / "best", poses, "PINHOLE")
    images(tmp_path / "images")
    source = SceneSource(str(tmp_path), colmap_path="exports/best")
    assert len(source.load("train")) == 7
    assert SceneSource.from_dict(source.to_dict()) == source
