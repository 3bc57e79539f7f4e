import numpy as np
import pytest
from colmap_makers import CAMERAS, HEIGHT, LENSES, POINTS, WIDTH, write_model
from format_makers import (
    assert_rays_are,
    circle_poses,
    file_rays,
    write_images,
    write_llff_scene,
)

from taichi_pynerf.data import Placement, detect_dataset_type, load_split
from taichi_pynerf.data.formats.lenses import Lens, lens_from_colmap
from taichi_pynerf.errors import MissingPackageError, SceneError, SceneWarning


@pytest.fixture
def poses():
    return circle_poses(9)


@pytest.fixture
def scene_dir(tmp_path, poses):
    pytest.importorskip("pycolmap")
    write_images(tmp_path / "images", [f"view_{i:02d}.png" for i in range(9)], WIDTH, HEIGHT)
    write_model(tmp_path / "sparse" / "0", poses)
    return tmp_path


@pytest.mark.parametrize("model", CAMERAS)
def test_rays_are_the_analytic_ones(scene_dir, poses, model):
    write_model(scene_dir / "sparse" / "0", poses, model)
    scene = load_split(scene_dir, "train")
    assert scene.names == [f"view_{i:02d}" for i in range(1, 8)]
    focal, lens = LENSES[model]
    for view in (0, 6):
        expected = file_rays(poses[view + 1], WIDTH, HEIGHT, *focal, lens, "FISHEYE" in model)
        assert_rays_are(scene, view, *expected)


def test_fisheyes_without_distortion():
    lens = lens_from_colmap("here", "FISHEYE", 24, 16, [20.0, 21.0, 12.5, 7.5])
    assert lens == Lens(24, 16, 20.0, 21.0, 12.5, 7.5, fisheye=True)
    lens = lens_from_colmap("here", "SIMPLE_FISHEYE", 24, 16, [20.0, 12.5, 7.5])
    assert lens == Lens(24, 16, 20.0, 20.0, 12.5, 7.5, fisheye=True)


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "colmap/sparse/0", "."])
@pytest.mark.parametrize("suffix", [".bin", ".txt"])
def test_both_kinds_of_files_in_all_places(scene_dir, poses, place, suffix):
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction(scene_dir / "sparse" / "0")
    for path in (scene_dir / "sparse" / "0").iterdir():
        path.unlink()
    (scene_dir / place).mkdir(parents=True, exist_ok=True)
    (model.write_binary if suffix == ".bin" else model.write_text)(scene_dir / place)
    assert detect_dataset_type(scene_dir) == "colmap"
    focal, lens = LENSES["OPENCV"]
    expected = file_rays(poses[8], WIDTH, HEIGHT, *focal, lens)
    assert_rays_are(load_split(scene_dir, "test"), 1, *expected)


def test_the_points_are_in_the_middle(scene_dir):
    scene = load_split(scene_dir, "train")
    assert scene.unbounded
    points = scene.transform.apply(POINTS)
    np.testing.assert_allclose(np.median(POINTS, axis=0), scene.transform.undo(np.zeros(3)))
    assert np.abs(points).max() < 1.0
    positions = scene.cameras.c2w[:, :, 3]
    assert 0.9 < positions.abs().max() < 1.0 + 1e-5  # the farthest may be held out
    nearest = np.linalg.norm(points[:, None] - positions.numpy(), axis=-1).min()
    assert 0.3 * nearest < scene.near < nearest
    poses_in_the_middle = load_split(scene_dir, "train", placement=Placement(center="poses"))
    assert not np.allclose(poses_in_the_middle.transform.matrix, scene.transform.matrix)


def test_missing_images_are_counted(scene_dir):
    (scene_dir / "images" / "view_04.png").unlink()
    with pytest.warns(SceneWarning, match=r"1 of 9 images are missing .*view_04\.png"):
        assert len(load_split(scene_dir, "train")) == 7


def test_a_sparse_model_has_the_say_in_mipnerf360_folders(scene_dir, poses):
    write_llff_scene(scene_dir / "other", poses + 0.0)
    (scene_dir / "other" / "poses_bounds.npy").rename(scene_dir / "poses_bounds.npy")
    write_images(scene_dir / "images_4", [f"view_{i:02d}.png" for i in range(9)], 6, 4)
    assert detect_dataset_type(scene_dir) == "mipnerf360"
    scene = load_split(scene_dir, "train", img_downscale=4)
    assert scene.cameras.distortion is not None
    assert scene.images[0].shape == (4, 6, 3)
    assert scene.cameras.fx[0].item() == pytest.approx(5.0)


