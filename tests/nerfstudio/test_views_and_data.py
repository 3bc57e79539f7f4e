"""nerfstudio's cameras as ours and back, and this package's formats as its data parser."""

import math
import shutil

import pytest
import torch

pytest.importorskip("nerfstudio.engine", reason="nerfstudio is not installed")

from nerfstudio.cameras.cameras import CameraType
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.plugins.registry import discover_methods
from nerfstudio.plugins.registry_dataparser import discover_dataparsers
from PIL import Image
from scene_makers import make_cameras

from taichi_pynerf.data.authoring.multiscale_writer import write_multiscale
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.rays import view_rays
from taichi_pynerf.nerfstudio.data import PyNeRFDataParserConfig
from taichi_pynerf.nerfstudio.views import (
    TrainingViews,
    bounds_of,
    cameras_from_studio,
    cameras_to_studio,
)
from taichi_pynerf.runs.scene_source import SceneSource


def test_nerfstudio_finds_the_plugin():
    methods, descriptions = discover_methods()
    parsers, _ = discover_dataparsers()
    for name in ("taichi-pynerf", "taichi-pynerf-synthetic"):
        assert methods[name].method_name == name
        assert "PyNeRF" in descriptions[name]
    assert {"taichi-pynerf-data", "multiscale-blender-data"} <= parsers.keys()


def lenses(kind):
    cameras = make_cameras(3, width=24, height=16)
    if kind == "plain":
        return cameras
    coefficients = torch.tensor([0.05, -0.02, 0.0, 0.0, 0.001, 0.002])
    fields = {**vars(cameras), "distortion": coefficients.repeat(3, 1)}
    if kind == "fisheye":
        fields["fisheye"] = torch.ones(3, dtype=torch.bool)
        fields["distortion"][:, 4:] = 0
    if kind == "panorama":  # the first; its coefficients say nothing in nerfstudio
        fields["panorama"] = torch.tensor([True, False, False])
        fields["distortion"][0] = 0
        fields["fx"] = torch.where(fields["panorama"], 24 / (2 * math.pi), cameras.fx)
        fields["fy"] = torch.where(fields["panorama"], 16 / math.pi, cameras.fy)
    return type(cameras)(**fields)


@pytest.mark.parametrize("kind", ["plain", "distorted", "fisheye", "panorama"])
def test_cameras_go_there_and_back(kind):
    cameras, studio = lenses(kind), cameras_to_studio(lenses(kind))
    if kind == "panorama":
        studio.distortion_params[0] = 0.1
    back = cameras_from_studio(studio)
    for name, value in vars(cameras).items():
        other = getattr(back, name)
        assert (value is None and other is None) or value.allclose(other, rtol=3e-7), name


@pytest.mark.parametrize("kind", ["plain", "distorted", "fisheye", "panorama"])
def test_both_see_the_same_rays(kind):
    cameras = lenses(kind)
    studio = cameras_to_studio(cameras)
    for view in range(3):
        ours = view_rays(cameras, view)
        theirs = studio.generate_rays(camera_indices=view).flatten()
        torch.testing.assert_close(theirs.origins, ours.rays_o)
        torch.testing.assert_close(theirs.directions, ours.rays_d, atol=2e-4, rtol=0)
        ratio = theirs.pixel_area[:, 0] / ours.pixel_areas
        assert (ratio - 1).abs().max() < 0.15


def test_a_camera_of_another_kind_is_refused():
    studio = cameras_to_studio(make_cameras(1))
    studio.camera_type[:] = CameraType.ORTHOPHOTO.value
    with pytest.raises(SceneError, match="equirectangular"):
        cameras_from_studio(studio)


def test_the_data_parser_has_our_cameras_bounds_and_box(ball_folder):
    parser = PyNeRFDataParserConfig(data=ball_folder).setup()
    dataset = SceneSource(str(ball_folder)).load("train")
    outputs = parser.get_dataparser_outputs("train")
    back = cameras_from_studio(outputs.cameras)
    assert torch.equal(back.c2w, dataset.cameras.c2w)
    assert torch.equal(back.fx, dataset.cameras.fx)
    assert outputs.scene_box.aabb.flatten().tolist() == list(dataset.aabb)
    assert bounds_of(outputs.cameras, 0, 0) == pytest.approx((dataset.near, dataset.far))


def test_training_images_keep_their_alpha_and_masks(ball_folder, tmp_path):
    parser = PyNeRFDataParserConfig(data=ball_folder, alpha_color=None).setup()
    outputs = parser.get_dataparser_outputs("train")
    ours = SceneSource(str(ball_folder)).load("train")
    views = TrainingViews(InputDataset(outputs), False, 1.0, 2.0, torch.ones(3))
    assert views.has_alpha
    assert (views.near, views.far) == pytest.approx((ours.near, ours.far))
    assert 0 < views.alpha(3).float().mean() < 255
    assert torch.equal(views.alpha(3), ours.alpha(3))
    assert views.mask(3) is None
    mask = torch.zeros(32, 32, dtype=torch.uint8)
    mask[:, :5] = 255
    Image.fromarray(mask.numpy()).save(tmp_path / "mask.png")
    outputs.mask_filenames = [tmp_path / "mask.png"] * len(views)
    assert torch.equal(views.mask(3), mask > 0)


def test_another_split_stands_in_for_one_that_is_missing(ball_folder, tmp_path):
    shutil.copytree(ball_folder, tmp_path / "ball")
    (tmp_path / "ball" / "transforms_val.json").unlink()
    parser = PyNeRFDataParserConfig(data=tmp_path / "ball").setup()
    names = [path.parent.name for path in parser.get_dataparser_outputs("val").image_filenames]
    assert names == ["test", "test"]


def test_multiscale_folders_have_all_their_scales(ball_folder, tmp_path):
    write_multiscale(ball_folder, tmp_path / "ms")
    parsers, _ = discover_dataparsers()
    config = parsers["multiscale-blender-data"]
    config.data = tmp_path / "ms"
    outputs = config.setup().get_dataparser_outputs("train")
    widths, counts = outputs.cameras.width.view(-1).unique(return_counts=True)
    assert widths.tolist() == [4, 8, 16, 32]
    assert counts.tolist() == [10] * 4
