"""Exports of photogrammetry programs and phone apps, written from known cameras."""

import json
import math
from pathlib import Path

import numpy as np
from format_makers import write_images

WIDTH, HEIGHT, FX, FY, CX, CY = 36, 24, 31.0, 31.0, 18.7, 11.6
LENS = {"k1": 0.05, "k2": -0.03, "k3": 0.01, "p1": 0.002, "p2": -0.001}
COLUMNS = (
    "#name", "x", "y", "alt", "heading", "pitch", "roll", "f", "px", "py", "k1", "k2", "k3", "k4",
    "t1", "t2",
)  # fmt: skip
CV = np.diag([1.0, -1.0, -1.0])


def names(poses, suffix=".png"):
    return [f"view_{i:02d}{suffix}" for i in range(len(poses))]


def quaternion(rotation):
    """w, x, y, z of a rotation: the eigenvector of K (Bar-Itzhack 2000) for the eigenvalue 1."""
    r = rotation
    k = np.array([
        [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
        [r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
        [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1], 0],
        [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
    ])  # fmt: skip
    x, y, z, w = np.linalg.eigh(k / 3)[1][:, 3]
    return np.array([w, x, y, z])


def vector(rotation):
    """Axis times angle."""
    w, *xyz = quaternion(rotation)
    length = np.linalg.norm(xyz)
    return np.array(xyz) / length * 2 * math.atan2(length, w)


def world_to_camera(pose):
    """Rotation and translation of the world to a camera that looks along +z with y down."""
    rotation = (pose[:, :3] @ CV).T
    return rotation, -rotation @ pose[:, 3]


def write_opensfm(folder: Path, poses: np.ndarray, model: str = "brown", **changes) -> Path:
    side = max(WIDTH, HEIGHT)
    camera = {
        "projection_type": model, "width": WIDTH, "height": HEIGHT, "focal_x": FX / side,
        "focal_y": FY / side, "c_x": (CX - WIDTH / 2) / side, "c_y": (CY - HEIGHT / 2) / side,
        **LENS,
    }  # fmt: skip
    shots = {}
    for name, pose in zip(names(poses), poses, strict=True):
        rotation, translation = world_to_camera(pose)
        shots[name] = {
            "rotation": vector(rotation).tolist(), "translation": translation.tolist(),
            "camera": "v2 phone",
        }  # fmt: skip
    points = {str(i): {"coordinates": [5.0 + i, -2.0, 1.0], "color": [0, 0, 0]} for i in range(5)}
    content = [{"cameras": {"v2 phone": camera}, "shots": shots, "points": points, **changes}]
    write_images(folder / "images", names(poses), WIDTH, HEIGHT)
    (folder / "reconstruction.json").write_text(json.dumps(content))
    return folder


def write_metashape(folder: Path, poses: np.ndarray, kind: str = "frame", world=True) -> Path:
    """With a chunk that is turned, moved and scaled in the world."""
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]) if world else np.eye(3)
    move, scale = (np.array([3.0, -4.0, 5.0]), 2.5) if world else (np.zeros(3), 1.0)
    cameras = []
    for i, (name, pose) in enumerate(zip(names(poses, ""), poses, strict=True)):
        matrix = np.eye(4)
        matrix[:3, :3] = turn.T @ pose[:, :3] @ CV
        matrix[:3, 3] = turn.T @ (pose[:, 3] - move) / scale
        text = " ".join(map(repr, matrix.ravel().tolist()))
        cameras.append(
            f'<camera id="{i}" sensor_id="0" component_id="0" label="{name}">'
            f"<transform>{text}</transform></camera>"
        )
    calibration = (
        f'<calibration class="adjusted"><f>{FY}</f><b1>{FX - FY}</b1><cx>{CX - WIDTH / 2}</cx>'
        f"<cy>{CY - HEIGHT / 2}</cy><k1>{LENS['k1']}</k1><k2>{LENS['k2']}</k2>"
        f"<k3>{LENS['k3']}</k3><p1>{LENS['p2']}</p1><p2>{LENS['p1']}</p2></calibration>"
    )
    rotation = " ".join(map(str, turn.ravel()))
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<document version="2.0.0"><chunk label="Chunk 1">'
        f'<sensors><sensor id="0" type="{kind}"><resolution width="{WIDTH}" height="{HEIGHT}"/>'
        f"{calibration if kind != 'spherical' else ''}</sensor></sensors><components>"
        f'<component id="0"><transform><rotation>{rotation}</rotation><translation>'
        f"{' '.join(map(str, move))}</translation><scale>{scale}</scale></transform></component>"
        f"</components><cameras><group>{''.join(cameras)}</group>"
        '<camera id="90" sensor_id="0" label="not_aligned"/></cameras></chunk></document>'
    )
    write_images(folder / "images", names(poses), WIDTH, HEIGHT)
    (folder / "cameras.xml").write_text(xml)
    return folder


