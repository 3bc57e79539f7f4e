"""Folders that no format fits, or that are named in another way: one line says what they are."""

import pytest
from folder_makers import (
    HEIGHT,
    NAMES,
    POSES,
    WIDTH,
    transforms,
    write_colmap,
    write_description,
)
from format_makers import write_images
from program_makers import write_metashape, write_polycam, write_realitycapture, write_scanner_app

from taichi_pynerf.data import load_split
from taichi_pynerf.data.authoring.inspection import inspect_scene
from taichi_pynerf.data.locating import detect_dataset_type, locate_scene
from taichi_pynerf.errors import SceneError


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scene.zip", "scene.zip is an archive: unpack it"),
        ("scene_camera.json", "the BOP benchmark"),
        ("cams/00000000_cam.txt", "cameras of MVSNet"),
        ("groundtruth.txt", "TUM RGB-D"),
        ("traj.txt", "a trajectory as for Replica"),
        ("mav0/cam0/data.csv", "the EuRoC benchmark"),
        ("calib.txt", "the KITTI benchmark"),
        ("templeR_par.txt", "the Middlebury benchmark"),
        ("Truck_COLMAP_SfM.log", "Tanks and Temples"),
        ("frame_annotations.jgz", "annotations of CO3D"),
        ("walk.vrs", "Project Aria"),
        ("odometry.csv", "Stray Scanner"),
        ("room.r3d", "export it in the app as EXR"),
        ("data.jsonl", "Spectacular AI"),
        ("cameras.json", "a Gaussian splatting run"),
        ("cfg_args", "a run of Gaussian splatting"),
        ("odm_report/shots.geojson", "the results of OpenDroneMap"),
        ("dataparser_transforms.json", "a finished run, not a scene.*nerfstudio's"),
        ("fox.ingp", "a finished run, not a scene.*instant-ngp's"),
        ("checkpoints/final.pth", "a finished run, not a scene.*pynerf-render"),
        ("cameras.sfm", "cameras of Meshroom"),
        ("castle.mg", "a project of Meshroom"),
        ("sfm_data_perspective.json", "a scene of OpenMVG"),
        ("out/sfm_data.bin", "a scene of OpenMVG"),
        ("scan_calibrated_camera_parameters.txt", "cameras of Pix4D"),
        ("scene.nvm", "VisualSFM"),
        ("bundle.out", "Bundler"),
        ("bundle/bundle.out", "Bundler"),
        ("0.hdf5", "BlenderProc"),
        ("room.blend", "a Blender file"),
        ("castle.psx", "a Metashape project"),
        ("cameras.abc", "Alembic"),
        ("model.glb", "a finished model without photos"),
        ("model.OBJ", "a finished model without photos"),
        ("garden.spz", "Gaussian splats"),
        ("walk.MOV", "a video: pynerf-photos makes a scene of it"),
    ],
)
def test_what_is_recognised_but_not_read_is_named_with_what_to_do(tmp_path, name, words):
    write_images(tmp_path / "images", ["a.png"], WIDTH, HEIGHT)
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).write_text("{}")
    with pytest.raises(SceneError, match=words):
        load_split(tmp_path, "train")


def test_sidecars_of_realitycapture_are_named_and_others_are_not(tmp_path):
    write_images(tmp_path, ["a.jpg", "b.jpg"], WIDTH, HEIGHT)
    (tmp_path / "a.xmp").write_text('<x:xmpmeta xmlns:x="adobe:ns:meta/"/>')
    with pytest.raises(SceneError, match=r"there are 2 \.jpg without cameras"):
        detect_dataset_type(tmp_path)
    (tmp_path / "b.xmp").write_text('<x xmlns:xcr="http://www.capturingreality.com/ns/xcr/1.1#"/>')
    with pytest.raises(SceneError, match=r"b\.xmp is a camera of RealityCapture.* as CSV"):
        detect_dataset_type(tmp_path)


