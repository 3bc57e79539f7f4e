"""Files made to do harm: pickles, bombs, false sizes, links, paths that lead out of their folder.

Each is opened as a program would, in a process with 3 GiB of memory beyond what it has, for 60
seconds at most. It must be used, or refused in one line; a trap of a file must not have snapped.
"""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.reliability import small_run
from benchmarks.reliability.campaign import Options, Outcome
from benchmarks.reliability.children import Forked
from benchmarks.reliability.low_memory import limit_address_space
from taichi_pynerf import runtime
from taichi_pynerf.apps import render, train
from taichi_pynerf.data import load_split
from taichi_pynerf.data.formats.sparse_points import read_ply_points
from taichi_pynerf.data.images import decode_image
from taichi_pynerf.data.scene_files import read_json, read_npy
from taichi_pynerf.rendering.camera_path_files import read_camera_path
from taichi_pynerf.runs.checkpoint import FILE_NAME
from taichi_pynerf.runs.runs import open_run

MOST_BYTES, MOST_SECONDS = 3 * 2**30, 60.0


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


class Asking:
    """Asks for 8 GiB when it is unpickled."""

    def __reduce__(self) -> tuple:
        return bytearray, (2**33,)


def campaign(options: Options, outcome: Outcome) -> None:
    folder = options.folder
    scene = small_run.make_scene(folder / "scene")
    settings = {"max_steps": 2, "occupancy_resolution": 8}
    done = Forked(train.main, small_run.arguments(scene, folder, "good", **settings), folder).wait()
    outcome.note("a good run", done.fault(0))
    trap = folder / "snapped"
    for part in (checkpoints, arrays, pictures, points, texts, links):
        for what, path, use in part(folder, trap):
            path = Path(path)
            fault, words = opened(folder, use)
            if trap.exists():
                fault = "the trap has snapped"
                trap.unlink()
            outcome.note(what, fault, words.replace(str(folder), "…")[:200])


def opened(folder: Path, use: Callable[[], object]) -> tuple[str | None, str]:
    """Use a file in a limited process: (what is wrong, what it said)."""

    def main(_: list[str]) -> None:
        use()

    done = Forked(main, [], folder, partial(limit_address_space, MOST_BYTES)).wait(MOST_SECONDS)
    if done.status == 0:
        return done.fault(0), "used"
    fault = done.fault(2)
    if fault is None and "memory" in done.last_words and "free" not in done.last_words:
        fault = f"it took all memory: {done.last_words}"
    return fault, done.last_words


Cases = list[tuple[str, Path, Callable[[], object]]]


