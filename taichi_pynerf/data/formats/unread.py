"""Scene formats and files that are recognised but not read, and what to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_ARCHIVE = "an archive: unpack it, and give the folder that comes out"
_BY_COLMAP = "let COLMAP make a model of the photos, or run pynerf-photos"
_MOVING = "write transforms.json (moving scenes are not modelled)"
_SPLATS = "a finished model of Gaussian splats: give the photos and poses that it was made from"
_MODEL = "a finished model without photos: export the raw images with poses from the app"
_RUN = "a finished run, not a scene: give the scene that it was trained on"
_TRAJECTORY = "match its times with the images' and write transforms.json"
_VIDEO = "a video: pynerf-photos makes a scene of it (docs/your_own_photos.md)"

TELLING: dict[str, str] = {
    "scene_camera.json": "cameras of the BOP benchmark: write them as transforms.json, whose poses "
    "are the inverse of cam_R_w2c and cam_t_w2c, with the axes of OpenGL",
    "cams/*_cam.txt": "cameras of MVSNet: export COLMAP's model instead, or write transforms.json "
    "with the inverse of each extrinsic matrix, and the axes of OpenGL",
    "groundtruth.txt": f"a trajectory of the TUM RGB-D benchmark: {_TRAJECTORY}",
    "traj.txt": "a trajectory as for Replica, without intrinsics: write transforms.json",
    "mav0/cam0/data.csv": f"a recording of the EuRoC benchmark, without poses: {_BY_COLMAP}",
    "calib.txt": f"a recording of the KITTI benchmark: {_BY_COLMAP}",
    "*_par.txt": "cameras of the Middlebury benchmark: write transforms.json with the inverse of "
    "each R and t, and the axes of OpenGL",
    "*_COLMAP_SfM.log": f"cameras of Tanks and Temples, without intrinsics: {_BY_COLMAP}",
    "frame_annotations.jgz": f"annotations of CO3D: of one sequence, {_BY_COLMAP}",
    "camera/*.json": f"cameras of Nerfies: {_MOVING}",
    "*.vrs": "a recording of Project Aria: let nerfstudio's ns-process-data aria write "
    "transforms.json",
    "odometry.csv": "a recording of Stray Scanner: give its rgb.mp4 to pynerf-photos, or write "
    "transforms.json from odometry.csv",
    "*.r3d": "a capture of Record3D: export it in the app as EXR + JPG sequence",
    "data.jsonl": "a recording of Spectacular AI: let sai-cli process write transforms.json",
    "*.sfm": "cameras of Meshroom: let its node ConvertSfMFormat or ExportColmap write a model, or "
    "run pynerf-photos",
    "*.mg": "a project of Meshroom: let its node ExportColmap write a model, or run pynerf-photos",
    "sfm_data*.json": "a scene of OpenMVG: let openMVG_main_openMVG2Colmap write COLMAP's model",
    "*/sfm_data.bin": "a scene of OpenMVG: let openMVG_main_openMVG2Colmap write COLMAP's model",
    "*calibrated_camera_parameters.txt": f"cameras of Pix4D: {_BY_COLMAP}",
    "cfg_args": "a run of Gaussian splatting: give the run's source folder, with COLMAP's model or "
    "transforms.json",
    "odm_report": "the results of OpenDroneMap without its opensfm/reconstruction.json: keep the "
    "project folder, or run pynerf-photos on the photos",
    "cameras.json": "cameras of a Gaussian splatting run: give the run's source folder, with "
    "COLMAP's model or transforms.json",
    "dataparser_transforms.json": f"{_RUN} (nerfstudio's)",
    "checkpoints": f"{_RUN}; pynerf-render and pynerf-view take runs",
    "*.ingp": f"{_RUN} (instant-ngp's)",
    "*.msgpack": f"{_RUN} (instant-ngp's)",
    "bundle*.out": f"a model of Bundler: {_BY_COLMAP}",
    "bundle/bundle*.out": f"a model of Bundler: {_BY_COLMAP}",
    "*.nvm": f"a model of VisualSFM: {_BY_COLMAP}",
    "*.hdf5": "BlenderProc's images: let it write PNG, and the poses as transforms_train.json",
    "*.blend": "a Blender file: render it with the add-on BlenderNeRF",
    "*.psx": "a Metashape project: export its cameras as XML (File > Export > Export Cameras)",
    "*.rcproj": "a RealityCapture project: export its registration as CSV",
    "*.rsproj": "a RealityScan project: export its registration as CSV",
    "*.zep": f"a project of 3DF Zephyr: {_BY_COLMAP}",
    "*.abc": "cameras or models as Alembic: export them as COLMAP's model or transforms.json",
    "*.fbx": "cameras or models as FBX: export them as COLMAP's model or transforms.json",
}
"""What files and folders are, by patterns relative to a folder, the most telling first."""

INSIDE: dict[str, tuple[bytes, str]] = {
    "*.xmp": (
        b"capturingreality",
        "a camera of RealityCapture, one for each photo: export its registration as CSV "
        "(Internal/External camera parameters)",
    ),
    "*.xml": (
        b"<BlocksExchange",
        "cameras as BlocksExchange (ContextCapture, iTwin): let the program write "
        "Metashape's XML, RealityCapture's CSV or COLMAP's model instead, or run pynerf-photos",
    ),
}
"""What files are by patterns and what they hold near their beginning."""

OTHERS: dict[str, str] = {
    **dict.fromkeys(("*.zip", "*.tar*", "*.tgz", "*.7z", "*.rar"), _ARCHIVE),
    **dict.fromkeys(("*.splat", "*.ksplat", "*.spz", "*.sog", "*.luma"), _SPLATS),
    **dict.fromkeys(("*.usdz", "*.glb", "*.gltf", "*.obj", "*.stl", "*.las", "*.laz"), _MODEL),
    "*.ply": "points or a finished model without cameras: export the images with poses",
}
"""What may lie beside the files of any format."""

VIDEOS = dict.fromkeys(
    ("*.mp4", "*.mov", "*.m4v", "*.avi", "*.mkv", "*.webm", "*.insv", "*.360"), _VIDEO
)

HEAD, MOST = 4096, 20  # bytes of a file, and files of a pattern, that are looked into


def telling_file(data_dir: Path) -> str:
    """What a folder holds of a format that is not read, in words; empty if nothing."""
    for pattern, (mark, what) in INSIDE.items():
        for path in sorted(data_dir.glob(pattern))[:MOST]:
            if mark in _head(path):
                return f"{path.relative_to(data_dir)} is {what}"
    return _first(data_dir, TELLING)


def other_file(data_dir: Path) -> str:
    """What a folder holds of archives, finished models and videos, in words; empty if nothing."""
    return _first(data_dir, {**OTHERS, **VIDEOS})


def what_is(file: Path) -> str:
    """What a single file is, in words; empty if that is not known."""
    names = {**TELLING, **OTHERS, **VIDEOS}.items()
    lower = Path(file.name.lower())
    return next((what for pattern, what in names if lower.match(pattern.lower())), "")


def _first(folder: Path, kinds: Mapping[str, str]) -> str:
    for pattern, what in kinds.items():
        ends = (pattern, pattern.upper()) if pattern.startswith("*.") else (pattern,)
        found = sorted(path for end in ends for path in folder.glob(end))
        if found:
            return f"{found[0].relative_to(folder)} is {what}"
    return ""


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""
