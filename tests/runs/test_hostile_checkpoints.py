"""Checkpoints made to do harm are refused in one line, before they cost memory or time."""

import io
import json
import zipfile

import pytest
import torch
from tiny import ball_scene, tiny_model

from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.errors import CheckpointError, SceneError
from taichi_pynerf.runs.checkpoint import FILE_NAME, model_from_checkpoint, read_checkpoint
from taichi_pynerf.runs.runs import open_run, source_of
from taichi_pynerf.runs.scene_source import SceneSource
from taichi_pynerf.training.trainer import PyNeRFTrainer


def make_trainer(folder=None):
    data = PyNeRFDataset.from_scene(ball_scene(2, 8), True)
    return PyNeRFTrainer(
        tiny_model(max_steps=2, batch_size=32), train_dataset=data, output_dir=folder,
        progress=False, scene=SceneSource("somewhere").to_dict(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The file of a short training."""
    trainer = make_trainer(tmp_path_factory.mktemp("good"))
    trainer.train()
    return trainer.save()


def content_of(path, **changes):
    content = torch.load(path, weights_only=True)
    for part, values in changes.items():
        content[part] = {**content[part], **values}
    return content


def refused(call, *words):
    with pytest.raises(CheckpointError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def repacked(path, compression=zipfile.ZIP_STORED, grown=None):
    """A copy of the archive, with a part that is not torch's."""
    target = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", compression) as archive:
        for name in source.namelist():
            large = grown is not None and name.endswith("data/0")
            archive.writestr(name, bytes(grown) if large else source.read(name))
    return target.getvalue()


def test_a_part_that_bursts(good, tmp_path):
    path = tmp_path / "bomb.pth"
    path.write_bytes(repacked(good, zipfile.ZIP_DEFLATED, grown=2**26))
    assert path.stat().st_size < 2**22
    refused(lambda: read_checkpoint(path), str(path), "compressed")


def test_parts_that_are_the_same_bytes(good, tmp_path):
    path = tmp_path / "overlap.pth"
    data = bytearray(repacked(good))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        large = max(entries, key=lambda entry: entry.file_size)
        end = archive.start_dir
    for entry in entries:  # all parts point at the largest
        header = data.index(entry.filename.encode(), end) - 46
        for place, value in (
            (20, large.file_size),
            (24, large.file_size),
            (42, large.header_offset),
        ):
            data[header + place : header + place + 4] = value.to_bytes(4, "little")
        end = header + 46
    path.write_bytes(data)
    refused(lambda: read_checkpoint(path), "larger than the file")


class Asked:
    """Unpickled, it calls something for memory that the file does not have."""

    def __init__(self, call, *arguments):
        self.asked = call, arguments

    def __reduce__(self):
        return self.asked


@pytest.mark.parametrize("name", ["data.pkl", "DATA.PKL"])
@pytest.mark.parametrize("call", [bytearray, torch.FloatTensor, set])
def test_values_that_ask_for_memory(good, tmp_path, call, name):
    path = tmp_path / FILE_NAME
    torch.save({**content_of(good), "more": Asked(call, 2**34)}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        for member in source.namelist():
            archive.writestr(member.replace("data.pkl", name), source.read(member))
    refused(lambda: read_checkpoint(tmp_path / "x.pth"), "x.pth", "no tensor or plain value")


@pytest.mark.parametrize(
    "config",
    [
        {"hash_table_size": 2**26, "max_resolution": 2048, "num_levels": 10},
        {"hidden_dim": 10**6},
        {"num_layers": 10**9},
        {"occupancy_resolution": 512},
    ],
)
def test_settings_that_ask_for_more_than_the_tensors_hold(good, config):
    content = content_of(good, config=config)
    refused(lambda: model_from_checkpoint(content, good), "of another configuration", "bytes")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(10**6, 10**6),
        torch.zeros(16, 7).to_sparse(),
        torch.zeros(16, 7, dtype=torch.int8),
        torch.empty(16, 7, device="meta"),
        "text",
    ],
    ids=["expanded", "sparse", "integers", "meta", "text"],
)
def test_values_that_are_no_plain_tensors(good, tensor):
    content = content_of(good)
    name = next(name for name, value in content["model"].items() if value.dim() == 2)
    content["model"][name] = tensor
    refused(lambda: model_from_checkpoint(content, good), "of another configuration")


def test_names_that_are_no_text(good):
    content = {**content_of(good), "model": {1: torch.zeros(2**22), "a": 2}}
    refused(lambda: model_from_checkpoint(content, good, tiny_model()), "of another configuration")


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value, value]
    return value


