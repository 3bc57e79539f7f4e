"""COLMAP's sparse models as text, with known cameras."""

import numpy as np
from format_makers import CENTER

WIDTH, HEIGHT = 24, 16
CAMERAS = {
    "SIMPLE_PINHOLE": (20.0, 12.5, 7.5),
    "PINHOLE": (20.0, 21.0, 12.5, 7.5),
    "SIMPLE_RADIAL": (20.0, 12.5, 7.5, 0.1),
    "RADIAL": (20.0, 12.5, 7.5, -0.1, 0.03),
    "OPENCV": (20.0, 21.0, 12.5, 7.5, -0.1, 0.03, 0.01, -0.005),
    "SIMPLE_RADIAL_FISHEYE": (20.0, 12.5, 7.5, 0.02),
    "RADIAL_FISHEYE": (20.0, 12.5, 7.5, 0.02, -0.01),
    "OPENCV_FISHEYE": (20.0, 21.0, 12.5, 7.5, 0.02, -0.01, 0.003, -0.001),
}
# fx, fy, cx, cy and k1, k2, k3, k4, p1, p2, by hand.
LENSES = {
    "SIMPLE_PINHOLE": ((20.0, 20.0, 12.5, 7.5), (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "PINHOLE": ((20.0, 21.0, 12.5, 7.5), (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "SIMPLE_RADIAL": ((20.0, 20.0, 12.5, 7.5), (0.1, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "RADIAL": ((20.0, 20.0, 12.5, 7.5), (-0.1, 0.03, 0.0, 0.0, 0.0, 0.0)),
    "OPENCV": ((20.0, 21.0, 12.5, 7.5), (-0.1, 0.03, 0.0, 0.0, 0.01, -0.005)),
    "SIMPLE_RADIAL_FISHEYE": ((20.0, 20.0, 12.5, 7.5), (0.02, 0.0, 0.0, 0.0, 0.0, 0.0)),
    "RADIAL_FISHEYE": ((20.0, 20.0, 12.5, 7.5), (0.02, -0.01, 0.0, 0.0, 0.0, 0.0)),
    "OPENCV_FISHEYE": ((20.0, 21.0, 12.5, 7.5), (0.02, -0.01, 0.003, -0.001, 0.0, 0.0)),
}
POINTS = CENTER + np.random.default_rng(1).normal(size=(50, 3)) * 0.3


def quaternion(rotation):
    """(w, x, y, z) of a rotation, as COLMAP writes it."""
    values, vectors = np.linalg.eigh(
        np.array(
            [
                [np.trace(rotation), 0.0, 0.0, 0.0],
                [rotation[2, 1] - rotation[1, 2], 2 * rotation[0, 0] - np.trace(rotation), 0, 0],
                [rotation[0, 2] - rotation[2, 0], rotation[1, 0] + rotation[0, 1],
                 2 * rotation[1, 1] - np.trace(rotation), 0],
                [rotation[1, 0] - rotation[0, 1], rotation[2, 0] + rotation[0, 2],
                 rotation[2, 1] + rotation[1, 2], 2 * rotation[2, 2] - np.trace(rotation)],
            ]
        )
    )  # fmt: skip
    return vectors[:, np.argmax(values)]


def places_of(pose, model):
    """Where a view of a pinhole camera sees each point, and the points' depths."""
    (fx, fy, cx, cy), lens = LENSES[model]
    assert not any(lens)
    right, up, backward = ((POINTS - pose[:, 3]) @ pose[:, :3]).T
    return np.stack([cx - fx * right / backward, cy + fy * up / backward], 1), -backward


def write_model(folder, poses, model="OPENCV", names="view_{:02d}.png", true_places=False):
    """The three text files of a sparse model, in which every view sees every point.

    It does so at one place, or with `true_places` where it really would.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = " ".join(map(str, CAMERAS[model]))
    (folder / "cameras.txt").write_text(f"1 {model} {WIDTH} {HEIGHT} {parameters}\n")
    lines = []
    for i, pose in enumerate(poses):
        rotation = (pose[:, :3] @ np.diag([1.0, -1.0, -1.0])).T
        translation = -rotation @ pose[:, 3]
        numbers = " ".join(f"{x:.17g}" for x in (*quaternion(rotation), *translation))
        lines.append(f"{i + 1} {numbers} 1 {names.format(i)}\n")
        places = places_of(pose, model)[0] if true_places else np.ones((len(POINTS), 2))
        marks = (f"{x:.17g} {y:.17g} {j + 1}" for j, (x, y) in enumerate(places))
        lines.append(" ".join(marks) + "\n")
    (folder / "images.txt").write_text("".join(lines))
    lines = []
    for j, point in enumerate(POINTS):
        track = " ".join(f"{i + 1} {j}" for i in range(len(poses)))
        lines.append(f"{j + 1} {' '.join(map(str, point))} 9 9 9 0.1 {track}\n")
    (folder / "points3D.txt").write_text("".join(lines))
