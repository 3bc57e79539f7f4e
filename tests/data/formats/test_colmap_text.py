"""Lines of COLMAP's text files, which are checked whether or not pycolmap is there."""

import numpy as np
import pytest
from colmap_makers import write_model
from format_makers import circle_poses, write_images

from taichi_pynerf.apps import inspect_scene
from taichi_pynerf.apps.cli import EXIT_USER_ERROR, run
from taichi_pynerf.data.formats.colmap_files.text import check_texts
from taichi_pynerf.errors import SceneError

CAMERAS = ["# a comment", "1 PINHOLE 24 16 20 21.5 12 8", "", "2 FOV 24 16 2e1 20 12 8 -1E-2"]
IMAGES = [
    "# a comment", "1 1 0 0 0 0.5 -2 3e0 1 view 1.png", "1.5 2 7 3 -4.5 -1",
    "", "2 .5 -0.5 +0.5 5E-1 0 0 0 2 view_2.png", "",
]  # fmt: skip
POINTS = ["# a comment", "7 0.5 -1 2e-3 10 20 255 0.25 1 0 2 3", "9 1 2 3 0 0 0 0"]
WHOLE = {"cameras": CAMERAS, "images": IMAGES, "points3D": POINTS}


@pytest.fixture
def folder(tmp_path):
    for name, lines in WHOLE.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_whole_files_pass(folder):
    check_texts(folder)
    for name, lines in WHOLE.items():
        (folder / f"{name}.txt").write_bytes("\t \r\n".join(lines).replace(" ", "\t").encode())
        check_texts(folder)
        (folder / f"{name}.txt").write_text("")
        check_texts(folder)
        (folder / f"{name}.txt").unlink()
        check_texts(folder)


@pytest.mark.parametrize(
    ("name", "number", "line", "fault"),
    [
        ("points3D", 2, "1 two 3", "3 values instead of 8 or more (POINT3D_ID, X, Y, Z,"),
        ("points3D", 3, "8 two 3 4 5 6 7 0.1", "X must be a finite number, not 'two'"),
        ("points3D", 3, "8 1 2 nan 5 6 7 0.1", "Z must be a finite number, not 'nan'"),
        ("points3D", 3, "8 1 2 3 5 6 7 1e999", "ERROR must be a finite number, not '1e999'"),
        ("points3D", 3, "8 1 1_0 3 5 6 7 0.1", "Y must be a finite number, not '1_0'"),
        ("points3D", 3, "8 1 2,5 3 5 6 7 0.1", "Y must be a finite number, not '2,5'"),
        ("points3D", 2, "8.0 1 2 3 5 6 7 0.1", "POINT3D_ID must be a whole number, not '8.0'"),
        ("points3D", 2, "-8 1 2 3 5 6 7 0.1", "POINT3D_ID must be a whole number, not '-8'"),
        ("points3D", 2, "8 1 2 3 5 0.6 7 0.1", "G must be a whole number, not '0.6'"),
        ("points3D", 2, "8 1 2 3 5 6 7 0.1 4", "1 values of its track, which are no pairs"),
        ("points3D", 2, "8 1 2 3 5 6 7 0.1 4 x", "POINT2D_IDX must be a whole number, not 'x'"),
        ("points3D", 2, "8 1 2 3 5 6 7 0.1 y 4", "IMAGE_ID must be a whole number, not 'y'"),
        ("points3D", 2, "8 1 2 3 5 6 7 0.1 4294967296 4", "IMAGE_ID must be below 2^32"),
        ("points3D", 2, f"{'8' * 5000} 1 2 3 5 6 7 0.1", "POINT3D_ID must be below 2^63"),
        ("cameras", 2, "1 two 3", "3 values instead of 4 or more (CAMERA_ID, MODEL,"),
        ("cameras", 4, "1 PINHOLE -24 16 20 20 12 8", "WIDTH must be a whole number, not '-24'"),
        ("cameras", 4, "1 PINHOLE 24 0 20 20 12 8", "HEIGHT is 0"),
        ("cameras", 4, "1 PINHOLE 24 16 20 f 12 8", "PARAMS must be a finite number, not 'f'"),
        ("images", 2, "1 two 3", "3 values instead of 10 or more (IMAGE_ID, QW,"),
        ("images", 2, "1 1 0 0 0 0.5 -2 3e0 1", "9 values instead of 10 or more"),
        ("images", 2, "1 1 0 x 0 0.5 -2 3e0 1 a.png", "QY must be a finite number, not 'x'"),
        ("images", 2, "1 1 0 0 0 0.5 -2 3e0 a.png b", "CAMERA_ID must be a whole number"),
        ("images", 3, "1.5 2 7 3 -4.5", "5 values, which are no triples of X, Y and POINT3D_ID"),
        ("images", 3, "2 1 0 0 0 0 0 0 1 b.png", "10 values, which are no triples"),
        ("images", 3, "1.5 y 7", "Y must be a finite number, not 'y'"),
        ("images", 3, "1.5 2 7.5", "POINT3D_ID must be a whole number, not '7.5'"),
        ("images", 3, "1.5 2 -2", "POINT3D_ID must be a whole number, not '-2'"),
        ("images", 3, "# 1.5 2", "X must be a finite number, not '#'"),
    ],
)
def test_a_broken_line_is_named(folder, name, number, line, fault):
    lines = list(WHOLE[name])
    lines[number - 1] = line
    (folder / f"{name}.txt").write_text("\n".join(lines))
    with pytest.raises(SceneError) as caught:
        check_texts(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / name}.txt: line {number}: {fault}")
    assert "\n" not in message
    assert len(message) < len(str(folder)) + 400


@pytest.mark.parametrize("data", [b"\xff\xfe\x00rubbish", b"\x00" * 3000, b"a " * 5000])
@pytest.mark.parametrize("name", WHOLE)
def test_rubbish_is_refused_in_one_line(folder, name, data):
    (folder / f"{name}.txt").write_bytes(data)
    with pytest.raises(SceneError, match=rf"{name}\.txt: line 1: ") as caught:
        check_texts(folder)
    assert str(caught.value).isprintable()


def test_leading_zeros_pass(folder):
    (folder / "points3D.txt").write_text(f"{'0' * 5000}8 1 2 3 5 6 7 0.1\n")
    check_texts(folder)


def test_text_beside_a_binary_model_is_not_read(folder):
    (folder / "points3D.txt").write_text("1 two 3\n")
    for name in WHOLE:
        with pytest.raises(SceneError):
            check_texts(folder)
        (folder / f"{name}.bin").write_bytes(bytes(8))
    check_texts(folder)


def test_finite_numbers_whose_sum_is_not_pass(folder):
    (folder / "points3D.txt").write_text("8 1e308 1e308 1e308 5 6 7 0.1\n")
    check_texts(folder)


@pytest.mark.parametrize("name", WHOLE)
def test_the_program_ends_with_one_line(tmp_path, capsys, name):
    pytest.importorskip("pycolmap")
    write_images(tmp_path / "images", [f"view_{i:02d}.png" for i in range(3)], 24, 16)
    write_model(tmp_path / "sparse" / "0", np.stack(circle_poses(3)))
    path = tmp_path / "sparse" / "0" / f"{name}.txt"
    path.write_text(path.read_text() + "1 two 3\n")
    with pytest.raises(SystemExit) as end:
        run(lambda _: inspect_scene.main([str(tmp_path)]))
    assert end.value.code == EXIT_USER_ERROR
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    number = len(path.read_text().splitlines())
    assert line.startswith(f"error: {path}: line {number}: 3 values instead of")
