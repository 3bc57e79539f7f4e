import errno
import os
import stat
from pathlib import Path

import pytest
import torch
from tiny import ball_scene, roughen, tiny_config, tiny_model

from taichi_pynerf.data import PyNeRFDataset
from taichi_pynerf.errors import CheckpointError
from taichi_pynerf.files import atomic_write_text
from taichi_pynerf.runs.checkpoint import (
    FILE_NAME,
    FORMAT,
    load_pyramid_model,
    model_from_checkpoint,
    read_checkpoint,
    save_pyramid_model,
)
from taichi_pynerf.training.trainer import PyNeRFTrainer


@pytest.fixture(scope="module")
def model():
    """A model that has been trained a little, so that no tensor has its initial values."""
    model = tiny_model(max_steps=2, batch_size=32)
    dataset = PyNeRFDataset.from_scene(ball_scene(num_views=2, size=8), white_background=True)
    PyNeRFTrainer(model, train_dataset=dataset, progress=False).train()
    return model


@pytest.fixture
def path(model, tmp_path):
    return save_pyramid_model(model, model.config, tmp_path / "model.pth")


def tensors_in(value):
    """All tensors in nested dicts and lists."""
    if torch.is_tensor(value):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        return []
    return [tensor for item in value for tensor in tensors_in(item)]


