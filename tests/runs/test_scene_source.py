"""Which images a run is trained on and which it is tested with."""

import pytest
import torch
from format_makers import circle_poses, nerfstudio_transforms, write_nerfstudio_scene
from scene_makers import write_blender_scene

from taichi_pynerf.data.datasets import PyNeRFDataset
from taichi_pynerf.runs.scene_source import SceneSource


@pytest.fixture
def photographs(tmp_path):
    """A folder of 8 photographs of an unbounded scene, 64 x 48 pixels."""
    transforms = nerfstudio_transforms(circle_poses(8), width=64, height=48)
    write_nerfstudio_scene(tmp_path / "photos", transforms)
    return tmp_path / "photos"


def scales_of(source, split):
    return sorted(set(source.load(split).scales.tolist()))


def test_photographs_are_trained_on_reduced_images_too_and_tested_at_full_size(photographs):
    source = SceneSource.fitted(photographs)
    train, test = source.load("train"), source.load("test")
    # A quarter of 48 pixels is too little.
    assert sorted(train.scales.tolist()) == [1] * 7 + [2] * 7
    drawn = train.scales[train.sample(30_000, torch.Generator().manual_seed(0)).view_indices]
    assert (drawn == 1).double().mean().item() == pytest.approx(2 / 3, abs=0.02)
    assert isinstance(test, PyNeRFDataset)
    assert scales_of(source.at_full_size(), "train") == [1]
    assert SceneSource.from_dict(source.to_dict()) == source


def test_several_scales_are_chosen_or_refused(photographs):
    every = SceneSource.fitted(photographs, multiscale=True)
    assert (scales_of(every, "train"), scales_of(every, "test")) == ([1, 2, 4, 8], [1, 2, 4, 8])
    one = SceneSource.fitted(photographs, multiscale=False)
    assert (scales_of(one, "train"), scales_of(one, "test")) == ([1], [1])


def test_bounded_scenes_stay_at_full_size(tmp_path):
    write_blender_scene(tmp_path)
    assert scales_of(SceneSource.fitted(tmp_path), "train") == [1]


def test_runs_from_before_there_were_reduced_images_resume_as_they_were(photographs):
    values = SceneSource.fitted(photographs).to_dict()
    del values["reduced_too"]
    assert scales_of(SceneSource.from_dict(values), "train") == [1]
