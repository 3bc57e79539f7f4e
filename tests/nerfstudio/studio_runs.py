"""Small runs of `ns-train taichi-pynerf-synthetic`; importable where nerfstudio is installed."""

import copy

from tiny import tiny_config

from taichi_pynerf.nerfstudio.methods import synthetic_scenes, trainer_config

STEPS = 120
SETTINGS = {
    "max_resolution": "auto", "background": "auto", "samples_per_batch": 4096, "max_steps": STEPS,
    "carve": True, "march_resolution": 64, "contrast_share": 0.3, "average_weights": 0.4,
}  # fmt: skip


def studio_config(ball_folder, output_dir, name, **changes):
    """A run of `taichi-pynerf-synthetic` with tiny settings."""
    dataparser = copy.deepcopy(synthetic_scenes.config.pipeline.datamanager.dataparser)
    config = trainer_config(
        "taichi-pynerf-synthetic", dataparser, tiny_config(**{**SETTINGS, **changes})
    )
    config.pipeline.datamanager.data = ball_folder
    config.output_dir, config.experiment_name, config.timestamp = output_dir, "ball", name
    config.vis = "tensorboard"
    config.viewer.quit_on_train_completion = True
    return config
