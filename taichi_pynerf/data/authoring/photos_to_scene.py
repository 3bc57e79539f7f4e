"""A scene folder in nerfstudio's layout from photos or videos."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taichi_pynerf.data.authoring.held_out import lists_of_splits
from taichi_pynerf.data.authoring.photo_sources import (
    check_sources,
    gather_masks,
    gather_sources,
)
from taichi_pynerf.data.authoring.scene_folder import new_scene_folder
from taichi_pynerf.data.authoring.structure_from_motion import reconstruct
from taichi_pynerf.data.formats.lenses import FISHEYE_MODELS, angle_of_view
from taichi_pynerf.errors import SceneError
from taichi_pynerf.extras import optional

if TYPE_CHECKING:
    from pycolmap import Camera, Image, Reconstruction

CONTENTS = ("transforms.json", "images", "masks", "sparse_pc.ply", "colmap")
LEAST_PHOTOS = 3

DISTORTION_OF = {
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": ("k1",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
}
"""Distortion coefficients of COLMAP's camera models, in COLMAP's order, by nerfstudio's names."""

APPLIED_TRANSFORM = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 0.0]])
"""From COLMAP's world, where y points down as in the first camera, to one where z points up."""


@dataclass(frozen=True)
class PhotoReport:
    """The result of placing photos.

    Attributes:
        registered, left_out: names of the photos with and without a pose.
        num_points: number of points in space that were found in several photos.
        reprojection_error: mean distance of projected points from their observations, pixels.
        cameras: a line for each camera, with size and focal length.
        held_out: names of the photos that are for testing.
    """

    registered: list[str]
    left_out: list[str]
    num_points: int
    reprojection_error: float
    cameras: list[str]
    held_out: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        num_photos = len(self.registered) + len(self.left_out)
        lines = [
            f"{len(self.registered)} of {num_photos} photos registered, {self.num_points} points, "
            f"mean reprojection error {self.reprojection_error:.2f} pixels",
            *self.cameras,
        ]
        if self.held_out:
            lines.append(f"held out for testing: {', '.join(self.held_out)}")
        if self.left_out:
            lines.append(f"not registered: {', '.join(self.left_out)}")
        return "\n".join(lines)


def photos_to_scene(
    source: str | Path | Sequence[str | Path],
    out_dir: str | Path,
    *,
    masks: str | Path | None = None,
    held_out: str | Path | None = None,
    num_frames: int = 150,
    matching: str | None = None,
    camera_model: str = "OPENCV",
    feature_size: int = 1600,
    min_registered: float = 0.5,
    overwrite: bool = False,
    progress: bool = True,
) -> PhotoReport:
    """Find the poses of photos or of a video's frames, and write a scene that trains.

    `out_dir` gets `images/`, `transforms.json`, the points, `sparse_pc.ply`, and COLMAP's model in
    `colmap/sparse/0`, which says what image sees what point. Cameras are in
    OpenGL axes and keep the distortion of their lens, so no image is resampled. The folder appears
    complete or not at all.

    Args:
        source: a folder of photos or a video, or several of them that show one scene.
        out_dir: a new or empty folder, unless `overwrite`.
        masks: a folder of masks. They have the names of the photos, with the same or another
            suffix, or as `NAME.jpg.png`. Black pixels are neither matched nor trained on.
        held_out: one of the sources, whose images are only for testing. By default it is one image
            in eight, each amid its neighbours by name.
        num_frames: number of frames to take of all videos together.
        matching, camera_model, feature_size: see `reconstruct`. By default `matching` is
            sequential for one video, and exhaustive otherwise.
        min_registered: least share of the photos that must get a pose.
        overwrite: replace an older result at `out_dir`.
        progress: show progress bars.

    Raises:
        MissingPackageError: pycolmap, or for a video PyAV, is not installed.
        SceneError: fewer photos than `LEAST_PHOTOS`, or than the share `min_registered`, can be
            placed, or files cannot be read or written.
    """
    out_dir = Path(out_dir)
    sources = [Path(p) for p in ([source] if isinstance(source, (str, Path)) else source)]
    optional("pycolmap", "colmap")  # fail before any work is done
    check_sources(sources, out_dir, held_out)
    num_videos = sum(path.is_file() for path in sources)
    with new_scene_folder(out_dir, overwrite=overwrite, contents=CONTENTS) as folder:
        images_dir = folder / "images"
        images_dir.mkdir()
        gathered = gather_sources(
            sources, images_dir, num_frames // max(num_videos, 1) or 1, progress=progress
        )
        names = sorted(gathered.originals)
        if len(names) < LEAST_PHOTOS:
            raise SceneError(
                f"{sources[0]}: {len(names)} photos are too few, at least {LEAST_PHOTOS} are "
                "needed and 30 or more are good"
            )
        masked = []
        if masks is not None:
            masked = gather_masks(Path(masks), images_dir, gathered.originals, folder / "masks")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as work_dir:
            reconstruction = reconstruct(
                images_dir,
                gathered.groups,
                Path(work_dir),
                matching=matching
                or ("sequential" if num_videos == len(sources) == 1 else "exhaustive"),
                masks_dir=folder / "masks" if masked else None,
                camera_model=camera_model,
                feature_size=feature_size,
                progress=progress,
            )
        report = _report(reconstruction, names)
        least = max(LEAST_PHOTOS, math.ceil(min_registered * len(names)))
        if len(report.registered) < least:
            raise SceneError(
                f"{sources[0]}: only {len(report.registered)} of {len(names)} photos could be "
                f"placed, and {least} are asked for: take more, each overlapping the one before "
                "by two thirds, sharp and of a scene with texture, or lower min_registered"
            )
        transforms = transforms_from_reconstruction(reconstruction)
        for frame in transforms["frames"]:
            if Path(frame["file_path"]).name in masked:
                frame["mask_path"] = f"masks/{Path(frame['file_path']).name}.png"
        transforms |= lists_of_splits(
            [frame["file_path"] for frame in transforms["frames"]],
            None if held_out is None else gathered.names_of[Path(held_out)],
            held_out or sources[0],
        )
        report = replace(
            report, held_out=[Path(path).name for path in transforms["test_filenames"]]
        )
        (folder / "transforms.json").write_text(json.dumps(transforms, indent=4) + "\n")
        pycolmap = optional("pycolmap", "colmap")
        model_dir = folder / "colmap" / "sparse" / "0"
        model_dir.mkdir(parents=True)
        reconstruction.write(model_dir)
        reconstruction.transform(pycolmap.Sim3d(APPLIED_TRANSFORM))
        reconstruction.export_PLY(folder / "sparse_pc.ply")
    return report


def transforms_from_reconstruction(reconstruction: Reconstruction) -> dict:
    """The content of nerfstudio's `transforms.json` for a `pycolmap.Reconstruction`.

    Intrinsics are at the top if all photos share them, else in each frame.
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
    """Camera-to-world pose [4, 4] in OpenGL axes, from COLMAP's camera (y down, z forward)."""
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
        bent = lens["camera_model"] in FISHEYE_MODELS
        angle = angle_of_view(lens["w"], lens["fl_x"], in_angles=bent)
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
