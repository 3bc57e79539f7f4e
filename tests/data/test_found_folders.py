"""Folders of other programs: each loads with the right cameras, or says its fault."""

import json
import warnings

import colmap_makers
import numpy as np
import program_makers
import pytest
from colmap_makers import write_model
from format_makers import (
    CENTER,
    circle_poses,
    file_rays,
    forward_poses,
    nerfstudio_transforms,
    write_images,
    write_llff_scene,
    write_nerfstudio_scene,
)
from PIL import Image
from program_makers import write_nsvf, write_opensfm, write_realitycapture, write_sdfstudio

from taichi_pynerf.data import load_split
from taichi_pynerf.data.authoring.inspection import inspect_scene
from taichi_pynerf.data.loading import read_scene
from taichi_pynerf.data.locating import detect_dataset_type
from taichi_pynerf.data.scene_files import LoadOptions
from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.geometry.rays import view_rays

POSES = circle_poses(9)
WIDTH, HEIGHT, FOCAL = 24, 16, 20.0
CAMERA = (WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
LAST = [0.0, 0.0, 0.0, 1.0]
NAMES = [f"images/f{i}.png" for i in range(9)]


def quietly(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        return load_split(*args, **options)


def transforms(names=NAMES, poses=POSES, **top):
    """The content of a `transforms.json` of these images."""
    lens = {"w": WIDTH, "h": HEIGHT, "fl_x": FOCAL, "fl_y": FOCAL}
    frames = [
        {"file_path": name, "transform_matrix": np.vstack([pose, LAST]).tolist()}
        for name, pose in zip(names, poses, strict=True)
    ]
    return {**lens, "cx": WIDTH / 2, "cy": HEIGHT / 2, **top, "frames": frames}


def write(folder, content, name="transforms.json", **how):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content), **how)
    return (folder / name).parent


def assert_poses_are(scene, poses, camera=CAMERA):
    for view, pose in enumerate(poses):
        rays = view_rays(scene.cameras, view)
        rays_o, rays_d = file_rays(pose, *camera)
        origin = scene.transform.undo(rays.rays_o[:1].double().numpy())[0]
        np.testing.assert_allclose(origin, rays_o, atol=2e-5)
        directions = scene.transform.undo_directions(rays.rays_d.double().numpy())
        np.testing.assert_allclose(directions, rays_d, atol=2e-5)


def train_poses():
    return [POSES[int(i)] for i in np.linspace(0, 8, 8).astype(int)]


def write_colmap(folder, place="sparse/0", names="view_{:02d}.png", images="images"):
    write_model(folder / place, POSES, "PINHOLE", names)
    size = colmap_makers.WIDTH, colmap_makers.HEIGHT
    write_images(folder / images, [names.format(i) for i in range(9)], *size)
    return folder


def colmap_poses():
    camera = (colmap_makers.WIDTH, colmap_makers.HEIGHT, *colmap_makers.CAMERAS["PINHOLE"])
    return [POSES[i] for i in (1, 2, 3, 4, 5, 6, 7)], camera


# ---- where files are -----------------------------------------------------------------------------


def test_images_beside_the_folder_of_the_description(tmp_path):
    write_images(tmp_path / "scene", NAMES, WIDTH, HEIGHT)
    content = transforms([f"../{name}" for name in NAMES])
    folder = write(tmp_path / "scene", content, "nerf/transforms.json")
    with pytest.warns(SceneWarning, match="9 of 9 files are not in this folder but beside it"):
        scene = load_split(folder, "train")
    assert_poses_are(scene, train_poses())
    assert inspect_scene(folder).contents()


def test_other_folders_beside_the_scene_and_links_to_them_stay_closed(tmp_path):
    write_images(tmp_path, [f"private/f{i}.png" for i in range(9)], WIDTH, HEIGHT)
    content = transforms([f"../private/f{i}.png" for i in range(9)])
    folder = write(tmp_path / "scene", content)
    with pytest.raises(SceneError, match=r"leads out of .*--allow_external_paths"):
        load_split(folder, "train")
    assert len(quietly(folder, "train", allow_external_paths=True)) == 8
    (tmp_path / "scene/images").symlink_to(tmp_path / "private")
    write(tmp_path / "scene", transforms())
    with pytest.raises(SceneError, match="leads out of"):
        load_split(folder, "train")
    (tmp_path / "images").symlink_to(tmp_path / "private")  # a usual name, and a link
    write(tmp_path / "scene", transforms([f"../{name}" for name in NAMES]))
    with pytest.raises(SceneError, match="leads out of"):
        load_split(folder, "train")