def checkpoints(folder: Path, trap: Path) -> Cases:
    """Damaged and forged copies of a good checkpoint."""
    good = torch.load(folder / "good" / FILE_NAME, weights_only=True)

    def forged(name: str, **changes: object) -> Path:
        path = folder / "forged" / name / FILE_NAME
        path.parent.mkdir(parents=True)
        torch.save({**good, **changes}, path)
        return path

    def changed(part: str, **values: object) -> dict:
        return {part: {**good[part], **values}}

    def nested(depth: int) -> list:
        value: list = []
        for _ in range(depth):
            value = [value, value]  # 2^depth leaves by reference
        return value

    tensors = good["model"]
    first = next(name for name, tensor in tensors.items() if tensor.dim() == 2)
    optimizers = good["training"]["optimizers"]
    files = {
        "a pickle that runs code": forged("trap", training=Trap(trap)),
        "a pickle that asks for 8 GiB": forged("asking", training=Asking()),
        "a table of 2^26 entries on paper": forged(
            "table", **changed("config", hash_table_size=2**26, features_per_level=8)
        ),
        "a network 10^6 wide on paper": forged("wide", **changed("config", hidden_dim=10**6)),
        "a network 10^9 deep on paper": forged("deep", **changed("config", num_layers=10**9)),
        "settings of other types": forged("types", **changed("config", aabb="x", seed=[])),
        "settings that are NaN": forged("nan", **changed("config", learning_rate=float("nan"))),
        "one number shown as 10^10": forged(
            "expanded", **changed("model", **{first: torch.zeros(1).expand(10**5, 10**5)})
        ),
        "a sparse tensor": forged(
            "sparse", **changed("model", **{first: tensors[first].to_sparse()})
        ),
        "tensors with numbers as names": forged("names", model={1: torch.zeros(1), "a": 2}),
        "a scene of other types": forged("scene", **changed("scene", data_dir=5)),
        "a scene with a null byte": forged("null", **changed("scene", data_dir="a\0b")),
        "a training that is a list": forged("list", training=[1, 2]),
        "2^60 leaves by reference": forged("laughs", **changed("training", poses=nested(60))),
        "10^12 rays": forged("rays", **changed("training", num_rays=10**12)),
        "step -1": forged("step", **changed("training", step=-1)),
        "a step without end": forged("endless", **changed("training", step=float("inf"))),
        "a generator of zeros": forged(
            "generator", **changed("training", generator=torch.zeros(5056, dtype=torch.uint8))
        ),
        "moments of another size": forged(
            "moments",
            **changed(
                "training",
                optimizers={**optimizers, "tables": {**optimizers["tables"], "state": {
                    0: {"square_avg": torch.zeros(3), "weight": torch.zeros(3)}}}},
            ),
        ),
        "moments without a part": forged(
            "part",
            **changed(
                "training",
                optimizers={**optimizers, "networks": {**optimizers["networks"], "state": {0: {}}}},
            ),
        ),
    }  # fmt: skip
    whole = (folder / "good" / FILE_NAME).read_bytes()
    for name, data in {
        "a plain pickle": pickle.dumps(Trap(trap)),
        "a compressed zip of 4 GiB": _bomb(whole),
        "a zip whose parts overlap": _overlapping(whole),
        "a zip that claims 2^62 bytes": _claiming(whole),
        "half a file": whole[: len(whole) // 2],
        "an empty file": b"",
    }.items():
        path = folder / "raw" / name.replace(" ", "_") / FILE_NAME
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        files[name] = path
    cases: Cases = []
    for name, path in files.items():
        cases.append((f"checkpoint, opened: {name}", path, partial(_open, path)))
        argv = ["--resume", str(path), "--backend", "cpu", "--no-tensorboard", "--max_steps", "3"]
        cases.append((f"checkpoint, resumed: {name}", path, partial(train.main, argv)))
    return cases


def _open(path: Path) -> None:
    runtime.start("cpu")
    open_run(path)


def _bomb(whole: bytes) -> bytes:
    """The checkpoint with a part that is 4 GiB of zeros, compressed."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name in source.namelist():
            if name.endswith("data/0"):
                with archive.open(name, "w", force_zip64=True) as part:
                    for _ in range(64):
                        part.write(bytes(64 * 2**20))
            else:
                archive.writestr(name, source.read(name))
    return target.getvalue()


def _overlapping(whole: bytes) -> bytes:
    """The checkpoint, of which all small parts point at the largest one."""
    data = bytearray(whole)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        large = max(archive.infolist(), key=lambda entry: entry.file_size)
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        if b"data/" in data[place : place + 80]:
            struct.pack_into("<II", data, place + 20, large.file_size, large.file_size)
            struct.pack_into("<I", data, place + 42, large.header_offset)
        place = data.find(b"PK\x01\x02", place + 4)
    return bytes(data)


def _claiming(whole: bytes) -> bytes:
    """The checkpoint with a false size in its directory."""
    data = bytearray(whole)
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        struct.pack_into("<II", data, place + 20, 2**32 - 2, 2**32 - 2)
        place = data.find(b"PK\x01\x02", place + 4)
    return bytes(data)


def arrays(folder: Path, trap: Path) -> Cases:
    """`poses_bounds.npy` with code, or a false shape."""
    place = folder / "arrays"
    place.mkdir()
    np.save(place / "pickle.npy", np.array([Trap(trap)], dtype=object), allow_pickle=True)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%s, 17), }"
    for name, rows in (("large.npy", b"10000000000"), ("negative.npy", b"-5")):
        text = (header % rows).ljust(117) + b"\n"
        (place / name).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    code = b"{'descr': __import__('os').system('touch %s'), 'shape': (1,)}" % str(trap).encode()
    code = code.ljust(300) + b"\n"
    (place / "code.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(code)) + code)
    return [(f"npy: {p.stem}", p, partial(read_npy, p)) for p in sorted(place.iterdir())]


def pictures(folder: Path, trap: Path) -> Cases:
    """Images that claim 10^9 pixels, burst, or end early."""
    place = folder / "pictures"
    place.mkdir()

    def chunk(kind: bytes, data: bytes) -> bytes:
        length, checksum = len(data), zlib.crc32(kind + data)
        return struct.pack(">I", length) + kind + data + struct.pack(">I", checksum)

    def png(width: int, height: int, data: bytes, *more: bytes) -> bytes:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        body = b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + head + body

    zeros = zlib.compress(bytes(2**28), 9)
    text = b"a\0\0" + zlib.compress(bytes(2**29), 9)
    (place / "claims.png").write_bytes(png(40000, 25000, zlib.compress(bytes(100))))
    (place / "most.png").write_bytes(png(2**31 - 1, 2**31 - 1, zeros))
    (place / "bomb.png").write_bytes(png(64, 64, zeros))
    (place / "text.png").write_bytes(png(4, 4, zlib.compress(bytes(52)), chunk(b"zTXt", text)))
    Image.new("RGB", (64, 48), (10, 200, 30)).save(place / "cut.jpg", quality=90)
    whole = (place / "cut.jpg").read_bytes()
    (place / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (place / "zero.png").write_bytes(png(0, 0, b""))
    bmp = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54)
    bmp += struct.pack("<IiiHHIIiiII", 40, 40000, 25000, 1, 24, 0, 0, 0, 0, 0, 0)
    (place / "claims.bmp").write_bytes(bmp)
    (place / "is_a_folder.png").mkdir()
    exr = b"\x76\x2f\x31\x01\x02\0\0\0dataWindow\0box2i\0\x10\0\0\0"
    (place / "claims.exr").write_bytes(exr + struct.pack("<iiii", 0, 0, 39999, 24999) + b"\0")
    (place / "claims.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 25000 +X 40000\n")
    return [(f"image: {p.name}", p, partial(decode_image, p)) for p in sorted(place.iterdir())]


def points(folder: Path, trap: Path) -> Cases:
    """Point clouds that claim more than they hold."""
    place = folder / "points"
    place.mkdir()
    head = "ply\nformat {} 1.0\nelement vertex {}\n{}end_header\n"
    xyz = "property float x\nproperty float y\nproperty float z\n"
    files = {
        "binary_1e12": head.format("binary_little_endian", 10**12, xyz),
        "ascii_1e9": head.format("ascii", 10**9, xyz) + "0 0 0\n",
        "negative": head.format("binary_little_endian", -1, xyz),
        "list_of_1e9": head.format("ascii", 1, xyz + "property list uint float l\n")
        + "0 0 0 1000000000\n",
        "no_format": "ply\nelement vertex 1\n" + xyz + "end_header\n",
        "other_types": head.format("ascii", 1, xyz.replace("float", "complex")) + "0 0 0\n",
        "lists_for_xyz": head.format("ascii", 1, xyz.replace("float", "list uchar int"))
        + "1 1 1 1 1 1\n",
        "without_end": "ply\n" + "comment x\n" * 10**5,
    }
    for name, text in files.items():
        (place / f"{name}.ply").write_text(text)
    return [(f"PLY: {p.stem}", p, partial(read_ply_points, p)) for p in sorted(place.iterdir())]


def texts(folder: Path, trap: Path) -> Cases:
    """JSON that is deep, long or full of strange numbers."""
    place = folder / "texts"
    place.mkdir()
    entry = {"camera_to_world": [0] * 16, "fov": 50}
    files = {
        "deep": "[" * 10**6,
        "digits": '{"a": ' + "9" * 10**6 + "}",
        "surrogates": '{"camera_path": "\\ud800"}',
        "sizes": json.dumps({"camera_path": [entry], "render_width": 1e300, "render_height": 1}),
        "frames": json.dumps({"camera_path": [1] * 10**6, "render_width": 8, "render_height": 8}),
        "infinity": '{"camera_path": [{"camera_to_world": [Infinity]}], "fps": NaN}',
        "null": '{"camera_path": null, "path": null, "frames": null}',
    }
    cases: Cases = []
    for name, text in files.items():
        path = place / f"{name}.json"
        path.write_text(text)
        cases.append((f"JSON: {name}", path, partial(read_json, path)))
        cases.append((f"camera path: {name}", path, partial(read_camera_path, path)))
    return cases


def links(folder: Path, trap: Path) -> Cases:
    """Links and `..` in what is read and written."""
    secret = folder / "secret.png"
    Image.new("RGB", (16, 16)).save(secret)
    cases: Cases = []
    for name, target in {
        "a link": None,
        "..": "../secret.png",
        "a whole path": str(secret),
    }.items():
        scene = folder / "scenes" / name.replace(" ", "_").replace(".", "up")
        shutil.copytree(folder / "scene", scene)
        path = scene / "transforms_train.json"
        content = json.loads(path.read_text())
        if target is None:
            image = scene / (content["frames"][0]["file_path"] + ".png")
            image.unlink()
            image.symlink_to(secret)
        else:
            content["frames"][0]["file_path"] = ("../" if target[0] == "." else "") + target
            path.write_text(json.dumps(content))
        cases.append((f"scene, image named by {name}", path, partial(_leads_out, scene)))
    run_dir = folder / "linked"
    shutil.copytree(folder / "good", run_dir)
    (run_dir / "log.jsonl").unlink(missing_ok=True)
    for name in ("log.jsonl", "metrics.json", "preview.png", "config.json"):
        (run_dir / name).unlink(missing_ok=True)
        (run_dir / name).symlink_to(trap)  # is made if a link is followed
    argv = ["--resume", str(run_dir), "--backend", "cpu", "--no-tensorboard", "--max_steps", "24"]
    cases.append(("run folder with links to a file outside", run_dir, partial(train.main, argv)))
    outside = folder / "outside"
    outside.mkdir()
    run_dir = folder / "linked_folders"
    shutil.copytree(folder / "good", run_dir)
    for name in ("renders", "tensorboard"):
        (run_dir / name).symlink_to(outside)
    uses: dict[str, Callable[[], None]] = {
        "rendered": partial(render.main, ["--checkpoint", str(run_dir)])
    }
    if importlib.util.find_spec("tensorboard") is not None:
        resume = ["--resume", str(run_dir), "--tensorboard", "--max_steps", "24"]
        uses["resumed"] = partial(train.main, resume)
    for what, use in uses.items():
        case = partial(_kept_out, use, outside)
        cases.append((f"run folder with links to a folder outside, {what}", run_dir, case))
    return cases


def _kept_out(use: Callable[[], None], outside: Path) -> None:
    try:
        use()
    finally:
        if any(outside.iterdir()):
            raise RuntimeError(f"{outside}: a link was followed")


def _leads_out(scene: Path) -> None:
    load_split(scene, "train")
    raise RuntimeError(f"{scene}: a file outside of the scene was read")
