"""From photos or a video to a scene folder in nerfstudio's layout."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taichi_pynerf.data.authoring.photo_folder import gather_photos
from taichi_pynerf.data.authoring.scene_folder import new_scene_folder
from taichi_pynerf.data.authoring.structure_from_motion import reconstruct
from taichi_pynerf.data.authoring.video_frames import extract_sharp_frames
from taichi_pynerf.errors import SceneError
from taichi_pynerf.extras import optional

if TYPE_CHECKING:
    from pycolmap import Camera, Image, Reconstruction

CONTENTS = ("transforms.json", "images", "sparse_pc.ply")
LEAST_PHOTOS = 3

DISTORTION_OF = {
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": ("k1",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
}
"""The distortion coefficients of COLMAP's camera models, in its order, by nerfstudio's names."""

APPLIED_TRANSFORM = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 0.0]])
"""From COLMAP's world, whose y runs down as the first camera's, to one whose z runs up."""


@dataclass(frozen=True)
class PhotoReport:
    """What became of the photos.

    Attributes:
        registered, left_out: names of the photos with and without a pose.
        num_points: points in space that were found in several photos.
        reprojection_error: their mean distance from where they were seen, in pixels.
        cameras: a line for each camera, its size and focal length.
    """

    registered: list[str]
    left_out: list[str]
    num_points: int
    reprojection_error: float
    cameras: list[str]

    def __str__(self) -> str:
        num_photos = len(self.registered) + len(self.left_out)
        lines = [
            f"{len(self.registered)} of {num_photos} photos registered, {self.num_points} points, "
            f"mean reprojection error {self.reprojection_error:.2f} pixels",
            *self.cameras,
        ]
        if self.left_out:
            lines.append(f"not registered: {', '.join(self.left_out)}")
        return "\n".join(lines)


def photos_to_scene(
    source: str | Path,
    out_dir: str | Path,
    *,
    num_frames: int = 150,
    matching: str | None = None,
    camera_model: str = "OPENCV",
    feature_size: int = 1600,
    min_registered: float = 0.5,
    overwrite: bool = False,
    progress: bool = True,
) -> PhotoReport:
    """Find the poses of photos or of a video's frames, and write a scene that trains.

    `out_dir` gets `images/`, `transforms.json` (OpenGL cameras; the lens's distortion stands in
    it, and no image is resampled) and the points, `sparse_pc.ply`. It appears whole or not at all.

    Args:
        source: a folder of photos, or a video.
        out_dir: new or empty, unless `overwrite`.
        num_frames: frames to take of a video.
        matching, camera_model, feature_size: see `reconstruct`; `matching` is by default
            exhaustive for photos and sequential for a video.
        min_registered: the least share of the photos that must get a pose.
        overwrite: replace an older result at `out_dir`.
        progress: show bars.

    Raises:
        MissingPackageError: pycolmap, or for a video PyAV, is not installed.
        SceneError: fewer than `LEAST_PHOTOS` photos or than the share `min_registered` of them
            can be placed, or files cannot be read or written.
    """
    source, out_dir = Path(source), Path(out_dir)
    optional("pycolmap", "colmap")  # before any work is done
    if not source.exists():
        raise SceneError(f"{source}: no such folder or video")
    if source.resolve().is_relative_to(out_dir.resolve()):
        raise SceneError(f"{out_dir} holds {source}: choose a folder of its own for the scene")
    is_video = source.is_file()
    with new_scene_folder(out_dir, overwrite=overwrite, contents=CONTENTS) as folder:
        images_dir = folder / "images"
        images_dir.mkdir()
        if is_video:
            groups = [extract_sharp_frames(source, images_dir, num_frames, progress=progress)]
        else:
            groups = gather_photos(source, images_dir, progress=progress)
        names = sorted(name for group in groups for name in group)
        if len(names) < LEAST_PHOTOS:
            raise SceneError(
                f"{source}: {len(names)} photos are too few, at least {LEAST_PHOTOS} are needed "
                "and 30 or more are good"
            )
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as work_dir:
            reconstruction = reconstruct(
                images_dir,
                groups,
                Path(work_dir),
                matching=matching or ("sequential" if is_video else "exhaustive"),
                camera_model=camera_model,
                feature_size=feature_size,
                progress=progress,
            )
        report = _report(reconstruction, names)
        least = max(LEAST_PHOTOS, math.ceil(min_registered * len(names)))
        if len(report.registered) < least:
            raise SceneError(
                f"{source}: only {len(report.registered)} of {len(names)} photos could be placed, "
                f"and {least} are asked for: take more, each overlapping the one before by two "
                "thirds, sharp and of a scene with texture, or lower min_registered"
            )
        transforms = transforms_from_reconstruction(reconstruction)
        (folder / "transforms.json").write_text(json.dumps(transforms, indent=4) + "\n")
        pycolmap = optional("pycolmap", "colmap")
        reconstruction.transform(pycolmap.Sim3d(APPLIED_TRANSFORM))
        reconstruction.export_PLY(folder / "sparse_pc.ply")
    return report


def transforms_from_reconstruction(reconstruction: Reconstruction) -> dict:
    """The content of nerfstudio's `transforms.json` for a `pycolmap.Reconstruction`.

    Intrinsics stand at the top where all photos share them, else in each frame.
    """
    images = sorted(_placed_images(reconstruction), key=lambda image: image.name)
    lenses = [_intrinsics(reconstruction.cameras[image.camera_id]) for image in images]
    shared = lenses[0] if all(lens == lenses[0] for lens in lenses) else {}
    frames = []
    for image, lens in zip(images, lenses, strict=True):
        frames.append(
            {
                "file_path": f"images/{image.name}",
                "transform_matrix": _opengl_pose(image).tolist(),
                "colmap_im_id": image.image_id,
                **({} if shared else lens),
            }
        )
    return {
        **shared,
        "frames": frames,
        "applied_transform": APPLIED_TRANSFORM.tolist(),
        "ply_file_path": "sparse_pc.ply",
    }


def _placed_images(reconstruction: Reconstruction) -> list[Image]:
    return [image for image in reconstruction.images.values() if image.has_pose]


def _opengl_pose(image: Image) -> np.ndarray:
    """[4, 4] camera-to-world, of COLMAP's camera (y down, z forward) in COLMAP's world."""
    pose = np.eye(4)
    pose[:3] = image.cam_from_world().inverse().matrix()
    pose[:3, 1:3] *= -1.0
    pose[:3] = APPLIED_TRANSFORM[:, :3] @ pose[:3]
    return pose


def _intrinsics(camera: Camera) -> dict:
    distortion = DISTORTION_OF[camera.model_name]
    values = camera.params[camera.extra_params_idxs()]
    return {
        "camera_model": "OPENCV_FISHEYE" if camera.model_name == "OPENCV_FISHEYE" else "OPENCV",
        "w": camera.width,
        "h": camera.height,
        "fl_x": float(camera.focal_length_x),
        "fl_y": float(camera.focal_length_y),
        "cx": float(camera.principal_point_x),
        "cy": float(camera.principal_point_y),
        "k1": 0.0,
        "k2": 0.0,
        "p1": 0.0,
        "p2": 0.0,
        **dict(zip(distortion, map(float, values), strict=True)),
    }


def _report(reconstruction: Reconstruction, names: list[str]) -> PhotoReport:
    images = _placed_images(reconstruction)
    registered = sorted(image.name for image in images)
    cameras = []
    for camera_id in sorted({image.camera_id for image in images}):
        lens = _intrinsics(reconstruction.cameras[camera_id])
        angle = 2.0 * math.degrees(math.atan(0.5 * lens["w"] / lens["fl_x"]))
        cameras.append(
            f"camera of {lens['w']}x{lens['h']} pixels: focal length {lens['fl_x']:.1f}, "
            f"{angle:.0f} degrees wide"
        )
    return PhotoReport(
        registered=registered,
        left_out=sorted(set(names) - set(registered)),
        num_points=reconstruction.num_points3D(),
        reprojection_error=reconstruction.compute_mean_reprojection_error(),
        cameras=cameras,
    )