def refused(path, model=None):
    """The one line with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_pyramid_model(model, path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


# ---- there and back ---------------------------------------------------------------------------


@pytest.mark.parametrize("build", [False, True])
def test_a_model_goes_into_a_file_and_back(model, path, build):
    into = None if build else tiny_model(max_steps=2, batch_size=32)
    if not build:
        roughen(into.field, seed=1)  # other weights than those of the file
    loaded, config = load_pyramid_model(into, path)
    assert build or loaded is into
    assert config == loaded.config == model.config
    saved, found = model.state_dict(), loaded.state_dict()
    assert saved.keys() == found.keys()
    for name, tensor in saved.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].data_ptr() != tensor.data_ptr()


def test_a_loaded_model_renders_the_same_picture(model, path):
    rays_o = torch.tensor([[0.0, 0.1, 3.0]]).repeat(5, 1)
    rays_d = torch.tensor([[0.0, 0.0, -1.0]]) + torch.linspace(-0.2, 0.2, 5)[:, None]
    bounds = torch.tensor([[0.1, 8.0]]).repeat(5, 1)
    loaded, _ = load_pyramid_model(None, path)
    expected, found = (m.eval()(rays_o, rays_d, bounds) for m in (model, loaded))
    assert expected["acc"].min() > 0.01
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor)


def test_a_run_folder_stands_for_its_checkpoint(model, tmp_path):
    save_pyramid_model(model, model.config, tmp_path / FILE_NAME)
    _, config = load_pyramid_model(None, tmp_path)
    assert config == model.config


def test_the_training_state_and_the_scene_come_back(model, tmp_path):
    training = {"step": 7, "moments": {"a": torch.arange(3)}, "rate": 0.5}
    scene = {"data_dir": "scenes/lego", "scales": [1, 2], "downscale": 1}
    path = save_pyramid_model(model, model.config, tmp_path / "m.pth", training, scene)
    content = read_checkpoint(path)
    assert content["scene"] == scene
    assert (content["training"]["step"], content["training"]["rate"]) == (7, 0.5)
    assert torch.equal(content["training"]["moments"]["a"], torch.arange(3))


def test_gradients_are_not_saved(model, tmp_path):
    (encoder,) = model.field.encoders
    encoder.table.grad = torch.ones_like(encoder.table)
    path = save_pyramid_model(model, model.config, tmp_path / "m.pth")
    encoder.table.grad = None
    like_table = [x for x in tensors_in(read_checkpoint(path)) if x.shape == encoder.table.shape]
    assert len({x.data_ptr() for x in like_table}) == 1
    assert not any(x.requires_grad for x in tensors_in(read_checkpoint(path)))


# ---- files that are refused -------------------------------------------------------------------


def test_nothing_in_a_foreign_pickle_is_executed(tmp_path):
    marker = tmp_path / "executed"

    class Foreign:
        def __reduce__(self):
            return Path.touch, (marker,)

    path = tmp_path / "model.pth"
    torch.save({"format": FORMAT, "config": {}, "model": {}, "training": Foreign()}, path)
    refused(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # it would have been


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "not a readable checkpoint" in refused(path)


@pytest.mark.parametrize("content", [b"hello\n", b"\x00" * 4096, b"PK\x03\x04", b"\x80\x02."])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    assert "not a readable checkpoint" in refused(path)


def test_no_file_and_a_folder_without_one_are_refused(tmp_path):
    assert "no such checkpoint" in refused(tmp_path / "nothing.pth")
    assert "no such checkpoint" in refused(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {"format": "taichi_pynerf/999"},
        {"state_dict": {}},
        torch.zeros(3),
        [1, 2],
        "text",
        None,
    ],
    ids=str,
)
def test_another_programs_file_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    assert f"of format {FORMAT}" in refused(tmp_path / "model.pth")


@pytest.mark.parametrize("part", ["config", "model"])
@pytest.mark.parametrize("change", ["remove", "replace"])
def test_a_file_without_one_of_its_parts_is_refused(path, part, change):
    content = torch.load(path, weights_only=True)
    if change == "remove":
        del content[part]
    else:
        content[part] = [1]
    torch.save(content, path)
    assert f"has no {part}" in refused(path)


@pytest.mark.parametrize("change", [{"num_levels": 0}, {"num_levels": "4"}, {"new": 1}], ids=str)
def test_a_file_with_a_bad_configuration_is_refused(path, change):
    content = torch.load(path, weights_only=True)
    content["config"].update(change)
    torch.save(content, path)
    assert next(iter(change)) in refused(path)


@pytest.mark.parametrize(
    "change",
    [
        {"num_levels": 3},
        {"hidden_dim": 8},
        {"hash_table_size": 2**10},
        {"output_interpolation": "color"},
        {"share_feature_grid": False},
        {"occupancy_resolution": 8},
    ],
    ids=str,
)
def test_a_model_of_another_configuration_is_refused_and_left_as_it_was(path, change):
    other = tiny_model(**change)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    assert "another configuration" in refused(path, other)
    assert all(torch.equal(other.state_dict()[name], x) for name, x in before.items())


@pytest.mark.parametrize("replacement", ["text", None, 3])
def test_values_that_are_no_tensors_are_refused(model, path, replacement):
    content = read_checkpoint(path)
    name = next(iter(content["model"]))
    content["model"][name] = replacement
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        model_from_checkpoint(content, path)


# ---- writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "disk full"), RuntimeError("disk full")], ids=type
)
def test_a_failed_write_leaves_the_old_file_and_no_other(model, path, monkeypatch, error):
    before = path.read_bytes()
    break_writing(monkeypatch, error)
    with pytest.raises(CheckpointError, match="disk full"):
        save_pyramid_model(model, model.config, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file_and_no_other(model, path, monkeypatch):
    before = path.read_bytes()
    break_writing(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        save_pyramid_model(model, model.config, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def break_writing(monkeypatch, error):
    def save(content, file):
        file.write(b"the first part")
        raise error

    monkeypatch.setattr(torch, "save", save)


def test_a_folder_that_is_not_there_is_named(model, tmp_path):
    path = tmp_path / "no" / "model.pth"
    with pytest.raises(CheckpointError) as caught:
        save_pyramid_model(model, model.config, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_others_may_read_a_checkpoint_as_the_umask_has_it(model, tmp_path):
    old = os.umask(0o022)
    try:
        path = save_pyramid_model(model, model.config, tmp_path / "model.pth")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_text_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    atomic_write_text(path, "first Ω")
    assert path.read_text(encoding="utf-8") == "first Ω"

    def replace(self, target):
        assert self.parent == Path(target).parent
        assert self.read_text(encoding="utf-8") == "second"
        assert path.read_text(encoding="utf-8") == "first Ω"
        raise PermissionError(errno.EACCES, "just before the rename")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        with pytest.raises(OSError, match="just before"):
            atomic_write_text(path, "second")
    assert path.read_text(encoding="utf-8") == "first Ω"
    assert list(tmp_path.iterdir()) == [path]
    atomic_write_text(path, "third")
    assert path.read_text() == "third"


def test_a_saved_configuration_is_plain_values(path):
    values = read_checkpoint(path)["config"]
    assert values == tiny_config(max_steps=2, batch_size=32).to_dict()
