import dataclasses
import importlib.util
import json
import math
from pathlib import Path

import pytest

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.presets import PRESETS
from taichi_pynerf.settings import settings_of

NO_NUMBERS = ["8", None, True, False, [8], (1,), {}, math.nan, math.inf, -math.inf, 1j]
NO_WHOLE_NUMBERS = [*NO_NUMBERS, 1.5, 8.0]
NO_CHOICES = ["nonsense", "", None, 0, True, ["white"], math.nan]
NO_FLAGS = ["no", "false", "", None, 0, 1, 0.0, 1.0, math.nan, [True]]
HUGE = 10**400  # a whole number too large for a float

FROM_1 = [
    "num_levels", "base_resolution", "features_per_level", "hidden_dim", "num_samples",
    "march_resolution", "max_samples_per_ray", "occupancy_resolution", "occupancy_interval",
    "batch_size", "max_steps", "proposal_interval",
]  # fmt: skip
FROM_0 = [
    "num_importance", "geo_feature_dim", "samples_per_batch", "warmup_steps", "val_interval",
    "skip_bad_steps",
]  # fmt: skip
WEIGHTS = [
    "color_loss_weight", "pyramid_loss_weight", "distortion_loss_weight", "hash_decay",
    "gradient_clip", "max_seconds", "checkpoint_interval", "gradient_distance",
    "pose_learning_rate", "depth_loss_weight", "sparse_depth_weight", "opacity_loss_weight",
    "weight_decay", "structure_loss_weight",
]  # fmt: skip
CHOICES = [
    "output_interpolation", "level_interpolation", "sampler", "background", "color_correction",
    "depth_loss", "data_device", "initial_networks",
]  # fmt: skip
FLAGS = ["share_feature_grid", "single_level", "unbounded", "carve", "mixed_precision", "compile"]

BAD_VALUES = {
    **{name: [*NO_WHOLE_NUMBERS, 0, -1] for name in FROM_1},
    **{name: [*NO_WHOLE_NUMBERS, -1] for name in FROM_0},
    **{name: [*NO_NUMBERS, -1, -1e-9, HUGE] for name in WEIGHTS},
    **dict.fromkeys(CHOICES, NO_CHOICES),
    **dict.fromkeys(FLAGS, NO_FLAGS),
    "num_layers": [*NO_WHOLE_NUMBERS, 1, 0, -1],
    "hash_table_size": [*NO_WHOLE_NUMBERS, 0, 1, 4, 1000, -8, 2**27],
    "max_resolution": [*NO_WHOLE_NUMBERS, "Auto", "", 15, 0, -1],
    "sparse_depth_share": [*NO_NUMBERS, -0.1, 1, 2, HUGE],
    "scale_factor": [*NO_NUMBERS, 1, 1.0, 0, 0.5, -2, HUGE],
    "learning_rate": [*NO_NUMBERS, 0, -1e-3, HUGE],
    "cells_per_footprint": [*NO_NUMBERS, 0, -1e-3, HUGE],
    "final_learning_rate": [*NO_NUMBERS, 0, -0.1, 1.5, HUGE],
    "render_step": [*NO_NUMBERS, 0, -0.1, 1.5, HUGE],
    "early_stop_eps": [*NO_NUMBERS, -0.1, 1, 1.5, HUGE],
    "cull_hidden": [*NO_NUMBERS, -0.1, 1, 1.5, HUGE],
    "thin_below": [*NO_NUMBERS, -0.1, 1, 1.5, HUGE],
    "contrast_share": [*NO_NUMBERS, -0.1, 1, 1.5, HUGE],
    "average_weights": [*NO_NUMBERS, -0.1, 1.5, HUGE],
    "num_cascades": [*NO_WHOLE_NUMBERS, 0, -1, 17],
    "proposal_rounds": [*NO_WHOLE_NUMBERS, 0, -1, 9],
    "proposal_samples": [*NO_WHOLE_NUMBERS, 1, 0, -1, 1025],
    "proposal_resolution": [*NO_WHOLE_NUMBERS, 63, -1, 4097],
    "fine_samples": [*NO_WHOLE_NUMBERS, 1, 0, -1, 1025],
    "cone_angle": [*NO_NUMBERS, -0.1, 1, 1.5, HUGE],
    "occupancy_threshold": [*NO_NUMBERS, -0.1, 1, 1.5, HUGE],
    "seed": [*NO_WHOLE_NUMBERS, -1, 2**63, HUGE],
    "aabb": [
        None, 1.0, "123456", (), (0, 0, 0, 1, 1), (0, 0, 0, 1, 1, 1, 1), (0, 0, 0, 1, 1, 0),
        (1, 0, 0, 0, 1, 1), (0, 0, 0, 1, 1, math.nan), (0, 0, -math.inf, 1, 1, 1),
        ("-1", "-1", "-1", "1", "1", "1"), (False, False, False, True, True, True),
        (0, 0, 0, 1, 1, HUGE), ((0, 0, 0), (1, 1, 1)),
    ],
}  # fmt: skip

