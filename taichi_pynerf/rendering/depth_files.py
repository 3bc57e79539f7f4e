"""Depth as numbers: OpenEXR and NPZ files, in the units of the scene's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from taichi_pynerf.data.linear_images import write_exr
from taichi_pynerf.data.placement import SceneTransform
from taichi_pynerf.files import atomic_write
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.rays import view_rays

DEPTH_FORMATS = ("png", "exr", "npz")


def write_depth_numbers(
    path: Path,
    out: dict[str, torch.Tensor],
    cameras: Cameras,
    view: int,
    transform: SceneTransform,
) -> None:
    """Write an image's depth, opacity and, if there are any, normals.

    Distances are in units of the scene's files (metres, if the files' cameras are in metres), and 0
    where opacity is below 0.5. Normals are in the files' axes.

    - `.npz`: "depth" [H, W] float32, the distance along the ray; "z" [H, W], the distance along the
      optical axis (for a panorama equal to "depth"); "acc" [H, W]; "normal" [H, W, 3]; "c2w"
      [3, 4] float64, the camera's pose.
    - `.exr`: channels Z (along the optical axis), distance (along the ray), A, and N.X, N.Y, N.Z.

    Args:
        path: the file.
        out: the result of `render_image`.
        cameras, view: its camera.
        transform: transform from the files' coordinates to the scene's.

    Raises:
        MissingPackageError: a package for OpenEXR is not installed.
        OSError: the file cannot be written.
    """
    acc = out["acc"].numpy().astype(np.float32)
    seen = torch.where(out["acc"] >= 0.5, out["depth"], 0.0).double()
    depth = (seen / transform.scale).numpy()
    z = (depth * _facing(cameras, view)).astype(np.float32)
    depth = depth.astype(np.float32)
    normal = None
    if "normal" in out:
        normal = transform.undo_directions(out["normal"].numpy()).astype(np.float32)
    if path.suffix == ".npz":
        pose = transform.undo_poses(cameras.c2w[[view]].double().numpy())[0]
        arrays = {"depth": depth, "z": z, "acc": acc, "c2w": pose}
        arrays |= {} if normal is None else {"normal": normal}
        with atomic_write(path) as file:
            np.savez_compressed(file, **arrays)
        return
    channels = {"Z": z, "distance": depth, "A": acc}
    if normal is not None:
        channels |= {f"N.{axis}": normal[..., i] for i, axis in enumerate("XYZ")}
    unit = "units of the scene's files; 0: nothing seen"
    write_exr(path, channels, {"depthUnit": unit})


def _facing(cameras: Cameras, view: int) -> np.ndarray:
    """Cosines float64 [H, W] between rays and the optical axis; 1 for a panorama, without one."""
    if cameras.is_panorama(view):
        return np.ones((int(cameras.height[view]), int(cameras.width[view])))
    rays_d = view_rays(cameras, view).rays_d.double()
    backward = cameras.c2w[view, :, 2].double()
    size = int(cameras.height[view]), int(cameras.width[view])
    return -(rays_d @ (backward / backward.norm())).view(size).numpy()
