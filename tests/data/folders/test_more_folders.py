"""More folders as people have them: values that exporters write in their own way; benchmarks."""

import json
import warnings

import numpy as np
import program_makers
import pytest
from folder_makers import (
    FOCAL,
    HEIGHT,
    LAST,
    POSES,
    WIDTH,
    assert_poses_are,
    quietly,
    train_poses,
)
from format_makers import CENTER, assert_rays_are, file_rays, write_images
from PIL import Image
from program_makers import write_neus, write_nsvf
from scene_makers import blender_transforms, random_rgba, write_blender_scene

from taichi_pynerf.data import load_split
from taichi_pynerf.data.authoring.inspection import inspect_scene
from taichi_pynerf.data.locating import detect_dataset_type
from taichi_pynerf.errors import SceneError, SceneWarning

LENS = (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
MADE = tuple(getattr(program_makers, name) for name in ("WIDTH", "HEIGHT", "FX", "FY", "CX", "CY"))
OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def matrix(pose):
    return np.vstack([pose, LAST])


def write_frames(folder, poses=POSES, values=lambda m: m.tolist(), top=None, **more):
    """A `transforms.json` whose matrices and members can be written in any way."""
    names = [f"images/f{i}.png" for i in range(len(poses))]
    write_images(folder, names, WIDTH, HEIGHT)
    frames = [
        {"file_path": name, "transform_matrix": values(matrix(pose)), **more}
        for name, pose in zip(names, poses, strict=True)
    ]
    lens = {"w": WIDTH, "h": HEIGHT, "fl_x": FOCAL, "fl_y": FOCAL}
    content = {**lens, "cx": LENS[2], "cy": LENS[3], **(top or {}), "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


# ---- values written in another way --------------------------------------------------------------


def test_numbers_in_quotes_and_null(tmp_path):
    top = {"w": str(WIDTH), "fl_x": "20.0", "fl_y": "2e1", "k1": None, "aabb_scale": None}
    scene = load_split(write_frames(tmp_path, top=top), "train")
    assert_poses_are(scene, train_poses())


def test_matrices_in_one_list(tmp_path):
    scene = load_split(write_frames(tmp_path, values=lambda m: m.ravel().tolist()), "train")
    assert_poses_are(scene, train_poses())


def test_the_scale_of_a_camera_object_is_left_out(tmp_path):
    folder = write_frames(tmp_path, values=lambda m: (m @ np.diag([2.5, 2.5, 0.4, 1])).tolist())
    with pytest.warns(SceneWarning, match="axes of transform_matrix have lengths such as 2.5"):
        scene = load_split(folder, "train")
    assert_poses_are(scene, train_poses())


@pytest.mark.parametrize("name", ["camera_convention", "coordinate_system"])
def test_opencv_axes_that_the_file_names(tmp_path, name):
    folder = write_frames(tmp_path, values=lambda m: (m @ OPENCV).tolist(), top={name: "OpenCV"})
    with pytest.warns(SceneWarning, match=f"{name} is 'opencv': cameras are taken with y down"):
        scene = load_split(folder, "train")
    assert_poses_are(scene, train_poses())


def test_axes_with_an_unknown_name_are_told(tmp_path):
    folder = write_frames(tmp_path, top={"camera_convention": "unity"})
    with pytest.warns(SceneWarning, match="'unity', which is not known"):
        assert_poses_are(load_split(folder, "train"), train_poses())


@pytest.mark.parametrize("wrong", [lambda m: m @ OPENCV, None])
def test_cameras_that_look_outwards_are_told(tmp_path, wrong):
    if wrong is None:  # right ones do not warn
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load_split(write_frames(tmp_path), "train")
        return
    folder = write_frames(tmp_path, values=lambda m: wrong(m).tolist())
    with pytest.warns(SceneWarning, match="the cameras look away from each other"):
        load_split(folder, "train")


@pytest.mark.parametrize(
    "path", ["images/my%20photo%20{}.png", "file:///C:/scans/images/my photo {}.png"]
)
def test_paths_as_urls(tmp_path, path):
    folder = write_frames(tmp_path)
    content = json.loads((folder / "transforms.json").read_text())
    for i, frame in enumerate(content["frames"]):
        (folder / frame["file_path"]).rename(folder / f"images/my photo {i}.png")
        frame["file_path"] = path.format(i)
    (folder / "transforms.json").write_text(json.dumps(content))
    assert len(quietly(folder, "train")) == 8


def test_applied_scale_is_undone(tmp_path):
    applied = [[1.0, 0, 0, 0.5], [0, 0, 1, 0], [0, -1, 0, 0]]
    plain = load_split(write_frames(tmp_path / "a", top={"applied_transform": applied}), "train")
    top = {"applied_transform": applied, "applied_scale": 4.0}
    scaled = load_split(write_frames(tmp_path / "b", top=top), "train")
    point = np.array([[0.3, -0.2, 0.1]])
    # file = 4 * (R x + t), so the same file coordinates lie at R^T (file / 4 - t).
    rotation, shift = np.array(applied)[:, :3], np.array(applied)[:, 3]
    in_file = plain.transform.undo(point) @ rotation.T + shift
    expected = (in_file / 4 - shift) @ rotation
    np.testing.assert_allclose(scaled.transform.undo(point), expected, atol=1e-9)
    np.testing.assert_allclose(scaled.transform.apply(expected), point, atol=1e-9)
    assert scaled.transform.scale == pytest.approx(4 * plain.transform.scale)


def test_only_exports_without_a_scale_may_be_rigid(tmp_path):
    top = {"applied_transform": (2 * np.eye(4)[:3]).tolist()}
    with pytest.raises(SceneError, match="applied_transform is not a rotation"):
        load_split(write_frames(tmp_path, top=top), "train")


# ---- depth, masks, sizes ------------------------------------------------------------------------


def test_instant_ngps_depth_images(tmp_path):
    folder = write_frames(tmp_path, top={"integer_depth_scale": 0.002})
    content = json.loads((folder / "transforms.json").read_text())
    for i, frame in enumerate(content["frames"]):
        frame["depth_path"] = f"images/f{i}.depth.png"
        depth = np.full((HEIGHT, WIDTH), 1500, np.uint16)
        Image.fromarray(depth).save(folder / frame["depth_path"])
    (folder / "transforms.json").write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # they are no idle images
        scene = load_split(folder, "train")
    assert scene.depths.max() == pytest.approx(3.0 * scene.transform.scale, rel=1e-6)
    assert any("9 depth images" in line for line in inspect_scene(folder).contents())


def test_depth_images_that_are_not_there_are_unknown(tmp_path):
    folder = write_frames(tmp_path, depth_file_path="depths/none.png")
    with pytest.warns(SceneWarning, match="9 of 9 depth images are not there"):
        scene = load_split(folder, "train")
    assert scene.depths is None or not scene.depths.any()


def test_masks_of_another_size_with_the_same_proportions(tmp_path):
    folder = write_frames(tmp_path)
    (folder / "masks").mkdir()
    for i in range(9):
        mask = np.zeros((HEIGHT // 2, WIDTH // 2), np.uint8)
        mask[:, 3:] = 255
        Image.fromarray(mask).save(folder / f"masks/f{i}.png")
    masks = load_split(folder, "train").masks.reshape(8, HEIGHT, WIDTH)
    assert not masks[:, :, :6].any()
    assert masks[:, :, 6:].all()


def test_splits_with_images_of_other_proportions(tmp_path):
    sizes = {"train": (24, 16), "val": (20, 20), "test": (16, 24)}
    for split, (width, height) in sizes.items():
        (tmp_path / split).mkdir()
        for i in range(3):
            Image.fromarray(random_rgba(height, width, i)).save(tmp_path / split / f"r_{i}.png")
        text = json.dumps(blender_transforms(3, split))
        (tmp_path / f"transforms_{split}.json").write_text(text)
    for split, (width, height) in sizes.items():
        cameras = load_split(tmp_path, split).cameras
        assert cameras.width.tolist() == [width] * 3
        assert cameras.height.tolist() == [height] * 3
        np.testing.assert_allclose(cameras.fx, 0.5 * width / np.tan(0.35), rtol=1e-6)


# ---- benchmarks' files --------------------------------------------------------------------------


def write_pose(path, pose):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, matrix(pose) @ OPENCV)


INTRINSICS = np.array([[FOCAL, 0, LENS[2], 0], [0, FOCAL, LENS[3], 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("box", ["3 -4 -1 7 0 3 0.4\n", ""])
def test_nsvf(tmp_path, box):
    write_nsvf(tmp_path, POSES, box)
    assert detect_dataset_type(tmp_path) == "pose-files"
    scene = load_split(tmp_path, "train")
    assert_poses_are(scene, [POSES[i] for i in (0, 1, 4, 5, 8)], MADE)
    assert not [line for line in inspect_scene(tmp_path).contents() if "ignored" in line]
    assert len(load_split(tmp_path, "val")) == len(load_split(tmp_path, "test")) == 2
    assert scene.unbounded == (not box)
    if box:
        assert scene.aabb == (3, -4, -1, 7, 0, 3)


def test_nsvf_without_images_for_validation_is_tested_on_the_others(tmp_path):
    write_nsvf(tmp_path, POSES)
    for path in [*(tmp_path / "rgb").glob("2_*"), *(tmp_path / "pose").glob("2_*")]:
        path.unlink()
    assert len(load_split(tmp_path, "test")) == len(load_split(tmp_path, "val")) == 2


def test_nerf_plus_plus(tmp_path):
    for i, pose in enumerate(POSES):
        split = "test" if i >= 7 else "train"
        write_images(tmp_path / split, [f"rgb/{i:03d}.png"], WIDTH, HEIGHT)
        write_pose(tmp_path / split / f"pose/{i:03d}.txt", pose)
        (tmp_path / split / "intrinsics").mkdir(exist_ok=True)
        np.savetxt(tmp_path / split / f"intrinsics/{i:03d}.txt", INTRINSICS.reshape(1, 16))
    assert_poses_are(load_split(tmp_path, "train"), POSES[:7])
    assert_poses_are(load_split(tmp_path, "test"), POSES[7:])


def test_scannet_without_the_views_that_were_lost(tmp_path):
    write_images(tmp_path / "color", [f"{i}.jpg" for i in range(9)], WIDTH, HEIGHT)
    for i, pose in enumerate(POSES):
        write_pose(tmp_path / f"pose/{i}.txt", pose)
    (tmp_path / "pose/4.txt").write_text("-inf " * 16)
    (tmp_path / "intrinsic").mkdir()
    np.savetxt(tmp_path / "intrinsic/intrinsic_color.txt", INTRINSICS)
    with pytest.warns(SceneWarning, match="1 poses are not finite"):
        scene = load_split(tmp_path, "train")
    assert_poses_are(scene, [POSES[i] for i in (1, 2, 3, 5, 6, 7, 8)])
    write_pose(tmp_path / "pose/8.txt", POSES[0])  # a change is seen at once
    changed = load_split(tmp_path, "train").transform.matrix
    assert not np.allclose(changed, scene.transform.matrix)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("pose/0.txt", "1 0 0", "4 rows of 4 numbers"),
        ("pose/0.txt", "x " * 16, "must hold numbers"),
        ("pose/0.txt", "2 " * 16, "the pose is not invertible"),
        ("intrinsics.txt", "", "a focal length and a principal point"),
        ("intrinsics.txt", "x 1 2", "must be a number"),
    ],
)
def test_broken_pose_files_are_named(tmp_path, name, text, fault):
    write_images(tmp_path / "rgb", [f"{i}.png" for i in range(9)], WIDTH, HEIGHT)
    for i, pose in enumerate(POSES):
        write_pose(tmp_path / f"pose/{i}.txt", pose)
    (tmp_path / "intrinsics.txt").write_text(f"{FOCAL} 12 8 0\n")
    (tmp_path / name).write_text(text)
    with pytest.raises(SceneError, match=fault) as caught:
        load_split(tmp_path, "train")
    assert name in str(caught.value)


def test_neus(tmp_path):
    poses = POSES.copy()
    poses[:, :, 3] -= CENTER
    write_neus(tmp_path, poses)
    assert detect_dataset_type(tmp_path) == "neus"
    scene = load_split(tmp_path, "train")
    assert scene.aabb == (-1, -1, -1, 1, 1, 1)
    assert scene.transform.scale == 1
    for view, i in enumerate((1, 2, 3, 4, 5, 6, 7)):
        assert_rays_are(scene, view, *file_rays(poses[i], *MADE))


def test_dtus_masks_are_those_of_the_images_in_their_order(tmp_path):
    write_neus(tmp_path, POSES)
    for path in sorted((tmp_path / "image").iterdir()):
        path.rename(path.with_name(f"000{path.name}"))
    (tmp_path / "mask").mkdir()
    for i in range(9):
        mask = np.zeros((program_makers.HEIGHT, program_makers.WIDTH), np.uint8)
        mask[: i + 1] = 255
        Image.fromarray(mask).save(tmp_path / f"mask/{i:03d}.png")
    scene = load_split(tmp_path, "train")
    height = program_makers.HEIGHT
    rows = scene.masks.reshape(-1, height, program_makers.WIDTH).all(axis=2).sum(axis=1)
    assert rows.tolist() == [2, 3, 4, 5, 6, 7, 8]
    (tmp_path / "mask/008.png").unlink()
    with pytest.warns(SceneWarning, match="8 of 8 masks are of no image"):
        assert load_split(tmp_path, "train").masks is None


def test_intrinsics_as_a_matrix_of_three_rows(tmp_path):
    write_nsvf(tmp_path, POSES, "")
    fx, fy, cx, cy = MADE[2:]
    np.savetxt(tmp_path / "intrinsics.txt", [[fx, 0, cx, 0], [0, fy + 1, cy, 0], [0, 0, 1, 0]])
    expected = [POSES[i] for i in (0, 1, 4, 5, 8)]
    assert_poses_are(load_split(tmp_path, "train"), expected, (*MADE[:3], fy + 1, cx, cy))


def test_broken_neus_files_are_named(tmp_path):
    write_neus(tmp_path, POSES)
    path = tmp_path / "cameras_sphere.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "world_mat_2": np.zeros((4, 4))})
    with pytest.raises(SceneError, match="camera 2: its matrices give no camera"):
        load_split(tmp_path, "train")
    del arrays["scale_mat_1"]
    np.savez(path, **arrays)
    with pytest.raises(SceneError, match="camera 1: scale_mat_1 must be there"):
        load_split(tmp_path, "train")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SceneError, match="not arrays that numpy can read"):
        load_split(tmp_path, "train")


def test_images_that_no_view_of_a_blender_scene_names_are_told(tmp_path):
    write_blender_scene(tmp_path, 3)
    for name in ("r_0_depth_0001.png", "r_1_normal.png"):  # Blender's companions
        Image.fromarray(random_rgba(8, 16, 0)).save(tmp_path / "train" / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_split(tmp_path, "train")
    Image.fromarray(random_rgba(8, 16, 0)).save(tmp_path / "train" / "r_10.png")
    (tmp_path / "train" / "r_11.gif").write_bytes(b"GIF89a")
    with pytest.warns(SceneWarning) as caught:
        load_split(tmp_path, "train")
    text = " ".join(str(warning.message) for warning in caught)
    assert "1 of 7 images" in text
    assert "r_10.png" in text
    assert "1 .gif" in text