def write_realitycapture(folder: Path, poses: np.ndarray, separator: str = ",") -> Path:
    side = max(WIDTH, HEIGHT)
    lines = ["#cameras 3", separator.join(COLUMNS)]
    for name, pose in zip(names(poses), poses, strict=True):
        r = pose[:, :3]  # Rz(-heading) Rx(pitch) Ry(roll)
        pitch = math.asin(r[2, 1])
        heading = -math.atan2(-r[0, 1], r[1, 1])
        roll = math.atan2(-r[2, 0], r[2, 2])
        values = [
            *pose[:, 3], *np.degrees([heading, pitch, roll]), FX * 36 / side,
            (CX - WIDTH / 2) / side, (CY - HEIGHT / 2) / side, LENS["k1"], LENS["k2"], LENS["k3"],
            0.0, LENS["p1"], LENS["p2"],
        ]  # fmt: skip
        lines.append(separator.join([name, *(repr(float(value)) for value in values)]))
    write_images(folder, names(poses), WIDTH, HEIGHT)
    (folder / "cameras.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    return folder


def write_polycam(folder: Path, poses: np.ndarray, kind: str = "") -> Path:
    base = folder / "keyframes"
    write_images(base / f"{kind}images", names(poses, ".jpg"), WIDTH, HEIGHT)
    (base / f"{kind}cameras").mkdir()
    for name, pose in zip(names(poses, ""), poses, strict=True):
        content = {f"t_{i}{j}": pose[i, j] for i in range(3) for j in range(4)}
        content |= {"fx": FX, "fy": FY, "cx": CX, "cy": CY, "width": WIDTH, "height": HEIGHT}
        (base / f"{kind}cameras" / f"{name}.json").write_text(json.dumps(content))
    return folder


def write_record3d(folder: Path, poses: np.ndarray, each: bool = False) -> Path:
    write_images(folder / "rgb", [f"{i}.jpg" for i in range(len(poses))], WIDTH, HEIGHT)
    matrix = np.array([[FX, 0, CX], [0, FY, CY], [0, 0, 1]])
    rows = []
    for pose in poses:
        w, x, y, z = quaternion(pose[:, :3])
        rows.append([x, y, z, w, *pose[:, 3]])
    content = {"w": WIDTH, "h": HEIGHT, "fps": 60, "K": matrix.T.ravel().tolist(), "poses": rows}
    if each:
        content["perFrameIntrinsicCoeffs"] = [[FX, FY, CX, CY]] * len(poses)
        content["K"] = (2 * matrix).T.ravel().tolist()
    (folder / "metadata.json").write_text(json.dumps(content))
    return folder


def write_kapture(folder: Path, poses: np.ndarray) -> Path:
    base = folder / "sensors"
    write_images(base / "records_data", names(poses), WIDTH, HEIGHT)
    lens = [FX, FY, CX, CY, LENS["k1"], LENS["k2"], LENS["p1"], LENS["p2"], LENS["k3"], 0, 0, 0]
    parameters = ", ".join(map(str, lens))
    (base / "sensors.txt").write_text(
        "# kapture format: 1.1\n# sensor_id, name, sensor_type, [sensor_params]+\n"
        f"cam0, phone, camera, FULL_OPENCV, {WIDTH}, {HEIGHT}, {parameters}\nimu, , gyroscope\n"
    )
    trajectory, records = ["# timestamp, device_id, qw, …"], []
    for i, (name, pose) in enumerate(zip(names(poses), poses, strict=True)):
        rotation, translation = world_to_camera(pose)
        values = [*quaternion(rotation), *translation]
        trajectory.append(", ".join([str(i), "cam0", *map(repr, map(float, values))]))
        records.append(f"{i}, cam0, {name}")
    (base / "trajectories.txt").write_text("\n".join([*trajectory, "99, cam0, , , , , , ,"]))
    (base / "records_camera.txt").write_text("\n".join([*records, "99, cam0, lonely.png"]))
    return folder


def write_scanner_app(folder: Path, poses: np.ndarray) -> Path:
    """With a frame that has a pose and no photo."""
    stems = [f"frame_{i:05d}" for i in range(len(poses))]
    write_images(folder, [f"{stem}.jpg" for stem in stems], WIDTH, HEIGHT)
    for stem, pose in zip([*stems, "frame_99999"], [*poses, poses[0]], strict=True):
        matrix = np.vstack([pose, [0.0, 0.0, 0.0, 1.0]])
        content = {
            "cameraPoseARFrame": matrix.ravel().tolist(), "time": 1.5,
            "intrinsics": [FX, 0, CX, 0, FY, CY, 0, 0, 1],
        }  # fmt: skip
        (folder / f"{stem}.json").write_text(json.dumps(content))
    (folder / "info.json").write_text('{"title": "my scan"}')
    return folder


def write_arkitscenes(folder: Path, poses: np.ndarray) -> Path:
    """With times that differ by milliseconds, and a pose between two images."""
    base = folder / f"{folder.name}_frames"
    stems = [f"7_{10 + 0.1 * i:.3f}" for i in range(len(poses))]
    write_images(base / "lowres_wide", [f"{stem}.png" for stem in stems], WIDTH, HEIGHT)
    (base / "lowres_wide_intrinsics").mkdir()
    lines = ["9.5 0 0 0 0 0 0"]
    for i, (stem, pose) in enumerate(zip(stems, poses, strict=True)):
        lens = base / "lowres_wide_intrinsics" / f"7_{10.001 + 0.1 * i:.3f}.pincam"
        lens.write_text(f"{WIDTH} {HEIGHT} {FX} {FY} {CX} {CY}")
        rotation, translation = world_to_camera(pose)
        values = [float(stem[2:]) + 0.004, *vector(rotation), *translation]
        lines.append(" ".join(repr(float(value)) for value in values))
    (base / "lowres_wide.traj").write_text("\n".join(lines))
    return folder


def write_nsvf(folder: Path, poses: np.ndarray, box: str = "3 -4 -1 7 0 3 0.4\n") -> Path:
    """With names that begin with the number of a split: 0, 0, 1, 2 and again."""
    stems = [f"{(0, 0, 1, 2)[i % 4]}_{i:03d}" for i in range(len(poses))]
    write_images(folder / "rgb", [f"{stem}.png" for stem in stems], WIDTH, HEIGHT)
    (folder / "pose").mkdir()
    for stem, pose in zip(stems, poses, strict=True):
        rows = np.vstack([np.column_stack([pose[:, :3] @ CV, pose[:, 3]]), [0.0, 0.0, 0.0, 1.0]])
        np.savetxt(folder / f"pose/{stem}.txt", rows)
    (folder / "intrinsics.txt").write_text(f"{FX} {CX} {CY} 0.\n0. 0. 0.\n1.\n")
    if box:
        (folder / "bbox.txt").write_text(box)
    return folder


def write_neus(folder: Path, poses: np.ndarray) -> Path:
    """Cameras in the unit sphere, of which the world is a scaled and shifted copy."""
    write_images(folder / "image", [f"{i:03d}.png" for i in range(len(poses))], WIDTH, HEIGHT)
    to_pixels = np.array([[FX, 0, CX, 0], [0, FY, CY, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    scale = np.diag([2.0, 2.0, 2.0, 1.0])
    scale[:3, 3] = (10.0, -20.0, 30.0)
    arrays = {}
    for i, pose in enumerate(poses):
        rotation, translation = world_to_camera(pose)
        camera = np.vstack([np.column_stack([rotation, translation]), [0.0, 0.0, 0.0, 1.0]])
        arrays[f"world_mat_{i}"] = 3.0 * to_pixels @ camera @ np.linalg.inv(scale)
        arrays[f"scale_mat_{i}"] = scale
    np.savez(folder / "cameras_sphere.npz", **arrays)
    return folder


WRITERS = {
    "opensfm": write_opensfm,
    "metashape": write_metashape,
    "realitycapture": write_realitycapture,
    "polycam": write_polycam,
    "record3d": write_record3d,
    "kapture": write_kapture,
    "scanner-app": write_scanner_app,
    "arkitscenes": write_arkitscenes,
}
"""{dataset type: writer of a good export}."""


def write_sdfstudio(folder: Path, poses: np.ndarray) -> Path:
    """With a box, and names of estimated depths that are not there."""
    files = [f"{i:06d}_rgb.png" for i in range(len(poses))]
    write_images(folder, files, WIDTH, HEIGHT)
    matrix = [[FX, 0, CX, 0], [0, FY, CY, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    frames = []
    for name, pose in zip(files, poses, strict=True):
        rows = np.vstack([np.column_stack([pose[:, :3] @ CV, pose[:, 3]]), [0.0, 0.0, 0.0, 1.0]])
        frames.append(
            {
                "rgb_path": name, "intrinsics": matrix, "mono_depth_path": "none.npy",
                "camtoworld": rows.tolist(),
            }
        )  # fmt: skip
    box = {"aabb": [[-1, -1, -0.5], [1, 1, 0.75]], "near": 0.05, "collider_type": "box"}
    content = {"camera_model": "OPENCV", "height": HEIGHT, "width": WIDTH, "scene_box": box}
    (folder / "meta_data.json").write_text(json.dumps({**content, "frames": frames}))
    return folder


BENCHMARKS = {"pose-files": write_nsvf, "neus": write_neus, "sdfstudio": write_sdfstudio}
"""{dataset type: writer of a good scene}, with splits or coordinates of their own."""

WITHOUT_DISTORTION = ("polycam", "record3d", "scanner-app", "arkitscenes")
