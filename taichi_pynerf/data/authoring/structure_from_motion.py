"""Camera poses from photos: pycolmap's incremental structure from motion, on the CPU.

Schönberger and Frahm, Structure-from-Motion Revisited (CVPR 2016).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from taichi_pynerf.errors import SceneError
from taichi_pynerf.extras import optional

if TYPE_CHECKING:
    from pycolmap import Reconstruction

CAMERA_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE")
MATCHINGS = ("exhaustive", "sequential")

SEQUENTIAL_OVERLAP = 10
PAIRS_AT_A_TIME = 16
POLL_SECONDS = 0.2
SEED = 0


def reconstruct(
    images_dir: Path,
    groups: Sequence[Sequence[str]],
    work_dir: Path,
    *,
    matching: str = "exhaustive",
    camera_model: str = "OPENCV",
    feature_size: int = 1600,
    masks_dir: Path | None = None,
    progress: bool = True,
) -> Reconstruction:
    """Find features, match them, and place as many photos as possible.

    Args:
        images_dir: folder of the photos.
        groups: names of the photos, without spaces; each group shares one set of intrinsics.
        work_dir: folder for the database of features, which stays there.
        matching: "exhaustive" compares every pair of photos. "sequential", for videos, compares
            each photo with the `SEQUENTIAL_OVERLAP` next by name, and with those 16, 32, 64, …
            farther on.
        camera_model: one of `CAMERA_MODELS`, COLMAP's names.
        feature_size: longer side, in pixels, to which photos are reduced before features are
            extracted; results are in full-size pixels.
        masks_dir: folder of masks: `NAME.png` is that of the photo NAME. No features are extracted
            where it is black. A photo may have no mask.
        progress: show a progress bar for each of the three phases.

    Returns:
        The `pycolmap.Reconstruction` with the most photos.

    Raises:
        MissingPackageError: pycolmap is not installed.
        SceneError: no photos could be placed, or pycolmap fails.
        ValueError: `matching` or `camera_model` is unknown.
    """
    if matching not in MATCHINGS:
        raise ValueError(f"matching must be one of {MATCHINGS}, not {matching!r}")
    if camera_model not in CAMERA_MODELS:
        raise ValueError(f"camera_model must be one of {CAMERA_MODELS}, not {camera_model!r}")
    pycolmap = optional("pycolmap", "colmap")
    num_photos = sum(map(len, groups))
    database = work_dir / "database.db"
    pycolmap.set_random_seed(SEED)

    def extract(token: Any, advance: Callable[[int], None]) -> None:
        options = pycolmap.FeatureExtractionOptions()
        options.max_image_size = feature_size
        for group in groups:
            camera = None
            for masked in (True, False):
                reader = pycolmap.ImageReaderOptions(camera_model=camera_model)
                if masked and masks_dir is not None:
                    reader.mask_path = masks_dir
                if camera is not None:
                    reader.existing_camera_id = camera
                part = [name for name in group if has_mask(name) == masked]
                for names in _chunks(part, os.cpu_count() or 1):
                    pycolmap.extract_features(
                        database,
                        images_dir,
                        image_names=names,
                        camera_mode=pycolmap.CameraMode.SINGLE,
                        reader_options=reader,
                        extraction_options=options,
                        device=pycolmap.Device.cpu,
                        cancellation_token=token,
                    )
                    camera = reader.existing_camera_id = _newest_camera(pycolmap, database)
                    advance(len(names))

    def has_mask(name: str) -> bool:
        return masks_dir is not None and (masks_dir / f"{name}.png").is_file()

    def match(token: Any, advance: Callable[[int], None]) -> None:
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = work_dir / "pairs.txt"
        for chunk in _chunks(pairs, PAIRS_AT_A_TIME):
            lines = (f"{first} {second}\n" for first, second in chunk)
            pairing.match_list_path.write_text("".join(lines), encoding="utf-8")
            pycolmap.match_image_pairs(
                database,
                pairing_options=pairing,
                device=pycolmap.Device.cpu,
                cancellation_token=token,
            )
            advance(len(chunk))

    def place(token: Any, advance: Callable[[int], None]) -> None:
        options = pycolmap.IncrementalPipelineOptions()
        options.min_model_size = 3
        options.random_seed = SEED
        models.update(
            pycolmap.incremental_mapping(
                database,
                images_dir,
                work_dir,
                options,
                initial_image_pair_callback=lambda: advance(2),
                next_image_callback=lambda: advance(1),
                cancellation_token=token,
            )
        )

    models: dict = {}
    pairs = matching_pairs(sorted(name for group in groups for name in group), matching)
    with _quiet(pycolmap):
        run_phase(pycolmap, extract, num_photos, "features", "photo", progress)
        run_phase(pycolmap, match, len(pairs), "matches", "pair", progress)
        run_phase(pycolmap, place, num_photos, "poses", "photo", progress)
    if not models:
        raise SceneError(
            f"no two of the {num_photos} photos fit together: take more, each overlapping the one "
            "before by two thirds, of a scene with texture"
        )
    return max(models.values(), key=lambda model: model.num_reg_images())


def matching_pairs(names: Sequence[str], matching: str) -> list[tuple[str, str]]:
    """The pairs of photos to compare, each once; see `reconstruct`."""
    num = len(names)
    if matching == "exhaustive":
        steps = list(range(1, num))
    else:
        far = (2**i for i in range(num.bit_length()) if SEQUENTIAL_OVERLAP < 2**i < num)
        steps = [*range(1, min(SEQUENTIAL_OVERLAP + 1, num)), *far]
    return [(names[i], names[i + step]) for i in range(num) for step in steps if i + step < num]


def _chunks(values: Sequence, size: int) -> Iterator[list]:
    for start in range(0, len(values), size):
        yield list(values[start : start + size])


def _newest_camera(pycolmap: ModuleType, database: Path) -> int:
    # Through pycolmap, not Python's sqlite3: two copies of SQLite in one process break each other's
    # locks.
    with contextlib.closing(pycolmap.Database.open(database)) as tables:
        return max(camera.camera_id for camera in tables.read_all_cameras())


def run_phase(
    pycolmap: ModuleType,
    job: Callable[[Any, Callable[[int], None]], None],
    total: int,
    description: str,
    unit: str,
    progress: bool,
) -> None:
    """Run `job(token, advance)` in a thread with a bar; an interruption cancels the token."""
    token = pycolmap.CancellationToken()
    steps: list[int] = []
    failures: list[Exception] = []
    finished = threading.Event()  # an interrupted Thread.join wrongly marks a thread as stopped

    def work() -> None:
        try:
            job(token, steps.append)
        except Exception as error:
            failures.append(error)
        finally:
            finished.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with tqdm(desc=description, total=total, unit=unit, disable=not progress) as bar:
            while not finished.wait(POLL_SECONDS):
                if (done := min(sum(steps), total)) > bar.n:
                    bar.update(done - bar.n)
            bar.update(min(sum(steps), total) - bar.n)
    except BaseException:
        token.cancel()
        raise
    finally:
        finished.wait()
        thread.join()
    if failures:
        reason = " ".join(str(failures[0]).split())
        raise SceneError(f"pycolmap failed at the {description} ({reason})") from failures[0]


@contextlib.contextmanager
def _quiet(pycolmap: ModuleType) -> Iterator[None]:
    """Silence pycolmap except for its errors."""
    before = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = before
