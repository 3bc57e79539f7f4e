"""Models of LLFF, COLMAP and SDFStudio as scripts and programs leave them."""

import json

import colmap_makers
import numpy as np
import program_makers
import pytest
from folder_makers import POSES, assert_poses_are, colmap_poses, write_colmap
from format_makers import CENTER, forward_poses, write_images, write_llff_scene
from program_makers import write_sdfstudio

from taichi_pynerf.data import load_split
from taichi_pynerf.data.locating import detect_dataset_type
from taichi_pynerf.errors import SceneError, SceneWarning

# ---- LLFF and COLMAP -----------------------------------------------------------------------------


def test_images_that_a_list_of_llff_does_not_name_have_no_pose(tmp_path):
    write_llff_scene(tmp_path, forward_poses(9))
    whole = load_split(tmp_path, "train")
    write_images(tmp_path / "images", ["aaa.png", "view_9.png"], 32, 24)
    with pytest.raises(SceneError, match=r"view_imgs\.txt may name the images that have one"):
        load_split(tmp_path, "train")
    names = [f"view_{i:03d}.png" for i in range(9)]
    (tmp_path / "view_imgs.txt").write_text("\r\n".join(names))
    again = load_split(tmp_path, "train")
    assert again.names == whole.names
    np.testing.assert_array_equal(again.pixels, whole.pixels)


def test_names_with_spaces_in_a_text_model(tmp_path):
    write_colmap(tmp_path, names="my view {:02d}.png")
    scene = load_split(tmp_path, "train")
    assert_poses_are(scene, *colmap_poses())
    assert scene.names[0] == "my view 01"


def test_a_text_model_with_the_line_ends_of_windows(tmp_path):
    write_colmap(tmp_path)
    for path in (tmp_path / "sparse/0").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert_poses_are(load_split(tmp_path, "train"), *colmap_poses())


def test_a_model_elsewhere_below_a_folder_of_images(tmp_path):
    write_colmap(tmp_path, place="outputs/sfm_superpoint+superglue")
    assert detect_dataset_type(tmp_path) == "colmap"
    assert_poses_are(load_split(tmp_path, "train"), *colmap_poses())


def test_a_folder_of_scenes_is_not_taken_for_one_of_them(tmp_path):
    for name in ("house", "tree"):
        write_colmap(tmp_path / name)
    with pytest.raises(SceneError, match=r"scenes are in its folders: house \(colmap\), tree"):
        detect_dataset_type(tmp_path)


def test_points_as_ply_place_a_model_without_others(tmp_path):
    write_colmap(tmp_path)
    whole = load_split(tmp_path, "train").transform.matrix
    (tmp_path / "sparse/0/points3D.txt").unlink()
    header = "ply\nformat ascii 1.0\nelement vertex 50\nproperty double x\nproperty double y\n"
    rows = "\n".join(" ".join(map(repr, map(float, point))) for point in colmap_makers.POINTS)
    text = f"{header}property double z\nend_header\n{rows}\n"
    (tmp_path / "sparse/0/points3D.ply").write_text(text)
    np.testing.assert_allclose(load_split(tmp_path, "train").transform.matrix, whole, atol=1e-9)


def test_a_table_of_splits_beside_a_model(tmp_path):
    write_colmap(tmp_path, place="dense/sparse", images="dense/images")
    lines = [f"view_{i:02d}.png\t{i}\t{'test' if i in (2, 3) else 'train'}\tx" for i in range(8)]
    lines[5] = "view_05.png\t\ttrain\tx"  # left out by the authors; view_08 is not listed
    table = "\n".join(["filename\tid\tsplit\tdataset", *lines])
    (tmp_path / "another.tsv").write_text(table.replace("view_", "other_"))
    (tmp_path / "brandenburg.tsv").write_text(table)
    words = r"brandenburg\.tsv: says which 2 of 9 images are held out, and leaves 2 out"
    with pytest.warns(SceneWarning, match=words):
        test = load_split(tmp_path, "test")
    assert_poses_are(test, POSES[2:4], colmap_poses()[1])
    train = load_split(tmp_path, "train")
    assert_poses_are(train, [POSES[i] for i in (0, 1, 4, 6, 7)], colmap_poses()[1])
    (tmp_path / "brandenburg.tsv").write_text(table.replace("\ttrain\t", "\ttest\t"))
    with pytest.raises(SceneError, match=r"brandenburg\.tsv: leaves no image for training"):
        load_split(tmp_path, "train")


# ---- SDFStudio -----------------------------------------------------------------------------------


def test_sdfstudio(tmp_path):
    poses = POSES.copy()
    poses[:, :, 3] = (poses[:, :, 3] - CENTER) / 4
    write_sdfstudio(tmp_path, poses)
    assert detect_dataset_type(tmp_path) == "sdfstudio"
    scene = load_split(tmp_path, "train")
    assert scene.aabb == (-1, -1, -0.5, 1, 1, 0.75)
    made = (getattr(program_makers, name) for name in ("WIDTH", "HEIGHT", "FX", "FY", "CX", "CY"))
    assert_poses_are(scene, poses[1:8], tuple(made))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"frames": []}, "it has no list frames|must hold a JSON object with a list frames"),
        ({"width": "x"}, "width is 'x': it must be a number"),
        ({"scene_box": {"aabb": [[1, 0, 0], [0, 1, 1]]}}, "which is no box"),
        ({"scene_box": {"aabb": 3}}, "it must be two corners"),
    ],
)
def test_broken_scenes_of_sdfstudio_are_named(tmp_path, change, fault):
    write_sdfstudio(tmp_path, POSES)
    path = tmp_path / "meta_data.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(SceneError, match=fault):
        load_split(tmp_path, "train")
    content["frames"][3]["intrinsics"] = [[1, 2]]
    path.write_text(json.dumps(content))
    with pytest.raises(SceneError, match=r"frames\[3\]: intrinsics is .* a matrix of 4x4"):
        load_split(tmp_path, "train")