def test_blocks_exchange_is_named_and_another_xml_is_not_taken_for_metashapes(tmp_path):
    (tmp_path / "blocks.xml").write_text('<?xml version="1.0"?><BlocksExchange version="3.2"/>')
    with pytest.raises(SceneError, match=r"blocks\.xml is cameras as BlocksExchange"):
        detect_dataset_type(tmp_path)
    (tmp_path / "blocks.xml").write_text("<html/>")
    (tmp_path / "log.csv").write_text("time,height\n1,2\n")
    write_images(tmp_path, ["a.jpg", "b.jpg"], WIDTH, HEIGHT)
    with pytest.raises(SceneError, match=r"found here: there are 2 \.jpg without cameras"):
        detect_dataset_type(tmp_path)


def test_an_empty_folder_and_one_of_other_things(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SceneError, match=r"it is empty; give the folder that holds transforms\.js"):
        detect_dataset_type(tmp_path / "empty")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(SceneError, match="nothing of a scene is in it; give the folder"):
        detect_dataset_type(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scene.zip", "an archive: unpack it"),
        ("walk.MP4", "a video: pynerf-photos"),
        ("room.r3d", "a capture of Record3D"),
        ("IMG_1.HEIC", "a photograph, not a folder: give"),
        ("model.ply", "points or a finished model"),
        ("notes.txt", "not a folder; give the folder"),
    ],
)
def test_a_file_that_is_no_scene_is_named(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SceneError, match=f"{name}: {words}"):
        detect_dataset_type(tmp_path / name)


@pytest.mark.parametrize(
    ("write", "name", "kind"),
    [
        (write_metashape, "cameras.xml", "metashape"),
        (write_realitycapture, "cameras.csv", "realitycapture"),
        (write_scanner_app, "frame_00000.json", "scanner-app"),
    ],
)
def test_a_programs_file_stands_for_its_folder(tmp_path, write, name, kind):
    folder = write(tmp_path / "scene", POSES)
    assert locate_scene(folder / name) == (folder, kind)


def test_scenes_are_found_four_levels_down(tmp_path):
    write_polycam(tmp_path / "a/b/c/scan", POSES)
    with pytest.raises(SceneError, match=r"scenes are in its folders: a/b/c/scan \(polycam\)"):
        detect_dataset_type(tmp_path)


def test_only_a_part_of_a_scene_points_to_the_folder_above(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write_description(tmp_path, transforms())
    with pytest.raises(SceneError, match=r"the folder above is a scene \(nerfstudio\)"):
        detect_dataset_type(tmp_path / "images")
    write_images(tmp_path / "holiday", ["a.jpg"], WIDTH, HEIGHT)
    with pytest.raises(SceneError, match=r"there are 1 \.jpg without cameras"):
        detect_dataset_type(tmp_path / "holiday")


def test_a_scene_in_a_folder_beside_images_is_not_theirs(tmp_path):
    write_images(tmp_path / "photos", ["a.jpg"], WIDTH, HEIGHT)
    write_colmap(tmp_path / "castle")
    with pytest.raises(SceneError, match=r"scenes are in its folders: castle \(colmap\)"):
        detect_dataset_type(tmp_path)


def test_another_case_of_the_name_is_named(tmp_path):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    write_description(tmp_path, transforms(), "Transforms (1).JSON")
    with pytest.raises(SceneError, match=r"Transforms \(1\)\.JSON itself to load it"):
        detect_dataset_type(tmp_path)
    assert len(load_split(tmp_path / "Transforms (1).JSON", "train")) == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!DOCTYPE html><html>", "a web page, not JSON: download the file itself"),
        ("version https://git-lfs.github.com/spec/v1", r"a Git LFS pointer.*git lfs pull"),
        ("", "an empty file: copy or download it again"),
    ],
)
def test_what_came_in_place_of_a_description_is_named(tmp_path, text, words):
    write_images(tmp_path, NAMES, WIDTH, HEIGHT)
    (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(SceneError, match=rf"transforms\.json: {words}"):
        load_split(tmp_path, "train")


def test_files_of_each_image_are_not_called_ignored(tmp_path):
    for write, name in ((write_polycam, "view_0"), (write_scanner_app, "frame_00000")):
        folder = write(tmp_path / write.__name__, POSES)
        ignored = [x for x in inspect_scene(folder).contents() if x.startswith("ignored")]
        assert not any(name in line for line in ignored)
    assert any("info.json" in line for line in ignored)