GOOD_VALUES = {
    "num_levels": 5, "base_resolution": 8, "max_resolution": 300, "scale_factor": 1.75,
    "hash_table_size": 2**12, "features_per_level": 2, "share_feature_grid": False,
    "output_interpolation": "color", "level_interpolation": "none", "single_level": True,
    "cells_per_footprint": 1.5, "pose_learning_rate": 1e-3,
    "hidden_dim": 32, "num_layers": 2, "geo_feature_dim": 0, "initial_networks": "auto",
    "aabb": (-1.0, -2.0, -3.0, 0.5, 0.25, 0.125), "sampler": "hierarchical", "num_samples": 7,
    "unbounded": True, "num_cascades": 2, "cone_angle": 0, "gradient_distance": 0.5,
    "proposal_interval": 2,
    "proposal_rounds": 3, "proposal_samples": 20, "proposal_resolution": 256, "fine_samples": 9,
    "num_importance": 0, "march_resolution": 99, "render_step": 0.7, "max_samples_per_ray": 77,
    "occupancy_resolution": 32, "occupancy_interval": 3, "occupancy_threshold": 0,
    "early_stop_eps": 0.5, "carve": False, "cull_hidden": 0.25, "thin_below": 0.125,
    "contrast_share": 0.5, "average_weights": 1.0,
    "batch_size": 11,
    "samples_per_batch": 1234, "max_steps": 6, "max_seconds": 2.5, "learning_rate": 1,
    "warmup_steps": 0, "final_learning_rate": 1,
    "color_loss_weight": 0, "pyramid_loss_weight": 0.25, "distortion_loss_weight": 0.125,
    "hash_decay": 0.5, "depth_loss_weight": 0.5, "depth_loss": "l1",
    "sparse_depth_weight": 0.5, "sparse_depth_share": 0.25,
    "opacity_loss_weight": 0.5, "weight_decay": 0.5, "structure_loss_weight": 0.125,
    "gradient_clip": 0.75, "skip_bad_steps": 4, "mixed_precision": True, "compile": True,
    "background": "random", "color_correction": "affine", "val_interval": 0,
    "checkpoint_interval": 60, "data_device": "cpu", "seed": 2**63 - 1,
}  # fmt: skip

FIELDS = {field.name for field in dataclasses.fields(PyNeRFConfig)}


def test_these_tests_know_every_setting():
    assert set(BAD_VALUES) == FIELDS
    assert set(GOOD_VALUES) == FIELDS
    default = PyNeRFConfig()
    assert all(value != getattr(default, name) for name, value in GOOD_VALUES.items())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}={str(value)[:20]!r}")
        for name, values in BAD_VALUES.items()
        for value in values
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_the_setting(name, value):
    with pytest.raises(ConfigError, match=rf"^{name} is .+: ") as caught:
        PyNeRFConfig(**{name: value})
    assert "\n" not in str(caught.value)


