"""Depth and normals in numbers."""

import numpy as np
import pytest
import torch
from scene_makers import make_cameras

from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.geometry.rays import view_rays
from taichi_pynerf.rendering.depth_files import write_depth_numbers

TRANSFORM = SceneTransform(np.array([[0.0, -1, 0, 2], [1, 0, 0, -3], [0, 0, 1, 0.5]]), scale=0.25)


def plane():
    """A plane 4 scene units before the first camera, and its normal; nothing in one corner."""
    cameras = make_cameras()
    rays = view_rays(cameras, 0)
    axis = -cameras.c2w[0, :, 2]
    depth = (4.0 / (rays.rays_d @ axis)).view(8, 16)
    acc = torch.ones(8, 16)
    acc[0, 0] = 0.2
    normal = (-axis).expand(8, 16, 3)
    return cameras, {"depth": depth, "acc": acc, "normal": normal}


@pytest.mark.parametrize("suffix", [".npz", ".exr"])
def test_depth_is_in_the_units_of_the_files(tmp_path, suffix):
    if suffix == ".exr":
        oiio = pytest.importorskip("OpenImageIO", reason="OpenImageIO ([hdr]) is not installed")
    cameras, out = plane()
    path = tmp_path / f"depth{suffix}"
    write_depth_numbers(path, out, cameras, 0, TRANSFORM)
    if suffix == ".npz":
        with np.load(path) as arrays:
            z, depth, acc, normal = (arrays[name] for name in ("z", "depth", "acc", "normal"))
            pose = TRANSFORM.apply_to_poses(arrays["c2w"][None])[0]
        np.testing.assert_allclose(pose, cameras.c2w[0].numpy(), atol=1e-6)
    else:
        file = oiio.ImageInput.open(str(path))
        names = list(file.spec().channelnames)
        values = file.read_image("float")
        z, depth, acc = (values[..., names.index(name)] for name in ("Z", "distance", "A"))
        normal = np.stack([values[..., names.index(f"N.{c}")] for c in "XYZ"], -1)
    assert z[0, 0] == depth[0, 0] == 0
    assert acc[0, 0] == pytest.approx(0.2)
    np.testing.assert_allclose(z[1:], 16.0, rtol=1e-5)  # 4 scene units
    np.testing.assert_allclose(depth[1:], out["depth"][1:].numpy() / 0.25, rtol=1e-5)
    expected = cameras.c2w[0, :, 2].numpy() @ TRANSFORM.matrix[:, :3]
    np.testing.assert_allclose(normal[3, 3], expected, atol=1e-6)
    assert list(tmp_path.iterdir()) == [path]
