"""DTU and BlendedMVS as NeuS, IDR and others have them: `cameras_sphere.npz` beside `image`.

For image i, `world_mat_i` [4, 4] projects the world to pixels, and `scale_mat_i` maps the unit
sphere, which holds the object, to the world. Their product gives the camera, in the coordinates of
that sphere. Masks of the object are in `mask`, with the names of the images or in their order:
DTU's `image/000000.png` and `mask/000.png`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from taichi_pynerf.data.description import Description
from taichi_pynerf.data.formats.fit import Fit
from taichi_pynerf.data.formats.lenses import Lens
from taichi_pynerf.data.formats.poses import opengl_pose
from taichi_pynerf.data.formats.programs.views import View, description_of
from taichi_pynerf.data.image_files import list_images
from taichi_pynerf.data.images import read_header
from taichi_pynerf.data.masks import masks_in_order
from taichi_pynerf.data.placement import AS_IT_IS
from taichi_pynerf.data.scene_files import LoadOptions, read_npz, warn_once
from taichi_pynerf.errors import SceneError

FILE_NAMES = ("cameras_sphere.npz", "cameras.npz", "cameras_large.npz")
IMAGE_FOLDERS = ("image", "images", "rgb")


def probe(data_dir: Path) -> Fit:
    """How well the folder fits."""
    path = next((data_dir / name for name in FILE_NAMES if (data_dir / name).is_file()), None)
    if path is None:
        return Fit(False, "", f"no {FILE_NAMES[0]}")
    if not any((data_dir / folder).is_dir() for folder in IMAGE_FOLDERS):
        return Fit(False, path.name, f"no folder {IMAGE_FOLDERS[0]}")
    return Fit(True, f"{path.name}, matrices of projection")


def read(data_dir: Path, options: LoadOptions) -> Description:
    """Read and check the cameras. Images and cameras are matched by their order.

    Raises:
        SceneError: a matrix is missing or not valid, or no image is there.
    """
    path = next((data_dir / name for name in FILE_NAMES if (data_dir / name).is_file()), None)
    folder = next((data_dir / f for f in IMAGE_FOLDERS if (data_dir / f).is_dir()), None)
    if path is None or folder is None:
        raise SceneError(f"{data_dir}: no {FILE_NAMES[0]} beside a folder {IMAGE_FOLDERS[0]}")
    arrays = read_npz(path)
    images = list_images(folder)
    count = sum(name.startswith("world_mat_") and "inv" not in name for name in arrays)
    if count != len(images):
        warn_once(
            f"{path}: {count} cameras and {len(images)} images in {folder.name}: matched by their "
            "order, and the rest is left out"
        )
    views = []
    for i, image in enumerate(images[:count]):
        where = f"{path}: camera {i}"
        projection = _array(where, arrays, f"world_mat_{i}") @ _array(
            where, arrays, f"scale_mat_{i}"
        )
        pose, matrix = _camera(where, projection[:3])
        fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
        lens = Lens(*read_header(image).stored_size, fx=fx, fy=fy, cx=cx, cy=cy)
        views.append(View(where, str(image.relative_to(data_dir)), pose, lens))
    scene = description_of(data_dir, path, views, options, folders=(".",))
    masks = masks_in_order(data_dir, images)
    if masks is not None:
        of_image = dict(zip(images, masks, strict=True))
        found = [None if path is None else of_image.get(path) for path in scene.image_paths]
        scene = replace(scene, mask_paths=found)
    return replace(scene, placement=AS_IT_IS)


def _array(where: str, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    matrix = arrays.get(name)
    if matrix is None or matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise SceneError(f"{where}: {name} must be there, with 4x4 finite numbers")
    return matrix


def _camera(where: str, projection: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pose [3, 4] in OpenGL's axes and intrinsics [3, 3] of a projection [3, 4].

    The left 3x3 part is the product of intrinsics, which are upper triangular, and a rotation,
    times a factor (Hartley and Zisserman, Multiple View Geometry, section 6.2.4).
    """
    left = projection[:, :3]
    if abs(np.linalg.det(left)) < 1e-12:
        raise SceneError(f"{where}: its matrices give no camera")
    left = left * np.sign(np.linalg.det(left))
    # RQ by the QR of the matrix with its rows in reverse order.
    q, r = np.linalg.qr(np.flipud(left).T)
    matrix, rotation = np.flipud(r.T)[:, ::-1], np.flipud(q.T)
    signs = np.diag(np.sign(np.diag(matrix)))
    matrix, rotation = matrix @ signs, signs @ rotation
    position = -np.linalg.solve(projection[:, :3], projection[:, 3])
    return opengl_pose(rotation.T, position), matrix / matrix[2, 2]
