"""JSON files and Blender scenes as people have them, for tests of folders."""

import json
import warnings

import numpy as np
from format_makers import CENTER, circle_poses, write_images
from PIL import Image


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def frame(file_path, pose, **more):
    matrix = [*np.asarray(pose).tolist(), [0.0, 0.0, 0.0, 1.0]]
    return {"file_path": file_path, "transform_matrix": matrix, **more}


def quietly(function, *args, **options):
    """A call that must not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*args, **options)


def blender_at(folder, poses_of, shift=(0.0, 0.0, 0.0), images=True):
    """A Blender scene with the poses of each split, all moved by `shift`."""
    for split, poses in poses_of.items():
        frames = []
        for i, pose in enumerate(poses):
            pose = np.array(pose)
            pose[:, 3] += shift
            frames.append(frame(f"./{split}/r_{i}", pose))
        write_json(folder / f"transforms_{split}.json", {"camera_angle_x": 0.7, "frames": frames})
        if images:
            write_images(folder / split, [f"r_{i}.png" for i in range(len(poses))], 16, 8)
    return folder


def object_poses(num_views, radius=4.0):
    poses = circle_poses(num_views, radius)
    poses[:, :, 3] -= CENTER
    return poses


def half_mask(mode="L", low=0, high=255):
    values = np.full((32, 18), low, dtype=np.uint8)
    values[:16] = high
    return Image.fromarray(values).convert(mode)
