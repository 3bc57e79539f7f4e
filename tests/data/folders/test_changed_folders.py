"""A scene whose files change on disk is read anew."""

import warnings

from colmap_makers import write_model
from folder_makers import POSES, write_colmap
from format_makers import nerfstudio_transforms, write_nerfstudio_scene
from program_makers import write_nsvf

from taichi_pynerf.data.loading import read_scene
from taichi_pynerf.data.scene_files import LoadOptions
from taichi_pynerf.errors import SceneWarning


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
