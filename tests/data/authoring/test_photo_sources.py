"""Photos, videos and masks as sources of a scene."""

import numpy as np
import pytest
from PIL import Image

from taichi_pynerf.data.authoring import photo_sources
from taichi_pynerf.data.authoring.photo_sources import check_sources, gather_masks, gather_sources
from taichi_pynerf.data.authoring.structure_from_motion import reconstruct
from taichi_pynerf.errors import SceneError, SceneWarning


def photos(folder, names, size=(24, 16)):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def mask(path, size=(24, 16), white=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[:, : int(white * size[0])] = 255
    Image.fromarray(pixels).save(path)


def test_names_of_several_sources_differ_and_stand_together(tmp_path, monkeypatch):
    first = photos(tmp_path / "a", ["x.png", "y.png"])
    second = photos(tmp_path / "b", ["x.png"], (20, 16))
    (tmp_path / "film.mp4").write_bytes(b"film")

    def frames(video, folder, num_frames, progress):
        photos(folder, [f"frame_{i:05d}.jpg" for i in range(num_frames)])
        return [f"frame_{i:05d}.jpg" for i in range(num_frames)]

    monkeypatch.setattr(photo_sources, "extract_sharp_frames", frames)
    images = tmp_path / "images"
    images.mkdir()
    film = tmp_path / "film.mp4"
    groups, names_of, _ = gather_sources([first, second, film], images, 2, progress=False)
    assert groups == [
        ["1_x.png", "1_y.png"], ["2_x.png"], ["3_frame_00000.jpg", "3_frame_00001.jpg"]
    ]  # fmt: skip
    assert names_of[film] == groups[2]
    assert sorted(path.name for path in images.iterdir()) == sorted(
        name for group in groups for name in group
    )
    alone = tmp_path / "alone"
    alone.mkdir()
    assert gather_sources([first], alone, 2, progress=False)[0] == [["x.png", "y.png"]]


def numbered(names):
    """The photos of copies that only got a number."""
    return {name: name.partition("_")[2] for name in names}


def test_masks_are_found_by_any_usual_name(tmp_path):
    names = ["1_a.jpg", "1_b.jpg", "2_c.jpg", "2_d.jpg"]
    images = photos(tmp_path / "images", names)
    mask(tmp_path / "masks" / "1_a.jpg.png")
    mask(tmp_path / "masks" / "1_B.PNG")
    mask(tmp_path / "masks" / "c.png")
    with pytest.warns(SceneWarning, match="1 of 4 images have no mask"):
        found = gather_masks(tmp_path / "masks", images, numbered(names), tmp_path / "out")
    assert found == names[:3]
    with Image.open(tmp_path / "out" / "2_c.jpg.png") as image:
        pixels = np.array(image)
    assert pixels.shape == (16, 24)
    assert (pixels[:, :12] == 255).all()
    assert (pixels[:, 12:] == 0).all()


def test_masks_are_found_by_what_the_photos_were_called(tmp_path):
    originals = {
        "Photo_1.jpg": "Photo 1.jpg", "IMG_1.jpg": "IMG_1.HEIC", "a_b.png": "a b.png",
        "a_b_2.png": "a_b.png", "cam0_7.png": "cam0/7.png", "cam1_7.png": "cam1/7.png",
    }  # fmt: skip
    images = photos(tmp_path / "images", originals)
    whites = {
        "Photo 1.png": 0.25, "IMG_1.HEIC.png": 0.5, "a b.png": 0.75, "a_b.png": 1.0,
        "cam0/7.png": 0.25, "cam1/7.png": 0.5, "7.png": 0.75,
    }  # fmt: skip
    for name, white in whites.items():
        mask(tmp_path / "masks" / name, white=white)
    found = gather_masks(tmp_path / "masks", images, originals, tmp_path / "out")
    shares = {}
    for name in found:
        with Image.open(tmp_path / "out" / f"{name}.png") as image:
            shares[name] = float((np.array(image) > 0).mean())
    assert shares == {
        "Photo_1.jpg": 0.25, "IMG_1.jpg": 0.5, "a_b.png": 0.75, "a_b_2.png": 1.0,
        "cam0_7.png": 0.25, "cam1_7.png": 0.5,
    }  # fmt: skip


def test_originals_are_known_by_the_names_of_their_copies(tmp_path):
    first = photos(tmp_path / "a", ["x y.png", "z.webp"])
    photos(tmp_path / "b" / "in", ["x.png"])
    images = tmp_path / "images"
    images.mkdir()
    gathered = gather_sources([first, tmp_path / "b"], images, 2, progress=False)
    assert gathered.originals == {
        "1_x_y.png": "x y.png", "1_z.jpg": "z.webp", "2_x.png": "in/x.png",
    }  # fmt: skip


def test_masks_that_fit_nothing_are_one_line(tmp_path):
    images = photos(tmp_path / "images", ["a.png"])
    with pytest.raises(SceneError, match="no such folder of masks"):
        gather_masks(tmp_path / "masks", images, {"a.png": "a.png"}, tmp_path / "out")
    mask(tmp_path / "masks" / "other.png")
    with pytest.raises(SceneError, match=r"no mask is called as one of the images \('a.png'"):
        gather_masks(tmp_path / "masks", images, {"a.png": "a.png"}, tmp_path / "out")
    mask(tmp_path / "masks" / "a.png", (10, 10))
    with pytest.raises(SceneError, match=r"a\.png: a mask of 10x10 pixels for an image of 24x16"):
        gather_masks(tmp_path / "masks", images, {"a.png": "a.png"}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sources_that_make_no_sense(tmp_path):
    first, second = photos(tmp_path / "a", ["x.png"]), photos(tmp_path / "b", ["x.png"])
    check_sources([first, second], tmp_path / "out", second)
    for sources, held_out, words in (
        ([first, tmp_path / "none"], None, "no such folder"),
        ([first, first], None, "twice"),
        ([first], first, "one of several"),
        ([first, second], tmp_path, "one of several"),
        ([], None, "give a folder"),
    ):
        with pytest.raises(SceneError, match=words):
            check_sources(sources, tmp_path / "out", held_out)
    with pytest.raises(SceneError, match="holds"):
        check_sources([first], tmp_path)


def test_no_features_are_sought_where_a_mask_is_black(tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    names = ["a.png", "b.png", "c.png"]
    images = photos(tmp_path / "images", names, (160, 120))
    for name in names[:2]:
        mask(tmp_path / "masks" / f"{name}.png", (160, 120), white=0.25)
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(SceneError, match="no two of the 3 photos fit together"):
        reconstruct(images, [names], work, masks_dir=tmp_path / "masks", progress=False)
    with pycolmap.Database.open(work / "database.db") as database:
        for image in database.read_all_images():
            x = np.array(database.read_keypoints(image.image_id))[:, 0]
            assert len(x) > 4
            assert (x.max() < 60) == (image.name != "c.png")
