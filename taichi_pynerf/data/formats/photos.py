"""Photographs of a scene: which files hold them at the wanted size, and which way up they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from taichi_pynerf.data.images import ImageHeader, read_header
from taichi_pynerf.data.scene_files import IMAGE_SUFFIXES, SceneFiles, shown, warn_once
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.cameras import Cameras


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in IMAGE_SUFFIXES)


def tell_missing(where: Path, missing: list[str], num_all: int) -> None:
    """Warn that some of a scene's images are left out; none left is an error.

    Raises:
        SceneError: all are missing.
    """
    if len(missing) == num_all:
        raise SceneError(
            f"{where}: none of its {num_all} images is there; the first is {shown(missing[0])}"
        )
    if missing:
        warn_once(
            f"{where}: {len(missing)} of {num_all} images are missing and left out: "
            f"{', '.join(map(shown, missing))}"
        )


def image_folder(data_dir: Path, img_downscale: int) -> tuple[Path, bool]:
    """The folder of a scene's images, and whether it is of reduced ones: `images`, or `images_8`,
    say, if it is alone and that is the reduction asked for."""
    folder, reduced = data_dir / "images", data_dir / f"images_{img_downscale}"
    if not folder.is_dir() and reduced.is_dir():
        return reduced, True
    return folder, False


def fit_to_files(files: SceneFiles, img_downscale: int, *, are_reduced: bool = False) -> SceneFiles:
    """Bring a scene's description and its image files together.

    If there is a folder `images_8`, say, beside `images`, and the reduction asked for is 8, its
    files are taken. Cameras get the size that the files have, whole images being taken to be
    resampled to it. An EXIF orientation is followed only where the description's width and height
    ask for it: most tools estimate poses for pixels as they are stored.

    Args:
        files: `image_paths`, and `cameras` as the description has them, at full size.
        img_downscale: the reduction asked for.
        are_reduced: the paths are of files reduced so already.

    Raises:
        SceneError: a reduced file is missing, or a file's width and height are not in proportion
            to its camera's.
    """
    reduced = None if are_reduced else _reduced_paths(files.image_paths, img_downscale)
    paths = files.image_paths if reduced is None else reduced
    reduction = img_downscale if are_reduced or reduced is not None else 1
    headers = {path: read_header(path) for path in dict.fromkeys(paths)}
    upright, sizes, resampled, turned = [], [], [], []
    described = zip(paths, files.cameras.width.tolist(), files.cameras.height.tolist(), strict=True)
    for path, width, height in described:
        header = headers[path]
        turn, exact = _fit(path, header, width / reduction, height / reduction)
        upright.append(turn)
        sizes.append(header.upright_size if turn else header.stored_size)
        if not exact:
            resampled.append(path)
        if exact and not turn and header.orientation != 1:
            turned.append(path)
    _warn(resampled, paths, "have another size than the scene says; their cameras are scaled to it")
    _warn(
        turned, paths, "carry an EXIF orientation that does not fit the scene and is not followed"
    )
    width, height = torch.tensor(sizes).unbind(-1)
    return replace(
        files,
        image_paths=paths,
        cameras=files.cameras.resized(width, height),
        reduction=reduction,
        upright=upright,
    )


def _fit(path: Path, header: ImageHeader, width: float, height: float) -> tuple[bool, bool]:
    """Whether to turn an image upright, and whether its size is then the described one."""
    candidates = ((False, header.stored_size), (True, header.upright_size))
    for turn, size in candidates:
        # A reduced side may have been rounded up or down.
        if abs(size[0] - width) < 1.0 and abs(size[1] - height) < 1.0:
            return turn, True
    for turn, size in candidates:
        # In proportion, to a pixel of the smaller of the two.
        scale = max(size[0] / width, size[1] / height, 1.0)
        if abs(size[0] * height - size[1] * width) <= scale * max(width, height):
            return turn, False
    raise SceneError(
        f"{path}: {header.width}x{header.height} pixels as stored, and "
        "{}x{} upright, are not in proportion to the {:g}x{:g} that the scene says".format(
            *header.upright_size, width, height
        )
    )


def _reduced_paths(paths: list[Path], k: int) -> list[Path] | None:
    """The files in folders `NAME_k` for files in folders NAME, or None if there are none."""
    folders = {path.parent: path.parent.with_name(f"{path.parent.name}_{k}") for path in paths}
    if k == 1 or not all(folder.is_dir() for folder in folders.values()):
        return None
    reduced = {}
    for folder, smaller in folders.items():
        full, small = list_images(folder), list_images(smaller)
        by_stem = {path.stem: path for path in small}
        if all(path.stem in by_stem for path in paths if path.parent == folder):
            reduced.update({path: by_stem[path.stem] for path in paths if path.parent == folder})
        elif len(full) == len(small):  # renamed, as LLFF's own scenes have them
            reduced.update(zip(full, small, strict=True))
        else:
            raise SceneError(
                f"{smaller}: has {len(small)} images, and {folder.name} {len(full)}; which belong "
                "together cannot be told by their names"
            )
    return [reduced[path] for path in paths]


def _warn(some: list[Path], paths: list[Path], what: str) -> None:
    if some:
        names = shown(", ".join(path.name for path in some))
        warn_once(f"{some[0].parent}: {len(some)} of {len(paths)} images {what} ({names})")


def pinhole_cameras(
    poses: torch.Tensor, width: torch.Tensor, height: torch.Tensor, focal: torch.Tensor
) -> Cameras:
    """Cameras with square pixels and the principal point in the middle.

    Args:
        poses: [V, 3, 4].
        width, height, focal: [V].
    """
    return Cameras(
        c2w=poses.float(),
        fx=focal.float(),
        fy=focal.float(),
        cx=0.5 * width.float(),
        cy=0.5 * height.float(),
        width=width.long(),
        height=height.long(),
    )