def test_the_contract_has_these_defaults():
    contract = {
        "num_levels": 8, "base_resolution": 16, "max_resolution": 2048, "scale_factor": 2.0,
        "hash_table_size": 2**20, "features_per_level": 4, "hidden_dim": 128, "num_layers": 3,
        "batch_size": 4096, "learning_rate": 1e-3, "max_steps": 20000, "num_samples": 64,
        "num_importance": 128, "color_loss_weight": 1.0, "pyramid_loss_weight": 0.1,
    }  # fmt: skip
    config = PyNeRFConfig()
    assert {name: getattr(config, name) for name in contract} == contract


def test_a_scale_factor_that_gives_no_new_resolution_is_refused():
    with pytest.raises(ConfigError, match=r"^scale_factor is 1\.01"):
        PyNeRFConfig(scale_factor=1.01, base_resolution=16)
    assert PyNeRFConfig(scale_factor=1.01, base_resolution=100).scale_factor == 1.01
    assert PyNeRFConfig(scale_factor=1.01, num_levels=1).num_levels == 1


def test_max_resolution_may_be_auto():
    assert PyNeRFConfig(max_resolution="auto").max_resolution == "auto"


def test_a_config_is_frozen_and_can_be_a_key():
    config = PyNeRFConfig(aabb=[-1, -1, -1, 1, 1, 1])
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.num_levels = 3
    assert config.aabb == (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
    assert {config: 1}[PyNeRFConfig(aabb=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0))] == 1


@pytest.mark.parametrize("config", [PyNeRFConfig(), PyNeRFConfig(**GOOD_VALUES)], ids=str)
def test_a_config_goes_through_json_and_back(config):
    values = json.loads(json.dumps(config.to_dict()))
    assert set(values) == FIELDS
    assert PyNeRFConfig.from_dict(values) == config


def test_unknown_settings_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"unknown settings: lerning_rate, num_level$"):
        PyNeRFConfig.from_dict({"num_level": 3, "lerning_rate": 1.0, "num_levels": 3})


def test_replace_changes_what_it_is_told_and_checks_it():
    config = PyNeRFConfig(**GOOD_VALUES)
    changed = config.replace(num_levels=2)
    assert changed == PyNeRFConfig(**{**GOOD_VALUES, "num_levels": 2})
    assert config.num_levels == 5
    with pytest.raises(ConfigError, match="num_levels"):
        config.replace(num_levels=0)
    with pytest.raises(ConfigError, match="unknown"):
        config.replace(levels=1)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_take_changes(name):
    preset = PyNeRFConfig.preset(name)
    assert PyNeRFConfig.preset(name, seed=5) == preset.replace(seed=5)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_settings_for_unbounded_scenes_and_ones_own_come_first(name):
    bounded = PyNeRFConfig.preset(name)
    unbounded = PyNeRFConfig.preset(name, unbounded=True)
    assert unbounded.unbounded
    assert not bounded.unbounded
    assert PyNeRFConfig.preset(name, unbounded=False) == bounded
    if name != "default":
        assert unbounded.background == bounded.background == "auto"
        assert PyNeRFConfig.preset(name, unbounded=True, background="black").background == "black"


def test_the_default_preset_is_the_defaults_and_the_cpu_preset_is_not():
    assert PyNeRFConfig.preset("default") == PyNeRFConfig()
    assert PyNeRFConfig.preset("cpu") != PyNeRFConfig()


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match=r"'gpu9'.*default"):
        PyNeRFConfig.preset("gpu9")
    with pytest.raises(ConfigError, match="num_levels"):
        PyNeRFConfig.preset("cpu", num_levels=0)


def test_every_setting_says_what_it_means_and_takes_its_default():
    for name, setting in settings_of(PyNeRFConfig).items():
        assert setting.meaning, name
        assert not setting.meaning.endswith("."), name
        assert setting.holds(getattr(PyNeRFConfig(), name)), name
        assert f"        {name}: {setting.meaning}; " in PyNeRFConfig.__doc__


def test_the_page_of_settings_is_that_of_the_code():
    path = Path(__file__).parents[1] / "docs" / "write_settings.py"
    spec = importlib.util.spec_from_file_location("write_settings", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page()