def test_files_that_macos_and_windows_leave(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write(tmp_path, transforms())
    (tmp_path / "__MACOSX/images").mkdir(parents=True)
    for name in ("._transforms.json", "._transforms_train.json", "images/Thumbs.db",
                 "images/.DS_Store", "__MACOSX/images/._f0.png",
                 *(f"images/._f{i}.png" for i in range(9))):  # fmt: skip
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_poses_are(load_split(tmp_path, "train"), train_poses())


def test_forks_of_macos_are_no_views_of_llff(tmp_path):
    write_llff_scene(tmp_path, forward_poses(9))
    for i in range(9):
        (tmp_path / f"images/._view_{i:03d}.png").write_bytes(b"\x00\x05\x16\x07")
    assert len(load_split(tmp_path, "train")) == 7


def test_spaces_and_line_ends_around_paths(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write(tmp_path, transforms([f" {name} \n" for name in NAMES]))
    assert_poses_are(quietly(tmp_path, "train"), train_poses())


def test_scannetpp(tmp_path):
    names = [f"DSC{i}.JPG" for i in range(9)]
    write_images(tmp_path / "dslr/resized_images", names, WIDTH, HEIGHT)
    masks = tmp_path / "dslr/resized_anon_masks"
    masks.mkdir()
    for i in range(9):
        mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
        mask[:4] = 0
        Image.fromarray(mask).save(masks / f"DSC{i}.png")
    content = transforms(names)
    for i, frame in enumerate(content["frames"]):
        frame["mask_path"] = f"DSC{i}.png"
    content["test_frames"] = content["frames"][7:]
    content["frames"] = content["frames"][:7]
    folder = write(tmp_path, content, "dslr/nerfstudio/transforms.json")
    train, test = quietly(folder, "train"), quietly(folder, "test")
    assert_poses_are(train, POSES[:7])
    assert_poses_are(test, POSES[7:])
    assert not train.masks.reshape(7, HEIGHT, WIDTH)[:, :4].any()
    assert train.masks.reshape(7, HEIGHT, WIDTH)[:, 4:].all()


# ---- what is written -----------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_json_as_windows_writes_it(tmp_path, encoding):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write(tmp_path, transforms(), encoding=encoding)
    assert_poses_are(load_split(tmp_path, "train"), train_poses())


def test_tables_in_utf_16(tmp_path):
    folder = write_realitycapture(tmp_path, POSES)
    text = (folder / "cameras.csv").read_text(encoding="utf-8-sig")
    (folder / "cameras.csv").write_text(text, encoding="utf-16")
    assert len(load_split(folder, "train")) == 7
    (folder / "cameras.csv").write_bytes(text.replace("view", "größe").encode("cp1252"))
    with pytest.raises(SceneError, match=r"cameras\.csv: not text in UTF-8; an editor can save"):
        load_split(folder, "train")


@pytest.mark.parametrize("name", ["camera_intrinsics", "intrinsics", "K"])
def test_intrinsics_as_a_matrix(tmp_path, name):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    content = transforms(**{name: [[21.0, 0, 11.0], [0, 22.0, 9.0], [0, 0, 1]]})
    for member in ("fl_x", "fl_y", "cx", "cy"):
        del content[member]
    write(tmp_path, content)
    scene = load_split(tmp_path, "train")
    assert_poses_are(scene, train_poses(), (WIDTH, HEIGHT, 21.0, 22.0, 11.0, 9.0))
    content[name] = [["a"] * 3] * 3
    write(tmp_path, content)
    with pytest.raises(SceneError, match=r"frames\[0\]: fl_x is 'a'"):
        load_split(tmp_path, "train")


def test_scenes_that_move_are_told(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    content = transforms()
    for i, frame in enumerate(content["frames"]):
        frame["time"] = i / 8
    write(tmp_path, content)
    with pytest.warns(SceneWarning, match="frames of 9 times: what moves between them"):
        load_split(tmp_path, "train")


def test_json_that_was_edited_by_hand_is_refused_at_its_place(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write(tmp_path, transforms())
    text = (tmp_path / "transforms.json").read_text()
    (tmp_path / "transforms.json").write_text(f"// my scene\n{text}")
    with pytest.raises(SceneError, match=r"transforms\.json: broken JSON at line 1, column 1"):
        load_split(tmp_path, "train")


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
    lines = [f"view_{i:02d}.png\t{i}\t{'test' if i in (2, 3) else 'train'}\tx" for i in range(9)]
    table = "\n".join(["filename\tid\tsplit\tdataset", *lines, "lost.png\t\ttrain\tx"])
    (tmp_path / "brandenburg.tsv").write_text(table)
    with pytest.warns(SceneWarning, match=r"brandenburg\.tsv: says which 2 of 9 images"):
        test = load_split(tmp_path, "test")
    assert_poses_are(test, POSES[2:4], colmap_poses()[1])
    assert len(load_split(tmp_path, "train")) == 7
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


# ---- changes on disk -----------------------------------------------------------------------------


def changed(folder, change, dataset_type=None):
    """Whether a description is read anew after a change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        first = read_scene(folder, dataset_type, LoadOptions())
        assert read_scene(folder, dataset_type, LoadOptions()) is first
        change()
        return read_scene(folder, dataset_type, LoadOptions()) is not first


def test_a_changed_model_beside_a_transforms_json_is_noticed(tmp_path):
    content = nerfstudio_transforms(POSES)
    write_nerfstudio_scene(tmp_path, content)
    model = tmp_path / "colmap/sparse/0"

    def add():
        write_model(model, POSES, "PINHOLE", "{:04d}.png")

    (tmp_path / "colmap").mkdir()
    assert changed(tmp_path, add)
    assert changed(tmp_path, lambda: (model / "points3D.txt").write_text(""))
    assert not changed(tmp_path, lambda: None)


def test_changed_files_in_other_folders_are_noticed(tmp_path):
    write_nsvf(tmp_path / "nsvf", POSES)
    pose = tmp_path / "nsvf/pose/0_000.txt"
    assert changed(tmp_path / "nsvf", lambda: pose.write_text(pose.read_text() + "\n"))
    write_colmap(tmp_path / "scene")
    points = tmp_path / "scene/sparse/0/points3D.txt"
    assert changed(tmp_path / "scene", lambda: points.write_text(""))
    content = {**nerfstudio_transforms(POSES), "ply_file_path": "points/sparse.ply"}
    write_nerfstudio_scene(tmp_path / "ply", content)
    header = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"

    def add():
        (tmp_path / "ply/points").mkdir()
        text = f"{header}property float z\nend_header\n5 -2 1\n"
        (tmp_path / "ply/points/sparse.ply").write_text(text)

    assert changed(tmp_path / "ply", add)


# ---- values that no camera has -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1 PINHOLE 18446744073709551615 16 20 21 12.5 7.5", "a side must be 1 to 100000"),
        ("1 PINHOLE 24 16 1e300 21 12.5 7.5", "parameters are not valid"),
        ("1 RADIAL 24 16 20 12.5 7.5 1e9 0", "parameters are not valid"),
    ],
)
def test_cameras_of_a_model_with_impossible_values_are_named(tmp_path, line, fault):
    write_colmap(tmp_path)
    (tmp_path / "sparse/0/cameras.txt").write_text(f"{line}\n")
    with pytest.raises(SceneError, match=f"sparse/0: camera 1: .*{fault}"):
        load_split(tmp_path, "train")


@pytest.mark.parametrize("box", ["3 -4 -1 7 -4 -1", "nan 0 0 1 1 1", "0 0 0 1 1 1e300", "0 0 0 1"])
def test_a_box_of_nsvf_that_is_none_is_named(tmp_path, box):
    write_nsvf(tmp_path, POSES, box)
    with pytest.raises(SceneError, match=r"bbox\.txt: "):
        load_split(tmp_path, "train")


@pytest.mark.parametrize("camera", [{"a": 1}, [], None, 3])
def test_a_camera_of_opensfm_whose_name_is_no_text_is_named(tmp_path, camera):
    write_opensfm(tmp_path, POSES)
    path = tmp_path / "reconstruction.json"
    content = json.loads(path.read_text())
    next(iter(content[0]["shots"].values()))["camera"] = camera
    path.write_text(json.dumps(content))
    with pytest.raises(SceneError, match="with the name of a camera"):
        load_split(tmp_path, "train")
