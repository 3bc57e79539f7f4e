"""Exports of other programs and phone apps give the rays of the cameras they were made from."""

import json
import math
import warnings

import numpy as np
import pytest
from format_makers import circle_poses, file_rays
from program_makers import (
    CX,
    CY,
    FX,
    FY,
    HEIGHT,
    LENS,
    WIDTH,
    WITHOUT_DISTORTION,
    WRITERS,
    write_arkitscenes,
    write_metashape,
    write_opensfm,
    write_polycam,
    write_realitycapture,
    write_record3d,
    write_scanner_app,
)  # fmt: skip

from taichi_pynerf.data import Placement, load_split
from taichi_pynerf.data.formats.programs import opensfm
from taichi_pynerf.data.locating import detect_dataset_type
from taichi_pynerf.data.scene_files import MAX_FILE_BYTES, LoadOptions
from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.geometry.rays import view_rays

POSES = circle_poses(9)


def rays_of(scene, view):
    """Origins and directions of a view in the files' world."""
    rays = view_rays(scene.cameras, view)
    origin = scene.transform.undo(rays.rays_o[:1].double().numpy())[0]
    return origin, scene.transform.undo_directions(rays.rays_d.double().numpy())


def load_all(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        return {split: load_split(folder, split, **options) for split in ("train", "test")}


@pytest.mark.parametrize("program", sorted(WRITERS))
def test_rays_are_those_of_the_cameras(tmp_path, program):
    folder = WRITERS[program](tmp_path / "scene", POSES)
    assert detect_dataset_type(folder) == program
    scenes = load_all(folder)
    assert len(scenes["train"]) == 7  # every eighth is held out
    assert len(scenes["test"]) == 2
    lens = None
    if program not in WITHOUT_DISTORTION:
        lens = [LENS["k1"], LENS["k2"], LENS["k3"], 0.0, LENS["p1"], LENS["p2"]]
    for view, pose in ((0, POSES[1]), (6, POSES[7])):
        origin, rays_d = rays_of(scenes["train"], view)
        expected_o, expected_d = file_rays(pose, WIDTH, HEIGHT, FX, FY, CX, CY, lens)
        np.testing.assert_allclose(origin, expected_o, atol=2e-5)
        np.testing.assert_allclose(rays_d, expected_d, atol=2e-5)


@pytest.mark.parametrize("write", [write_opensfm, write_metashape])
def test_panoramas_of_programs(tmp_path, write):
    folder = write(tmp_path / "scene", POSES, "spherical")
    scene = load_all(folder)["train"]
    assert scene.cameras.panorama.all()
    _, rays_d = rays_of(scene, 0)
    u, v = np.meshgrid((np.arange(WIDTH) + 0.5) / WIDTH, (np.arange(HEIGHT) + 0.5) / HEIGHT)
    longitude, latitude = 2 * math.pi * (u - 0.5).ravel(), math.pi * (0.5 - v).ravel()
    local = np.stack(
        [np.sin(longitude) * np.cos(latitude), np.sin(latitude),
         -np.cos(longitude) * np.cos(latitude)], -1,
    )  # fmt: skip
    np.testing.assert_allclose(rays_d, local @ POSES[1][:, :3].T, atol=2e-5)


@pytest.mark.parametrize(
    ("write", "kind"), [(write_opensfm, "fisheye_opencv"), (write_metashape, "fisheye")]
)
def test_fisheyes_of_programs(tmp_path, write, kind):
    scene = load_all(write(tmp_path / "scene", POSES, kind))["train"]
    lens = [LENS["k1"], LENS["k2"], LENS["k3"], 0.0, LENS["p1"], LENS["p2"]]
    _, rays_d = rays_of(scene, 0)
    expected = file_rays(POSES[1], WIDTH, HEIGHT, FX, FY, CX, CY, lens, fisheye=True)[1]
    np.testing.assert_allclose(rays_d, expected, atol=2e-5)


def test_a_metashape_export_in_the_chunk_s_own_coordinates(tmp_path):
    folder = write_metashape(tmp_path / "scene", POSES, world=False)
    with pytest.warns(SceneWarning, match="1 cameras are not aligned.*not_aligned"):
        scene = load_split(folder, "train")
    np.testing.assert_allclose(rays_of(scene, 0)[0], POSES[1][:, 3], atol=2e-5)


def test_realitycapture_s_european_csv(tmp_path):
    folder = write_realitycapture(tmp_path / "scene", POSES, separator=";")
    np.testing.assert_allclose(rays_of(load_all(folder)["train"], 0)[0], POSES[1][:, 3], atol=2e-5)


def test_polycam_s_corrected_cameras_are_preferred(tmp_path):
    folder = write_polycam(tmp_path / "scene", POSES)
    moved = POSES.copy()
    moved[:, :, 3] += 1.0
    write_polycam(folder, moved, "corrected_")
    np.testing.assert_allclose(rays_of(load_all(folder)["train"], 0)[0], moved[1][:, 3], atol=2e-5)


def test_polycam_s_cameras_that_do_not_say_the_size_of_their_images(tmp_path):
    folder = write_polycam(tmp_path / "scene", POSES, "corrected_")
    for path in (folder / "keyframes/corrected_cameras").iterdir():
        content = json.loads(path.read_text())
        del content["width"], content["height"]
        path.write_text(json.dumps(content))
    scene = load_all(folder)["train"]
    expected = file_rays(POSES[1], WIDTH, HEIGHT, FX, FY, CX, CY)[1]
    np.testing.assert_allclose(rays_of(scene, 0)[1], expected, atol=2e-5)


@pytest.mark.parametrize("write", [write_polycam, write_scanner_app])
def test_up_is_that_of_the_world_however_a_phone_is_held(tmp_path, write):
    roll = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    poses = np.concatenate([POSES[:, :, :3] @ roll, POSES[:, :, 3:]], axis=2)
    folder = write(tmp_path / "scene", poses)
    transform = load_all(folder)["train"].transform
    np.testing.assert_allclose(transform.matrix[:, :3] @ [0.0, 1.0, 0.0], [0, 0, 1], atol=1e-12)
    asked = load_all(folder, placement=Placement(orientation="up"))["train"].transform
    up = asked.matrix[:, :3] @ poses[:, :, 1].mean(axis=0)  # what the cameras take for up
    np.testing.assert_allclose(up / np.linalg.norm(up), [0, 0, 1], atol=1e-12)


def test_record3d_s_lens_of_each_image(tmp_path):
    scene = load_all(write_record3d(tmp_path / "scene", POSES, each=True))["train"]
    assert scene.cameras.fx.tolist() == pytest.approx([FX] * 7)


def test_photos_of_3d_scanner_app_without_a_pose_are_counted(tmp_path):
    folder = write_scanner_app(tmp_path / "scene", POSES)
    (folder / "frame_00003.json").unlink()
    with pytest.warns(SceneWarning, match=r"1 photos have no JSON file.*frame_00003\.jpg"):
        assert len(load_split(folder, "train")) == 7  # of 8


def test_arkitscenes_images_without_a_pose_of_their_time_are_counted(tmp_path):
    folder = write_arkitscenes(tmp_path / "scene", POSES)
    path = folder / "scene_frames/lowres_wide.traj"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.warns(SceneWarning, match=r"1 images have no pose or lens of their time.*7_10\.8"):
        assert len(load_split(folder, "train")) == 7  # of 8
    assert detect_dataset_type(folder / "scene_frames") == "arkitscenes"


def test_the_largest_of_several_reconstructions(tmp_path):
    folder = write_opensfm(tmp_path / "scene", POSES)
    content = json.loads((folder / "reconstruction.json").read_text())
    small = {**content[0], "shots": dict(list(content[0]["shots"].items())[:2])}
    (folder / "opensfm").mkdir()
    (folder / "opensfm" / "reconstruction.json").write_text(json.dumps([small, content[0]]))
    (folder / "reconstruction.json").unlink()
    with pytest.warns(SceneWarning, match=r"2 reconstructions.*of 9 images"):
        scene = load_split(folder, "train")
    assert len(scene) == 7


def test_of_very_many_points_an_even_selection_places_the_scene(tmp_path, monkeypatch):
    folder = write_opensfm(tmp_path / "scene", POSES)
    assert len(opensfm.read(folder, LoadOptions()).points) == 5
    monkeypatch.setattr(opensfm, "MAX_POINTS", 2)
    points = opensfm.read(folder, LoadOptions()).points
    assert points[:, 0].tolist() == [5.0, 8.0]


def test_a_reconstruction_is_larger_than_other_descriptions(tmp_path, monkeypatch):
    folder = write_opensfm(tmp_path / "scene", POSES)
    path = folder / "reconstruction.json"
    path.write_text(path.read_text() + " " * MAX_FILE_BYTES)
    assert len(load_split(folder, "train")) == 7
    monkeypatch.setattr(opensfm, "MAX_BYTES", MAX_FILE_BYTES)
    with pytest.raises(SceneError, match="larger than 32 MiB"):
        opensfm.read(folder, LoadOptions())
    monkeypatch.undo()
    path.write_text("[" + "[]," * (MAX_FILE_BYTES // 2) + "0]")  # would take gigabytes
    with pytest.raises(SceneError, match="values and lists"):
        opensfm.read(folder, LoadOptions())


def test_images_that_are_missing_are_counted(tmp_path):
    folder = write_opensfm(tmp_path / "scene", POSES)
    (folder / "images" / "view_03.png").unlink()
    with pytest.warns(SceneWarning, match="1 of 9 images are missing"):
        assert len(load_split(folder, "train")) == 7  # of 8


@pytest.mark.parametrize(
    ("program", "file", "old", "new", "words"),
    [
        ("opensfm", "reconstruction.json", '"brown"', '"fisheye62"', "fisheye62"),
        ("opensfm", "reconstruction.json", '"camera": "v2 phone"', '"camera": "?"', "name of a"),
        ("opensfm", "reconstruction.json", '"width": 36', '"width": "wide"', "width is"),
        ("metashape", "cameras.xml", "<document", "<!DOCTYPE a><document", "definitions"),
        ("metashape", "cameras.xml", 'type="frame"', 'type="rpc"', "rpc"),
        ("metashape", "cameras.xml", "</chunk>", "", "broken XML"),
        ("metashape", "cameras.xml", "<f>31.0</f>", "<f>long</f>", "f is 'long'"),
        ("metashape", "cameras.xml", "<f>31.0</f>", "", "focal lengths"),
        ("realitycapture", "cameras.csv", "heading", "head", "no column heading"),
        ("realitycapture", "cameras.csv", "view_01.png,", "view_01.png,x", "x is"),
        ("polycam", "keyframes/cameras/view_01.json", '"fx": 31.0', '"fx": null', "fx is None"),
        ("record3d", "metadata.json", '"w": 36', '"w": 0', "w is 0"),
        ("record3d", "metadata.json", '"K": [', '"K": [0, ', "K is"),
        ("kapture", "sensors/sensors.txt", "FULL_OPENCV", "PINHOLE", "4 parameters"),
        (
            "scanner-app",
            "frame_00001.json",
            '"intrinsics": [',
            '"intrinsics": [0, ',
            "intrinsics is",
        ),
        ("scanner-app", "frame_00001.json", "cameraPoseARFrame", "pose", "cameraPoseARFrame is"),
        ("arkitscenes", "scene_frames/lowres_wide.traj", "9.5 ", "", "line 1: a pose is"),
        ("kapture", "sensors/records_camera.txt", ", cam0, view_01.png", "", "line 2"),
    ],
)
def test_a_broken_export_is_one_line(tmp_path, program, file, old, new, words):
    folder = WRITERS[program](tmp_path / "scene", POSES)
    text = (folder / file).read_text(encoding="utf-8-sig")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        with pytest.raises(SceneError, match=words) as caught:
            load_split(folder, "train", dataset_type=program)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("program", sorted(WRITERS))
def test_an_empty_folder_is_one_line(tmp_path, program):
    with pytest.raises(SceneError, match=str(tmp_path)):
        load_split(tmp_path, "train", dataset_type=program)
