"""Scene formats and files that are recognised but not read, and what to do with them."""

from __future__ import annotations

from pathlib import Path

UNREAD: dict[str, str] = {
    "*.zip": "an archive: unpack it, and give the folder that comes out",
    "*.tar*": "an archive: unpack it, and give the folder that comes out",
    "*.7z": "an archive: unpack it, and give the folder that comes out",
    "scene_camera.json": "cameras of the BOP benchmark: write them as transforms.json, whose poses "
    "are the inverse of cam_R_w2c and cam_t_w2c, with the axes of OpenGL",
    "cams/*_cam.txt": "cameras of MVSNet: export COLMAP's model instead, or write transforms.json "
    "with the inverse of each extrinsic matrix, and the axes of OpenGL",
    "groundtruth.txt": "a trajectory of the TUM RGB-D benchmark: match its times with the images' "
    "and write transforms.json",
    "traj.txt": "a trajectory as for Replica, without intrinsics: write transforms.json",
    "camera/*.json": "cameras of Nerfies: write transforms.json (moving scenes are not modelled)",
    "*.sfm": "cameras of Meshroom: let its node ConvertSfMFormat or ExportColmap write a model, or "
    "run pynerf-photos",
    "sfm_data*.json": "a scene of OpenMVG: let openMVG_main_openMVG2Colmap write COLMAP's model",
    "*calibrated_camera_parameters.txt": "cameras of Pix4D: let COLMAP make a model of the photos, "
    "or run pynerf-photos",
    "cameras.json": "cameras of a Gaussian splatting run: give the run's source folder, with "
    "COLMAP's model or transforms.json",
    "bundle*.out": "a model of Bundler: let COLMAP make a model of the photos, or run "
    "pynerf-photos",
    "*.nvm": "a model of VisualSFM: let COLMAP make a model of the photos, or run pynerf-photos",
    "*.hdf5": "BlenderProc's images: let it write PNG, and the poses as transforms_train.json",
    "*.blend": "a Blender file: render it with the add-on BlenderNeRF",
    "*.psx": "a Metashape project: export its cameras as XML (File > Export > Export Cameras)",
    "*.rcproj": "a RealityCapture project: export its registration as CSV",
    "*.usdz": "a finished model without photos: export the raw images with poses from the app",
    "*.glb": "a finished model without photos: export the raw images with poses from the app",
    "*.obj": "a finished model without photos: export the raw images with poses from the app",
    "*.ply": "points or a finished model without cameras: export the images with poses",
}
"""What files are, by patterns relative to a folder, the most telling first."""


def unread_in(data_dir: Path) -> str:
    """What a folder holds of these, in words; empty if nothing."""
    for pattern, what in UNREAD.items():
        found = sorted(data_dir.glob(pattern))
        if found:
            return f"{found[0].relative_to(data_dir)} is {what}"
    return ""
