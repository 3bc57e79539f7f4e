"""Presets: settings tuned for machines, where they differ from the method's defaults.

"cpu" is based on measurements (docs/performance.md), "gpu" only on instant-ngp's batch size.
"quality" is "cpu" for trainings of half an hour and longer (docs/results.md).
"""

from typing import Any

AUTO = "auto"

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "cpu": {
        "max_resolution": AUTO,
        "cells_per_footprint": 2.0,
        "background": AUTO,
        "color_correction": AUTO,
        "hash_table_size": 2**19,
        "hidden_dim": 64,
        "initial_networks": AUTO,
        "learning_rate": 2e-2,
        "final_learning_rate": 0.3,
        "average_weights": 0.4,
        "occupancy_resolution": 96,
        "march_resolution": 256,
        "render_step": 0.5,
        "cone_angle": 1 / 64,
        "occupancy_threshold": 0.025,
        "cull_hidden": 1e-3,
        "thin_below": 0.004,
        "early_stop_eps": 1e-3,
        "samples_per_batch": 12288,
        "contrast_share": 0.3,
        "pyramid_loss_weight": 0.0,
    },
    "gpu": {
        "max_resolution": AUTO,
        "background": AUTO,
        "color_correction": AUTO,
        "hash_table_size": 2**19,
        "hidden_dim": 64,
        "learning_rate": 1e-2,
        "occupancy_threshold": 0.01,
        "samples_per_batch": 2**18,
        "pyramid_loss_weight": 0.0,
    },
}

# What "quality" changes: finer tables and steps, and a lower rate. Long trainings too do best with
# a rate that stays great and the mean of the weights over a long while (docs/performance.md).
LONGER: dict[str, Any] = {
    "hash_table_size": 2**20,
    "learning_rate": 1e-2,
    "occupancy_resolution": 128,
    "march_resolution": 512,
    "occupancy_threshold": 0.0125,
    "thin_below": 0.002,
    "samples_per_batch": 16384,
}
PRESETS["quality"] = {**PRESETS["cpu"], **LONGER}

# Further changes for unbounded scenes: docs/unbounded.md.
UNBOUNDED_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "cpu": {
        "sampler": "proposal",
        "render_step": 0.67,
        "cells_per_footprint": 1.0,
        "hash_table_size": 2**20,
        "samples_per_batch": 16384,
        "learning_rate": 4e-2,
        "occupancy_resolution": 64,
        "occupancy_threshold": 0.1,
        "distortion_loss_weight": 0.02,
        "sparse_depth_weight": 0.2,
        "gradient_distance": 0.5,
    },
    "gpu": {
        "occupancy_threshold": 0.02,
        "distortion_loss_weight": 0.02,
        "gradient_distance": 0.5,
    },
}

# Photographs of hours have not been compared yet: they are trained as by "cpu".
UNBOUNDED_PRESETS["quality"] = {name: PRESETS["cpu"][name] for name in LONGER} | UNBOUNDED_PRESETS[
    "cpu"
]

# And for unbounded scenes whose images come at several scales.
SEVERAL_SCALES_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "cpu": {"cells_per_footprint": 1.4},
    "quality": {"cells_per_footprint": 1.4},
    "gpu": {},
}
