"""Networks that begin with what others have learned."""

import pytest
import torch

from benchmarks.learn_networks import matrices
from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.model.heads import learned_networks
from taichi_pynerf.model.model import PyNeRF


def field(**settings):
    """That of the preset "cpu" with a small table."""
    return PyNeRF(PyNeRFConfig.preset("cpu", **{**SMALL, **settings})).field


LEARNED = 7  # heads
SMALL = {"hash_table_size": 2**10, "max_resolution": 1024, "occupancy_resolution": 16}


def begins_as(network, name):
    """Whether a network begins as a learned one on the features that both see."""
    learned = learned_networks()
    pairs = [(own, learned[f"{name}.{i}"]) for i, own in enumerate(network.parameters())]
    assert pairs
    return all(torch.equal(own[:, : other.shape[1]], other) for own, other in pairs)


def test_the_learned_weights_are_those_of_a_pyramid():
    learned = learned_networks()
    heads = {f"{level}.{layer}" for level in range(1, LEARNED + 1) for layer in range(2)}
    assert set(learned) == heads | {f"color.{layer}" for layer in range(3)}
    for name, matrix in learned.items():
        assert matrix.dtype == torch.float32
        assert matrix.isfinite().all(), name
        assert matrix.std() > 0.01, name
    features = learned["1.0"].shape[1]
    for level in range(1, LEARNED + 1):
        assert learned[f"{level}.0"].shape[1] == level * features


def test_the_program_that_makes_the_file_names_matrices_as_it_does():
    learned = learned_networks()
    made = matrices(PyNeRF(PyNeRFConfig.preset("cpu", num_levels=LEARNED, **SMALL)))
    assert {name: matrix.shape for name, matrix in made.items()} == {
        name: tuple(matrix.shape) for name, matrix in learned.items()
    }
    for name, matrix in made.items():  # that model has begun with them
        assert torch.equal(torch.from_numpy(matrix).float(), learned[name]), name


def test_the_preset_begins_with_them():
    begun = field()
    levels = range(1, len(begun.heads) + 1)
    assert all(begins_as(head, level) for level, head in zip(levels, begun.heads, strict=True))
    assert begins_as(begun.color_heads[0], "color")
    assert not begins_as(field(initial_networks="random").heads[0], 1)


def test_a_single_head_is_the_last_one():
    begun = field(single_level=True)
    (head,) = begun.heads
    assert begins_as(head, begun.num_grid_levels)


def test_heads_of_further_levels_begin_as_the_last_one_and_with_random_columns():
    begun = field(max_resolution=4096, num_levels=9)
    assert len(begun.heads) == 9
    for level, head in enumerate(begun.heads):
        assert begins_as(head, min(level + 1, LEARNED))
    inner = next(begun.heads[-1].parameters())
    further = inner[:, learned_networks()[f"{LEARNED}.0"].shape[1] :]
    assert further.shape[1] == 2 * learned_networks()["1.0"].shape[1]
    assert (further != 0).all()


def test_every_colour_network_begins_with_the_same():
    begun = field(output_interpolation="color")
    assert len(begun.color_heads) == len(begun.heads)
    assert all(begins_as(head, "color") for head in begun.color_heads)


@pytest.mark.parametrize(
    "other",
    [{"hidden_dim": 32}, {"num_layers": 4}, {"geo_feature_dim": 7}, {"features_per_level": 2}],
)
def test_other_shapes_begin_at_random_or_are_refused(other):
    begun = []
    for way in ("auto", "random"):
        torch.manual_seed(3)
        begun.append(field(initial_networks=way, **other).state_dict())
    for name, ours in begun[0].items():
        assert torch.equal(ours, begun[1][name]), name
    with pytest.raises(ConfigError, match='initial_networks is "learned"'):
        field(initial_networks="learned", **other)


def test_nothing_else_begins_otherwise():
    begun = []
    for way in ("learned", "random"):
        torch.manual_seed(3)
        begun.append(field(initial_networks=way).state_dict())
    other = {name for name in begun[0] if not torch.equal(begun[0][name], begun[1][name])}
    assert other
    assert all("heads." in name for name in other)