MOMENTS = {"param_groups": [{"lr": 0.1}], "state": {}}


@pytest.mark.parametrize(
    "training",
    [
        {"num_rays": 10**12},
        {"num_rays": 0},
        {"step": -1},
        {"step": float("inf")},
        {"train_seconds": float("nan")},
        {"num_samples": "many"},
        {"generator": torch.zeros(5056, dtype=torch.uint8)},
        {"pixel_generator": [1]},
        {"optimizers": {"tables": MOMENTS}},
        {"optimizers": nested(60)},
        {"optimizers": {"tables": {**MOMENTS, "state": {7: {}}}, "networks": MOMENTS}},
        {"optimizers": {"tables": {**MOMENTS, "state": {0: {}}}, "networks": MOMENTS}},
        {"optimizers": {"tables": {"state": {}}, "networks": MOMENTS}},
    ],
)
def test_a_training_that_cannot_be_gone_on_with(good, training):
    state = {**content_of(good)["training"], **training}
    refused(lambda: make_trainer().load_state_dict(state), "cannot be resumed")


@pytest.mark.parametrize(
    ("moment", "fault"),
    [
        (torch.zeros(3), "square_avg of parameter 0 is of another kind"),
        (torch.zeros(()), "square_avg of parameter 0 is too small"),
        (torch.zeros((), dtype=torch.int64), "square_avg of parameter 0 is of another kind"),
        ("x", "cannot be resumed"),
    ],
)
def test_moments_of_another_shape_are_refused_for_their_shape(good, moment, fault):
    tables = {**MOMENTS, "state": {0: {"square_avg": moment}}}
    state = {**content_of(good)["training"], "optimizers": {"tables": tables, "networks": MOMENTS}}
    refused(lambda: make_trainer().load_state_dict(state), fault)


def test_what_else_is_in_the_training_costs_no_time(good):
    state = {**content_of(good)["training"], "more": nested(60)}
    make_trainer().load_state_dict(state)


@pytest.mark.parametrize("training", [[1, 2], "x", {"step": "x"}, {"step": -3}, {"step": 1.5}])
def test_a_step_that_is_none_counts_as_unknown(good, tmp_path, training):
    path = tmp_path / FILE_NAME
    torch.save({**content_of(good), "training": training}, path)
    assert open_run(path).step == 0


@pytest.mark.parametrize(
    "scene",
    [
        {"data_dir": 5},
        {"data_dir": "a\0b"},
        {"img_downscale": 0},
        {"img_downscale": True},
        {"multiscale": "yes"},
        {"dataset_type": ["blender"]},
        {"placement": {"aabb": "x"}},
        {"placement": {"scene_scale": "1"}},
        {"placement": [1]},
        {"exposure": None},
        {"holdout": 1.5},
    ],
    ids=json.dumps,
)
def test_a_scene_of_other_types(good, scene):
    values = {**content_of(good)["scene"], **scene}
    with pytest.raises(SceneError):
        SceneSource.from_dict(values)
    refused(lambda: source_of({"scene": values}, good), "which scene")


def test_the_scene_of_a_checkpoint_comes_back(good):
    assert SceneSource.from_dict(content_of(good)["scene"]) == SceneSource("somewhere")
