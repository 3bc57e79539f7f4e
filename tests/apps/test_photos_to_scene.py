"""Photos with known poses, brought back by structure from motion."""

import _thread
import json
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from photo_studio import take_photos
from PIL import Image, ImageOps

from taichi_pynerf.apps import photos_to_scene as photos_to_scene_app
from taichi_pynerf.data import PyNeRFDataset, load_split
from taichi_pynerf.data.authoring import photos_to_scene as module
from taichi_pynerf.data.authoring.photo_folder import gather_photos
from taichi_pynerf.data.authoring.photos_to_scene import APPLIED_TRANSFORM, photos_to_scene
from taichi_pynerf.data.authoring.structure_from_motion import matching_pairs, run_phase
from taichi_pynerf.errors import MissingPackageError, SceneError, SceneWarning

NUM_PHOTOS, WIDTH, HEIGHT, FOCAL, K1 = 8, 320, 240, 270.0, 0.08
BACKGROUND = "photo_97.png"


@pytest.fixture(scope="module")
def pycolmap():
    return pytest.importorskip("pycolmap", reason="pycolmap (the extra [colmap]) is not installed")


@pytest.fixture(scope="module")
def result(pycolmap, tmp_path_factory):
    """True poses, the folder made from their photos and one of a blank wall, and the report."""
    folder = tmp_path_factory.mktemp("photos")
    poses = take_photos(folder / "in", NUM_PHOTOS, WIDTH, HEIGHT, FOCAL, K1)
    blank = Image.new("RGB", (WIDTH, HEIGHT), (90, 90, 90))
    blank.save(folder / "in" / BACKGROUND)
    report = photos_to_scene(folder / "in", folder / "out", progress=False)
    return poses, folder / "out", report


def aligned(points, targets):
    """The similarity (scale, rotation, translation) nearest to points -> targets (Umeyama 1991)."""
    p, q = points - points.mean(0), targets - targets.mean(0)
    u, s, vt = np.linalg.svd(q.T @ p)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = (s * np.diag(sign)).sum() / (p**2).sum()
    return scale, rotation, targets.mean(0) - scale * rotation @ points.mean(0)


