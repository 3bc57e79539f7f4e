"""Photographs of a scene: the files that hold them at the wanted size, and their orientation."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from taichi_pynerf.data.image_files import (
    SIBLINGS,
    ImageFinder,
    counted_suffixes,
    folders_of_photos,
    is_mask_name,
    is_readable,
    list_images,
    list_photos,
)
from taichi_pynerf.data.images import ImageHeader, read_header
from taichi_pynerf.data.scene_files import SceneFiles, shown, warn_once
from taichi_pynerf.errors import SceneError
from taichi_pynerf.files import is_there

LEVELS_ABOVE = 3


def tell_missing(where: Path, missing: list[str], num_all: int) -> None:
    """Warn that some of a scene's images are left out; none left is an error.

    Raises:
        SceneError: all are missing.
    """
    if len(missing) == num_all:
        raise SceneError(
            f"{where}: none of its {num_all} images is there; the first is {shown(missing[0])}"
            + unpack_hint(where if where.is_dir() else where.parent)
        )
    if missing:
        warn_once(
            f"{where}: {len(missing)} of {num_all} images are missing and left out: "
            f"{', '.join(map(shown, missing))}"
        )


def unpack_hint(folder: Path) -> str:
    """The end of a message on missing images, if they may be in an archive beside."""
    archives = sorted(folder.glob("*.zip")) + sorted(folder.glob("*.tar*"))
    return f"; {archives[0].name} is an archive: unpack it here" if archives else ""


def tell_idle(
    where: Path,
    used: Sequence[Path],
    folders: Sequence[str] = (),
    *,
    data_dir: Path,
    companions: bool = False,
) -> None:
    """Warn of images that lie beside those of a scene but are not used.

    Args:
        where: the description, for messages.
        used: its images.
        folders: names of folders to search too, if one of the images is in such a folder.
        data_dir: the scene folder. Folders above it may have such names too, and other scenes.
        companions: leave out `r_0_depth_0000.png` and the like beside `r_0.png`, as Blender writes.
    """
    tops = {path.parent for path in used}
    for path in used:
        within = itertools.takewhile(lambda parent: data_dir in parent.parents, path.parents)
        tops.update(parent for parent in within if parent.name in folders)
    known = set(used)
    for top in sorted(tops):
        if top.parent in tops:
            continue
        deep = top.name in folders
        photos = [path for path in list_photos(top, deep=deep) if not is_mask_name(path)]
        idle = [path for path in photos if path not in known]
        if companions:
            stems = {path.with_suffix("") for path in known}
            idle = [path for path in idle if not _belongs_to(path, stems)]
        unreadable = [path for path in idle if not is_readable(path)]
        idle = [path for path in idle if is_readable(path)]
        if idle:
            warn_once(
                f"{where}: {len(idle)} of {len(photos)} images in {top} are of no view and not "
                f"used ({shown(', '.join(path.name for path in idle))})"
            )
        if unreadable:
            warn_once(
                f"{where}: {len(unreadable)} of {len(photos)} images in {top} are of a kind that "
                f"is not read: {counted_suffixes(unreadable)}"
            )


def _belongs_to(path: Path, stems: set[Path]) -> bool:
    """Whether a name begins with that of one of the images `stems`, before a "_" or a "."."""
    ends = [i for i, letter in enumerate(path.stem) if letter in "_."]
    return any(path.with_name(path.stem[:end]) in stems for end in ends)


def image_folder(
    data_dir: Path, img_downscale: int, names: Sequence[str], folders: Sequence[str]
) -> tuple[Path, int]:
    """The folder of a scene's images, and the factor by which they are reduced.

    Args:
        data_dir: the scene folder.
        img_downscale: the reduction that is asked for.
        names: the images, relative to their folder; empty if any image will do.
        folders: possible folders of full-size images relative to `data_dir`, the likeliest first.

    Returns:
        The first folder that has most of the images. If there is none, the folder of reduced
        images, such as `images_8`, that is nearest to what is asked for.

    Raises:
        SceneError: no folder has any; the message lists those searched.
    """
    whole = [data_dir / folder for folder in folders]
    counts = {folder: count_present(folder, names) for folder in whole}
    best = max(counts.values(), default=0)
    for folder, count in counts.items():
        if count and count >= 0.5 * best:
            return folder, 1
    reduced = {
        folder: int(folder.name.rpartition("_")[2])
        for parent in dict.fromkeys(folder.parent for folder in whole if folder != data_dir)
        if parent.is_dir()
        for folder in sorted(parent.glob("images_*"))
        if folder.name.rpartition("_")[2].isdigit() and count_present(folder, names)
    }
    chosen = nearest_reduction(reduced.values(), img_downscale)
    if not chosen and names:
        others = {folder: count_present(folder, names) for folder in folders_of_photos(data_dir)}
        found = max(others, key=lambda folder: others[folder], default=None)
        if found is not None and others[found]:
            warn_once(
                f"{data_dir}: {others[found]} of {len(names)} images are in no usual place; those "
                f"in {found.relative_to(data_dir)} are taken"
            )
            return found, 1
    if not chosen:
        searched = ", ".join([*folders, "images_2, images_4 …"])
        what = f"none of its {len(names)} images ({names[0]}, …)" if names else "no images"
        raise SceneError(
            f"{data_dir}: {what} in any of these folders: {searched}"
            + (_above_hint(data_dir, names, folders) or unpack_hint(data_dir))
        )
    return next(folder for folder, k in reduced.items() if k == chosen), chosen


def nearest_reduction(known: Collection[int], img_downscale: int) -> int:
    """Of the reductions that there are images at, the one to use: the greatest that divides what
    is asked for, or else the least; 0 if there is none.
    """
    fitting = [k for k in known if k > 0 and img_downscale % k == 0]
    return max(fitting, default=min(known, default=0))


def _above_hint(data_dir: Path, names: Sequence[str], folders: Sequence[str]) -> str:
    """The end of a message if a folder above has the images: `scene` for `scene/sparse/0`."""
    for parent in list(data_dir.absolute().parents)[:LEVELS_ABOVE] if names else ():
        for folder in folders:
            if folder != "." and count_present(parent / folder, names):
                return f"; they are in {parent / folder}: give {parent}"
    return ""


def count_present(folder: Path, names: Sequence[str]) -> int:
    """The number of these images that a folder has."""
    if not folder.is_dir():
        return 0
    if not names:
        return len(list_images(folder))
    finder = ImageFinder(folder, allow_external_paths=True)
    return sum(finder.find(name, str(folder)) is not None for name in names)


def fit_to_files(
    files: SceneFiles, data_dir: Path, img_downscale: int, *, file_scale: int = 1
) -> SceneFiles:
    """Match a scene's description to its image files.

    If the reduction asked for is, say, 8, and there is a folder `images_8` beside `images`, its
    files are used. Cameras get the size of the files, assuming that whole images were resampled. An
    EXIF orientation is followed only if the description's width and height require it, as most
    tools estimate poses for pixels as stored.

    Args:
        files: `image_paths`, and `cameras` as described, at full size.
        data_dir: the scene folder.
        img_downscale: the reduction asked for.
        file_scale: reduction of the files, if there are none at full size.

    Raises:
        SceneError: a reduced file is missing, or a file's width and height are not in proportion
            to its camera's.
    """
    if not files.has_images:
        return replace(files, cameras=files.cameras.downscaled(img_downscale),
                       reduction=img_downscale)  # fmt: skip
    paths, reduction = files.image_paths, 1
    files = replace(files, file_scale=file_scale)
    if file_scale > 1:
        reduction = file_scale if img_downscale % file_scale == 0 else img_downscale
        if reduction != file_scale:
            warn_once(
                f"{paths[0].parent}: there are images at 1/{file_scale} of the full size alone; "
                "they are taken as they are"
            )
    else:
        reduced = _reduced_paths(paths, data_dir, img_downscale)
        if reduced is not None:
            paths, reduction, file_scale = reduced, img_downscale, img_downscale
    headers = {path: read_header(path) for path in dict.fromkeys(paths)}
    upright, sizes, resampled, turned = [], [], [], []
    described = zip(paths, files.cameras.width.tolist(), files.cameras.height.tolist(), strict=True)
    for path, width, height in described:
        header = headers[path]
        turn, exact = _fit(path, header, width / file_scale, height / file_scale)
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
    radii = files.circle_radii
    if radii is not None:
        shares = (width / files.cameras.width).tolist()
        radii = [None if r is None else r * share for r, share in zip(radii, shares, strict=True)]
    return replace(
        files,
        image_paths=paths,
        cameras=files.cameras.resized(width, height),
        reduction=reduction,
        upright=upright,
        circle_radii=radii,
    )


def _fit(path: Path, header: ImageHeader, width: float, height: float) -> tuple[bool, bool]:
    """Whether to turn an image upright, and whether it then has the described size."""
    candidates = ((False, header.stored_size), (True, header.upright_size))
    for turn, size in candidates:
        # The side of a reduced image may have been rounded up or down.
        if abs(size[0] - width) < 1.0 and abs(size[1] - height) < 1.0:
            return turn, True
    for turn, size in candidates:
        # The same proportions, to within a pixel of the smaller image.
        scale = max(size[0] / width, size[1] / height, 1.0)
        if abs(size[0] * height - size[1] * width) <= scale * max(width, height):
            return turn, False
    raise SceneError(
        f"{path}: {header.width}x{header.height} pixels as stored, and "
        "{}x{} upright, are not in proportion to the {:g}x{:g} that the scene says".format(
            *header.upright_size, width, height
        )
    )


def _reduced_paths(paths: list[Path], data_dir: Path, k: int) -> list[Path] | None:
    """The files in folders `NAME_k` for files in folders NAME, or None if there are none."""
    tops: dict[Path, Path] = {}
    for folder in {path.parent for path in paths}:
        top = _folder_with_reduced(folder, data_dir, k)
        if k == 1 or top is None:
            return None
        tops[folder] = top
    reduced = {}
    for top in set(tops.values()):
        smaller = top.with_name(f"{top.name}_{k}")
        mine = [path for path in paths if tops[path.parent] == top]
        full, small = list_images(top, deep=True), list_images(smaller, deep=True)
        by_stem = {path.relative_to(smaller).with_suffix(""): path for path in small}
        stems = {path: path.relative_to(top).with_suffix("") for path in mine}
        if all(stem in by_stem for stem in stems.values()):
            reduced.update({path: by_stem[stem] for path, stem in stems.items()})
        elif len(full) == len(small):  # renamed, as in LLFF's own scenes
            reduced.update(zip(full, small, strict=True))
        else:
            raise SceneError(
                f"{smaller}: has {len(small)} images, and {top.name} {len(full)}, and their names "
                "do not show which belong together"
            )
    return [reduced[path] for path in paths]


def _folder_with_reduced(folder: Path, data_dir: Path, k: int) -> Path | None:
    """The folder, or its nearest parent, that has a reduced folder `NAME_k` beside it.

    Only folders within the scene count, and one of images elsewhere: `walk_2` beside the scene
    `walk` is another scene.
    """
    place, scene = (Path(os.path.normpath(path.absolute())) for path in (folder, data_dir))
    if place.is_relative_to(scene):
        tops = (folder, *folder.parents)[: len(place.relative_to(scene).parts)]
    else:
        tops = (folder,) if folder.name in SIBLINGS else ()
    for top in tops:
        if is_there(reduced := top.with_name(f"{top.name}_{k}")) and reduced.is_dir():
            return top
    return None


def _warn(some: list[Path], paths: list[Path], what: str) -> None:
    if some:
        names = shown(", ".join(path.name for path in some))
        warn_once(f"{some[0].parent}: {len(some)} of {len(paths)} images {what} ({names})")
