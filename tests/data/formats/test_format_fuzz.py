"""Damaged descriptions give a valid scene or one line that names the file."""

import copy
import io
import json
import warnings

import numpy as np
import pytest
import torch
from format_makers import (
    circle_poses,
    forward_poses,
    multiscale_metadata,
    nerfstudio_transforms,
    poses_bounds,
    write_llff_scene,
    write_nerfstudio_scene,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scene_makers import blender_transforms, random_rgba, write_blender_scene

from taichi_pynerf.data import load_split
from taichi_pynerf.errors import SceneError

NUM_EXAMPLES = 170  # for each format: more than 500 in all

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.just(10**400)
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "images/0000.png",
            "./train/r_0",
            "..",
            "/",
            "images",
            "train",
            "\0",
            "\ud800",
            "OPENCV_FISHEYE",
            "../../etc",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)

EXTRA_KEYS = (
    "camera_model", "is_fisheye", "aabb_scale", "applied_transform", "orientation_override",
    "train_filenames", "val_filenames", "scale", "offset", "k1", "k2", "k3", "k4",
    "p1", "p2", "w", "h", "mask_path", "camera_angle_x", "camera_angle_y",
)  # fmt: skip


@st.composite
def damaged(draw, good):
    """`good` with one to three places replaced by junk, removed or added."""
    content = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        place = content
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if isinstance(place, dict) and draw(st.integers(0, 5)) == 0:
                place[draw(st.sampled_from(EXTRA_KEYS))] = draw(junk)
                break
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and draw(st.integers(0, 4)):
                place = place[key]
                continue
            if draw(st.integers(0, 3)):
                place[key] = draw(junk)
            else:
                del place[key]
            break
    return json.dumps(content).encode()


def loads_or_fails_in_one_line(scene_dir, dataset_type, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scene = load_split(scene_dir, "train", dataset_type=dataset_type)
        except SceneError as error:
            message = str(error)
            assert str(scene_dir) in message or name in message
            assert "\n" not in message
            assert len(message) < 600
            message.encode()  # can be printed
            return
    cameras = scene.cameras
    assert len(scene) > 0
    for tensor in (cameras.c2w, cameras.fx, cameras.fy, cameras.cx, cameras.cy):
        assert torch.isfinite(tensor).all()
    assert 0.0 < scene.near < scene.far < np.inf
    assert all(low < high for low, high in zip(scene.aabb[:3], scene.aabb[3:], strict=True))


@pytest.fixture(scope="module")
def blender_dir(tmp_path_factory):
    return write_blender_scene(tmp_path_factory.mktemp("fuzz") / "scene", width=2, height=2)


@settings(max_examples=NUM_EXAMPLES, deadline=None)
@given(content=damaged(blender_transforms()) | st.binary(max_size=60))
def test_transforms_of_blender(blender_dir, content):
    (blender_dir / "transforms_train.json").write_bytes(content)
    loads_or_fails_in_one_line(blender_dir, "blender", "transforms_train.json")


NERFSTUDIO = nerfstudio_transforms(circle_poses(4), width=6, height=8)
MULTISCALE = {"train": multiscale_metadata(circle_poses(2), "train")}


@pytest.fixture(scope="module")
def nerfstudio_dir(tmp_path_factory):
    return write_nerfstudio_scene(tmp_path_factory.mktemp("fuzz") / "scene", NERFSTUDIO)


@settings(max_examples=NUM_EXAMPLES, deadline=None)
@given(content=damaged(NERFSTUDIO) | st.binary(max_size=60))
def test_transforms(nerfstudio_dir, content):
    (nerfstudio_dir / "transforms.json").write_bytes(content)
    loads_or_fails_in_one_line(nerfstudio_dir, "nerfstudio", "transforms.json")


@pytest.fixture(scope="module")
def multiscale_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "scene"
    columns = MULTISCALE["train"]
    for name, w, h in zip(columns["file_path"], columns["width"], columns["height"], strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_rgba(h, w)).save(folder / name)
    return folder


@settings(max_examples=NUM_EXAMPLES, deadline=None)
@given(content=damaged(MULTISCALE) | st.binary(max_size=60))
def test_metadata(multiscale_dir, content):
    (multiscale_dir / "metadata.json").write_bytes(content)
    loads_or_fails_in_one_line(multiscale_dir, "multiscale-blender", "metadata.json")


@st.composite
def damaged_bounds(draw):
    """The bytes of a `poses_bounds.npy` with changed numbers, shape, type or bytes."""
    rows = poses_bounds(forward_poses(9), 8, 6, 10.0)
    for _ in range(draw(st.integers(0, 3))):
        row, column = draw(st.integers(0, 8)), draw(st.integers(0, 16))
        rows[row, column] = draw(st.floats() | st.sampled_from([0.0, -1.0, 1e300, np.nan]))
    shape = draw(st.sampled_from([(9, 17), (9, 17), (17, 9), (153,), (9, 17, 1), (1, 9, 17)]))
    dtype = draw(st.sampled_from(["f8", "f8", "f4", "f2", "i4", "U8", "c16", "?"]))
    with np.errstate(all="ignore"):
        rows = rows.reshape(shape).astype(dtype)
    file = io.BytesIO()
    np.save(file, rows)
    data = bytearray(file.getvalue())
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.sampled_from([len(data), len(data), 0, 60, 200]))])


@pytest.fixture(scope="module")
def llff_dir(tmp_path_factory):
    return write_llff_scene(tmp_path_factory.mktemp("fuzz"), forward_poses(9), 8, 6, 10.0)


@settings(max_examples=NUM_EXAMPLES, deadline=None)
@given(content=damaged_bounds() | st.binary(max_size=60))
@pytest.mark.parametrize("dataset_type", ["llff", "mipnerf360"])
def test_poses_bounds(llff_dir, dataset_type, content):
    (llff_dir / "poses_bounds.npy").write_bytes(content)
    loads_or_fails_in_one_line(llff_dir, dataset_type, "poses_bounds.npy")