def test_poses_are_the_true_ones_up_to_a_similarity(result):
    poses, folder, _ = result
    transforms = json.loads((folder / "transforms.json").read_text())
    found = {f["file_path"]: np.array(f["transform_matrix"]) for f in transforms["frames"]}
    found = np.stack([found[f"images/photo_{i:02d}.png"] for i in range(NUM_PHOTOS)])
    scale, rotation, translation = aligned(found[:, :3, 3], poses[:, :3, 3])
    positions = scale * found[:, :3, 3] @ rotation.T + translation
    assert np.linalg.norm(positions - poses[:, :3, 3], axis=1).max() < 0.05  # 2.2 from the middle
    turns = (rotation @ found[:, :3, :3]).transpose(0, 2, 1) @ poses[:, :3, :3]
    angles = np.degrees(np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert angles.max() < 1.0
    np.testing.assert_array_equal(found[:, 3], np.tile([0, 0, 0, 1], (NUM_PHOTOS, 1)))


def test_the_lens_is_the_true_one(result):
    transforms = json.loads((result[1] / "transforms.json").read_text())
    assert transforms["camera_model"] == "OPENCV"
    assert (transforms["w"], transforms["h"]) == (WIDTH, HEIGHT)
    assert transforms["fl_x"] == pytest.approx(FOCAL, rel=0.02)
    assert transforms["fl_y"] == pytest.approx(FOCAL, rel=0.02)
    assert (transforms["cx"], transforms["cy"]) == (WIDTH / 2, HEIGHT / 2)
    assert transforms["k1"] == pytest.approx(K1, abs=0.03)
    assert {"k2", "p1", "p2"} <= set(transforms)


def test_report_names_the_photo_that_shows_nothing(result):
    _, folder, report = result
    assert len(report.registered) == NUM_PHOTOS
    assert report.left_out == [BACKGROUND]
    assert report.reprojection_error < 1.0
    assert f"{NUM_PHOTOS} of {NUM_PHOTOS + 1} photos registered" in str(report)
    assert f"not registered: {BACKGROUND}" in str(report)
    paths = [f["file_path"] for f in json.loads((folder / "transforms.json").read_text())["frames"]]
    assert paths == [f"images/{name}" for name in report.registered]
    assert sorted(path.name for path in folder.iterdir()) == [
        "colmap",
        "images",
        "sparse_pc.ply",
        "transforms.json",
    ]
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_points_are_in_front_of_the_cameras_in_the_files_world(result, pycolmap):
    _, folder, report = result
    points = pycolmap.Reconstruction()
    points.import_PLY(folder / "sparse_pc.ply")
    xyz = np.array([point.xyz for point in points.points3D.values()])
    assert len(xyz) == report.num_points
    transforms = json.loads((folder / "transforms.json").read_text())
    np.testing.assert_array_equal(transforms["applied_transform"], APPLIED_TRANSFORM)
    pose = np.array(transforms["frames"][0]["transform_matrix"])
    local = (xyz - pose[:3, 3]) @ pose[:3, :3]
    x = WIDTH / 2 - transforms["fl_x"] * local[:, 0] / local[:, 2]
    y = HEIGHT / 2 + transforms["fl_y"] * local[:, 1] / local[:, 2]
    seen = (local[:, 2] < 0) & (x > 0) & (x < WIDTH) & (y > 0) & (y < HEIGHT)
    assert seen.mean() > 0.2


def test_the_scene_says_what_photo_sees_what_point(result, pycolmap):
    _, folder, _ = result
    scene = load_split(folder, "train")
    points = pycolmap.Reconstruction(folder / "colmap" / "sparse" / "0").points3D.values()
    places = torch.tensor(scene.transform.apply(np.array([point.xyz for point in points])))
    batch = PyNeRFDataset.from_scene(scene).sample(
        100, torch.Generator().manual_seed(0), num_sighted=100
    )
    ends = batch.rays.rays_o + batch.sparse_depth[:, None] * batch.rays.rays_d
    apart = torch.cdist(ends, places.float()).amin(1) / batch.sparse_depth
    assert apart.max() < 3 / FOCAL  # within three pixels


def test_photos_amid_the_others_are_held_out(result):
    _, folder, report = result
    assert load_split(folder, "test").names == ["photo_04"]
    assert report.held_out == ["photo_04.png"]
    assert "held out for testing: photo_04.png" in str(report)
    assert len(load_split(folder, "train")) == NUM_PHOTOS - 1


def test_too_few_registered_photos_are_an_error_and_leave_nothing(pycolmap, tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(4):
        Image.new("RGB", (64, 48), (60 * i, 90, 90)).save(tmp_path / "in" / f"{i}.png")
    with pytest.raises(SceneError, match="4 photos fit together: take more") as caught:
        photos_to_scene(tmp_path / "in", tmp_path / "out", progress=False)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_share_of_registered_photos_is_asked_for(result, pycolmap, tmp_path, monkeypatch):
    _, folder, _ = result
    model = pycolmap.Reconstruction()
    monkeypatch.setattr(module, "reconstruct", lambda *args, **options: model)
    with pytest.raises(SceneError, match="only 0 of 9 photos could be placed, and 5 are asked"):
        photos_to_scene(folder / "images", tmp_path / "out", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_wrong_input_is_one_line(pycolmap, tmp_path):
    def fails(words, source, out="out"):
        with pytest.raises(SceneError, match=words) as caught:
            photos_to_scene(tmp_path / source, tmp_path / out, progress=False)
        assert "\n" not in str(caught.value)

    fails("no such folder or video", "absent")
    (tmp_path / "in").mkdir()
    fails("no photos in this folder", "in")
    (tmp_path / "in" / "a.DNG").write_bytes(b"")
    fails(r"develop the \.DNG files to JPEG", "in")
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "a.png")
    fails("1 photos are too few", "in")
    (tmp_path / "in" / "b.jpg").write_bytes(b"not a photo")
    fails(r"b\.jpg: not an image of a known kind", "in")
    (tmp_path / "in" / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    fails(r"b\.jpg: this image cannot be decoded; it may be cut off or broken", "in")
    fails("holds .*: choose a folder of its own", "in", ".")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_absent_pycolmap_is_said_before_any_work(tmp_path, monkeypatch):
    def absent(package, extra):
        raise MissingPackageError(f'{package}: pip install "taichi-pynerf[{extra}]"')

    monkeypatch.setattr(module, "optional", absent)
    with pytest.raises(MissingPackageError, match=r"\[colmap\]"):
        photos_to_scene(tmp_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# ---- photos -----------------------------------------------------------------------------------


def gather(source, tmp_path):
    (tmp_path / "copies").mkdir()
    return gather_photos(source, tmp_path / "copies", progress=False)[0]


def test_photos_of_other_kinds_become_png_or_jpeg(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = 255
    zoom = Image.Exif()
    zoom.get_ifd(0x8769)[0x920A] = 24.0  # focal length in mm
    Image.fromarray(pixels).save(source / "a.webp", lossless=True, exif=zoom)
    Image.fromarray(pixels).save(source / "b.avif", quality=95)
    Image.fromarray(pixels).save(source / "c.tiff")
    Image.fromarray(pixels).save(source / "d.bmp")
    groups = gather(source, tmp_path)
    assert sorted(groups) == [["a.jpg"], ["b.jpg", "c.png", "d.png"]]
    for name in ("a.jpg", "b.jpg", "c.png", "d.png"):
        with Image.open(tmp_path / "copies" / name) as image:
            assert image.format == ("JPEG" if name[0] in "ab" else "PNG")
            assert np.abs(np.asarray(image).astype(int) - pixels)[::4, ::6].max() < 40
    with Image.open(tmp_path / "copies" / "a.jpg") as image:
        assert image.getexif().get_ifd(0x8769)[0x920A] == 24.0


def test_turned_photos_are_stored_upright_and_others_as_they_are(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(source / "turned photo.jpg", exif=turned, quality=95)
    Image.fromarray(pixels).save(source / "plain.JPG")
    groups = gather(source, tmp_path)
    assert sorted(groups) == [["plain.JPG"], ["turned_photo.jpg"]]  # of different sizes
    copies = tmp_path / "copies"
    assert (copies / "plain.JPG").read_bytes() == (source / "plain.JPG").read_bytes()
    with Image.open(copies / "turned_photo.jpg") as image:
        assert image.size == (16, 24)
        assert image.getexif().get(0x0112, 1) == 1
        shown = np.asarray(image)[..., 0]
    with Image.open(source / "turned photo.jpg") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))[..., 0]
    assert np.abs(shown.astype(int) - expected).max() < 8


def test_photos_of_one_focal_length_share_a_camera(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name, focal in (("a", 4.0), ("b", 4.0), ("c", 9.0), ("d", 4.0)):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x920A] = focal
        Image.new("RGB", (8, 8)).save(source / f"{name}.jpg", exif=exif)
    assert gather(source, tmp_path) == [["a.jpg", "b.jpg", "d.jpg"], ["c.jpg"]]


def test_names_that_would_be_the_same_are_numbered(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a b.png", "a_b.png", "c.jpg", "C.png"):
        Image.new("RGB", (8, 8)).save(source / name)
    (names,) = gather(source, tmp_path)
    assert sorted(names) == ["C.png", "a_b.png", "a_b_2.png", "c_2.jpg"]
    assert len(list((tmp_path / "copies").iterdir())) == 4


def test_photos_in_folders_are_taken_where_there_are_no_others(tmp_path):
    source = tmp_path / "in"
    for cam in ("cam0", "cam1"):
        (source / cam).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(source / cam / "0001.JPG")
    (names,) = gather(source, tmp_path)
    assert names == ["cam0_0001.JPG", "cam1_0001.JPG"]
    Image.new("RGB", (8, 8)).save(source / "top.jpg")
    (tmp_path / "again").mkdir()
    with pytest.warns(SceneWarning, match="2 more photos are in folders of it"):
        assert gather(source, tmp_path / "again") == [["top.jpg"]]


def test_photos_that_are_not_read_are_counted(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    Image.new("RGB", (8, 8)).save(source / "a.jpg")
    for i in range(5):
        (source / f"{i}.CR2").write_bytes(b"")
    with pytest.warns(SceneWarning, match=r"5 of 6 photos .* left out: 5 \.cr2"):
        assert gather(source, tmp_path) == [["a.jpg"]]


@pytest.mark.parametrize("matching", ["exhaustive", "sequential"])
@pytest.mark.parametrize("num", [2, 5, 40])
def test_pairs_are_compared_once(matching, num):
    names = [f"{i:02d}" for i in range(num)]
    pairs = matching_pairs(names, matching)
    assert len(set(pairs)) == len(pairs)
    assert all(first < second for first, second in pairs)
    apart = {int(second) - int(first) for first, second in pairs}
    if matching == "exhaustive":
        assert len(pairs) == num * (num - 1) // 2
    else:
        assert apart == {step for step in (*range(1, 11), 16, 32) if step < num}


class Token:
    """The part of pycolmap's token that a phase uses."""

    def __init__(self):
        self.is_set = threading.Event()

    def cancel(self):
        self.is_set.set()


@pytest.fixture
def interrupts():
    """Let Ctrl-C interrupt, even if these tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupted_phase_stops_its_thread_before_it_ends():
    ended = []

    def job(token, advance):
        threading.Timer(0.1, _thread.interrupt_main).start()
        token.is_set.wait(10)
        time.sleep(0.3)  # work at hand is finished
        ended.append(token.is_set.is_set())

    with pytest.raises(KeyboardInterrupt):
        run_phase(SimpleNamespace(CancellationToken=Token), job, 3, "poses", "photo", False)
    assert ended == [True]


def test_a_failing_phase_is_one_line():
    def job(token, advance):
        raise RuntimeError("out of\n luck")

    with pytest.raises(SceneError, match=r"failed at the poses \(out of luck\)"):
        run_phase(SimpleNamespace(CancellationToken=Token), job, 3, "poses", "photo", False)


@pytest.mark.parametrize(("model", "degrees"), [("OPENCV_FISHEYE", 180.0), ("OPENCV", 115.03)])
def test_the_report_tells_how_wide_a_lens_sees(model, degrees):
    focal = WIDTH / np.pi
    camera = SimpleNamespace(
        model_name=model, params=np.zeros(8), width=WIDTH, height=HEIGHT, focal_length_x=focal,
        focal_length_y=focal, principal_point_x=0.0, principal_point_y=0.0,
        extra_params_idxs=lambda: slice(4, 8),
    )  # fmt: skip
    model = SimpleNamespace(
        images={1: SimpleNamespace(name="a.png", has_pose=True, camera_id=1)},
        cameras={1: camera},
        num_points3D=lambda: 5,
        compute_mean_reprojection_error=lambda: 0.5,
    )
    assert f"{degrees:.0f} degrees wide" in str(module._report(model, ["a.png"]))


def test_app_reports_and_prints_the_folder(monkeypatch, capsys, tmp_path):
    tool = photos_to_scene_app
    asked = {}

    def record(**options):
        asked.update(options)
        return "7 of 7 photos registered"

    monkeypatch.setattr(module, "photos_to_scene", record)
    tool.main([str(tmp_path), str(tmp_path / "out"), "--camera_model", "RADIAL"])
    assert capsys.readouterr().out == f"7 of 7 photos registered\n{tmp_path / 'out'}\n"
    assert asked["camera_model"] == "RADIAL"
    assert asked["matching"] is None
    with pytest.raises(SystemExit) as caught:
        tool.main([str(tmp_path), "out", "--min_registered", "7"])
    assert caught.value.code == 2
    assert "between 0 and 1" in capsys.readouterr().err