@pytest.mark.parametrize("name", ["cameras.txt", "images.txt", "points3D.txt"])
def test_broken_models_are_refused(scene_dir, name):
    (scene_dir / "sparse" / "0" / name).write_text("1 two 3\n")
    with pytest.raises(SceneError) as caught:
        load_split(scene_dir, "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_a_count_that_the_file_has_no_room_for_is_refused_at_once(scene_dir, name):
    folder = scene_dir / "sparse" / "0"
    pytest.importorskip("pycolmap").Reconstruction(folder).write_binary(folder)
    assert load_split(scene_dir, "train").images
    path = folder / f"{name}.bin"
    path.write_bytes(b"\xff" * 7 + path.read_bytes()[7:])
    with pytest.raises(SceneError, match=rf"{name}\.bin: a file of \d+ bytes cannot hold"):
        load_split(scene_dir, "train")


@pytest.mark.parametrize(
    ("name", "place"),
    [("images", 8 + 64 + len("view_00.png") + 1), ("points3D", 8 + 43), ("frames", 8 + 64)],
)
def test_a_list_that_the_file_has_no_room_for_is_refused_at_once(scene_dir, name, place):
    """The places in an image, the sightings of a point, the images of a frame."""
    folder = scene_dir / "sparse" / "0"
    pytest.importorskip("pycolmap").Reconstruction(folder).write_binary(folder)
    path = folder / f"{name}.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + (10**9).to_bytes(4, "little") + whole[place + 4 :])
    with pytest.raises(SceneError, match=rf"{name}\.bin: .* 1,000,000,000 items of entry 1 that"):
        load_split(scene_dir, "train")
    path.write_bytes(whole[:-1])
    with pytest.raises(SceneError, match=rf"{name}\.bin: a file of \d+ bytes cannot hold"):
        load_split(scene_dir, "train")


def test_a_name_without_an_end_is_refused(scene_dir):
    folder = scene_dir / "sparse" / "0"
    pytest.importorskip("pycolmap").Reconstruction(folder).write_binary(folder)
    path = folder / "images.bin"
    path.write_bytes(path.read_bytes()[:72] + b"v" * 40)
    path.write_bytes((1).to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(SceneError, match=r"images\.bin: .* the name of entry 1 that"):
        load_split(scene_dir, "train")


def test_models_that_no_ray_can_be_made_for(scene_dir):
    (scene_dir / "sparse" / "0" / "cameras.txt").write_text(
        f"1 FULL_OPENCV {WIDTH} {HEIGHT} 20 20 12 8 0 0 0 0 0 0 0.1 0\n"
    )
    with pytest.raises(SceneError, match=r"camera model FULL_OPENCV .* k5 at 0 alone"):
        load_split(scene_dir, "train")
    (scene_dir / "sparse" / "0" / "cameras.txt").write_text(
        f"1 FOV {WIDTH} {HEIGHT} 20 20 12 8 1\n"
    )
    with pytest.raises(SceneError, match=r"camera 1: the camera model 'FOV' is not known"):
        load_split(scene_dir, "train")


def test_names_that_lead_out_are_refused(scene_dir):
    path = scene_dir / "sparse" / "0" / "images.txt"
    path.write_text(path.read_text().replace("view_03.png", "../../outside.png"))
    with pytest.raises(SceneError, match="leads out"):
        load_split(scene_dir, "train")


def test_a_name_that_is_the_folder_above_is_refused(scene_dir):
    path = scene_dir / "sparse" / "0" / "images.txt"
    path.write_text(path.read_text().replace("view_03.png", "../.."))
    with pytest.raises(SceneError, match="leads out"):
        load_split(scene_dir, "train")


@pytest.mark.parametrize("suffix", [".bin", ".txt"])
def test_a_name_that_is_no_text_is_refused(scene_dir, suffix):
    folder = scene_dir / "sparse" / "0"
    if suffix == ".bin":
        pytest.importorskip("pycolmap").Reconstruction(folder).write_binary(folder)
    path = folder / f"images{suffix}"
    path.write_bytes(path.read_bytes().replace(b"view_03", b"vi\xf0\xffw03"))
    with pytest.raises(SceneError, match=r"the name of image 4 is not text in UTF-8"):
        load_split(scene_dir, "train")


def test_thousands_of_digits_in_a_number(scene_dir):
    """COLMAP reads them; a name with a space follows, for which the file is read once more."""
    path = scene_dir / "sparse" / "0" / "images.txt"
    head, _, rest = path.read_text().partition("view_00.png")
    lines = head.splitlines()
    lines[-1] = "0" * 5000 + lines[-1].lstrip()
    path.write_text("\n".join(lines) + " view 00.png" + rest)
    with pytest.warns(SceneWarning, match="missing"):
        assert len(load_split(scene_dir, "train")) == 7


def test_without_pycolmap_a_line_says_what_to_install(scene_dir, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycolmap", None)
    with pytest.raises(MissingPackageError, match=r"taichi-pynerf\[colmap\]"):
        load_split(scene_dir, "train")
