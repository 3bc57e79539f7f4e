"""Finding a scene's image files, and naming its images.

Descriptions come from other machines and programs: with Windows paths, another case, another
suffix, or a path from a folder that does not exist here. All formats find files through this
module.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from taichi_pynerf.data.image_kinds import RAW_SUFFIXES, SUFFIXES
from taichi_pynerf.data.scene_files import shown, warn_once
from taichi_pynerf.errors import SceneError

IMAGE_SUFFIXES = SUFFIXES
"""Suffixes of images that can be read, in lower case. A name without suffix is tried with each."""

PHOTO_SUFFIXES = (*SUFFIXES, *RAW_SUFFIXES, ".gif", ".jxl", ".jp2")
"""Suffixes of photos in lower case, readable or not."""

DYNAMIC_MASK = "dynamic_mask_"
MASK_ENDS = ("_mask", ".mask", "-mask")
"""Prefix and endings that some programs add to the name of an image to name its mask."""

SIBLINGS = (
    "images", "image", "input", "rgb", "imgs", "photos", "frames", "color", "train", "val", "test",
    "masks", "mask", "depth", "depths", "resized_images", "resized_undistorted_images",
    "resized_anon_masks", "resized_undistorted_masks",
)  # fmt: skip
"""Folders beside the scene folder that its paths may lead to, "../images/0.png". What else is there
may be anything, as in a folder of downloads."""

OTHER_THAN_PHOTOS = (
    "mask", "depth", "normal", "seg", "conf", "label", "semantic", "disp", "thumb", "preview",
)  # fmt: skip
"""Beginnings of the names of folders whose images belong to photos and have their names."""

DEEPEST, MOST_FOLDERS = 3, 100
"""Levels below a scene, and folders of a level, that are searched for images."""

MOST_NAME_BYTES = 120


class ImageFinder:
    """Finds the files that a scene's description means.

    Listings of folders are read once, so make a new finder for each reading of a scene.

    Args:
        data_dir: the folder that paths are relative to.
        folders: folders relative to it where images may be although their paths do not say so.
        root: the scene folder, if it is another one.
        allow_external_paths: accept files outside of the scene folder. By default a scene may only
            read its own folder (after following symbolic links), as scenes often come from others.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        folders: Sequence[str] = (".",),
        root: Path | None = None,
        allow_external_paths: bool = False,
    ) -> None:
        self.data_dir, self.folders = data_dir, folders
        self._allowed = allow_external_paths
        self._root = (root or data_dir).resolve()
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def find(self, file_path: str, where: str) -> Path | None:
        """The file that a description means by `file_path`.

        In each of the folders the path is tried as written, then with "/" for Windows' separator,
        as a URL's path ("%20" for a space), without spaces around it, with the suffix of an image
        added, in another case, and with the suffix of another kind of image.

        Args:
            file_path: the path as written in the description.
            where: the place in the description, for messages.

        Returns:
            The file, or None if there is none.

        Raises:
            SceneError: the path is not valid, or leads out of the scene folder.
        """
        path = self._find_named(file_path, where)
        if path is not None:
            self._check_inside(path, file_path, where)
            return path
        if _tail_of(file_path) is None or self._find_tail(file_path) is None:
            self._check_inside(self.data_dir / _posix(file_path), file_path, where)
        return None

    def find_all(
        self, file_paths: Sequence[str], wheres: Sequence[str], *, search: bool = False
    ) -> list[Path | None]:
        """`find` for all images of a description.

        A path may lead to a folder of the machine where the description was made. It then stands
        for the file in this folder that its last parts name, with a warning, unless that is also
        the file of another image.

        Args:
            file_paths, wheres: as in `find`.
            search: if none is found, search the subfolders for files with these names.

        Raises:
            SceneError: as in `find`.
        """
        paths = [self.find(*pair) for pair in zip(file_paths, wheres, strict=True)]
        tails = [
            self._find_tail(file_path) if path is None else None
            for file_path, path in zip(file_paths, paths, strict=True)
        ]
        if search and not any(paths) and not any(tails):
            tails = self._search(file_paths)
        taken = Counter(path for path in (*paths, *tails) if path is not None)
        moved = {i: tail for i, tail in enumerate(tails) if tail is not None and taken[tail] == 1}
        if moved:
            examples = [
                f"{file_paths[i]} is {tail.relative_to(self.data_dir)}" for i, tail in moved.items()
            ]
            names = shown(", ".join(examples[:2]))
            warn_once(
                f"{self.data_dir}: {len(moved)} of {len(paths)} image paths lead elsewhere; the "
                f"files with these names in this folder are taken ({names})"
            )
        for i, tail in moved.items():
            paths[i] = tail
        beside = [path for path in paths if path and not self._allowed and self._is_beside(path)]
        if beside:
            warn_once(
                f"{self.data_dir}: {len(beside)} of {len(paths)} files are not in this folder but "
                f"beside it, in {beside[0].resolve().parent}"
            )
        return paths

    def _find_named(self, file_path: str, where: str) -> Path | None:
        try:
            plain = unquote(_posix(file_path).removeprefix("file://"))  # of a URL
            for given in filter(
                None, dict.fromkeys((file_path, _posix(file_path), plain, plain.strip()))
            ):
                for folder in self.folders:
                    path = self._find_in(self.data_dir / folder, given)
                    if path is not None:
                        return path
        except (OSError, ValueError, RuntimeError):  # too long, a null byte, a loop of links
            raise SceneError(f"{where}: {shown(file_path)} is not a file path") from None
        return None

    def _find_in(self, folder: Path, given: str) -> Path | None:
        exact = folder / given
        if exact.is_file():
            return exact
        if exact.name in ("", ".."):
            return None
        for suffix in (s for small in IMAGE_SUFFIXES for s in (small, small.upper())):
            if (path := exact.with_name(exact.name + suffix)).is_file():
                return path
        if exact.is_dir():
            return None
        parent = self._folder(exact.parent)
        if parent is None:
            return None
        names, small = self._listing(parent), exact.name.casefold()
        stem = Path(small).stem if small.endswith(IMAGE_SUFFIXES) else small
        added = (start + suffix for start in (small, stem) for suffix in IMAGE_SUFFIXES)
        for candidate in (small, *added):
            for name in names.get(candidate, ()):
                if (parent / name).is_file():
                    return parent / name
        return None

    def _find_tail(self, file_path: str) -> Path | None:
        """The file in `data_dir` named by the longest possible end of a path."""
        tail = _tail_of(file_path)
        if tail is None:
            return None
        for start in range(len(tail)):
            given = "/".join(tail[start:])
            try:
                found = (self._find_in(self.data_dir / f, given) for f in self.folders)
                path = next((p for p in found if p is not None), None)
                if path is not None and path.resolve().is_relative_to(self._root):
                    return path
            except (OSError, ValueError, RuntimeError):
                return None
        return None

    def _search(self, file_paths: Sequence[str]) -> list[Path | None]:
        """The files of these names in the subfolder that has most of them."""
        names = [_posix(file_path).rpartition("/")[2] for file_path in file_paths]
        found: list[Path | None] = [None] * len(names)
        for folder in folders_of_photos(self.data_dir):
            try:
                here = [self._find_in(folder, name) if name else None for name in names]
                if not all(path.resolve().is_relative_to(self._root) for path in here if path):
                    continue
            except (OSError, ValueError, RuntimeError):  # too long, a null byte, a loop of links
                return found
            if len(here) - here.count(None) > len(found) - found.count(None):
                found = here
        return found

    def _folder(self, folder: Path) -> Path | None:
        """A folder that exists, or the one in `data_dir` whose name differs only in case."""
        if folder.is_dir():
            return folder
        if folder in (self.data_dir, folder.parent):
            return None
        parent = self._folder(folder.parent)
        if parent is None:
            return None
        names = self._listing(parent).get(folder.name.casefold(), ())
        return next((parent / name for name in names if (parent / name).is_dir()), None)

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder, keyed by their case-folded form."""
        if folder not in self._listings:
            listing: dict[str, list[str]] = {}
            for name in sorted(path.name for path in folder.iterdir()):
                listing.setdefault(name.casefold(), []).append(name)
            self._listings[folder] = listing
        return self._listings[folder]

    def _is_own(self, path: Path) -> bool:
        """Whether a path is the scene's own: in its folder, or in one of images beside it."""
        real, above = path.resolve(), self._root.parent
        if real.is_relative_to(self._root):
            return True
        if path.anchor and path.drive != self.data_dir.absolute().drive:  # of Windows
            return False
        written = self.data_dir.resolve() / os.path.relpath(path, self.data_dir)
        if not real.is_relative_to(above) or real != Path(os.path.normpath(written)):
            return False  # elsewhere, or by a link
        names = real.relative_to(above).parts
        return len(names) > 1 and re.sub(r"_\d+$", "", names[0]) in SIBLINGS

    def _is_beside(self, path: Path) -> bool:
        return not path.resolve().is_relative_to(self._root)

    def _check_inside(self, path: Path, file_path: str, where: str) -> None:
        try:
            inside = self._is_own(path)
        except (OSError, ValueError, RuntimeError):
            raise SceneError(f"{where}: {shown(file_path)} is not a file path") from None
        if not inside and not self._allowed:
            raise SceneError(
                f"{where}: {shown(file_path)} leads out of {self._root}; move the file into the "
                "folder, or load the scene with allow_external_paths (--allow_external_paths)"
            )


def list_images(folder: Path, *, deep: bool = False) -> list[Path]:
    """The readable image files of a folder, sorted by name; with `deep`, of its subfolders too.

    Masks beside their images are not included.
    """
    photos = list_photos(folder, deep=deep)
    return [path for path in photos if is_readable(path) and not is_mask_name(path)]


def list_photos(folder: Path, *, deep: bool = False) -> list[Path]:
    """The photos of a folder, sorted by name, of kinds that can be read or not."""
    if not folder.is_dir():
        return []
    paths = folder.rglob("*") if deep else folder.iterdir()
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in PHOTO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name, without hidden ones; none if it cannot be read."""
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[:1] not in (".", "_"))
    except OSError:
        return []


def folders_of_photos(folder: Path) -> list[Path]:
    """Subfolders that may hold photos, those near the top first; none by links."""
    found: list[Path] = []
    level = [folder]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in subfolders(outer)[:MOST_FOLDERS]
            if not inner.is_symlink() and not inner.name.lower().startswith(OTHER_THAN_PHOTOS)
        ][:MOST_FOLDERS]
        found += level
    return found


def is_readable(path: Path) -> bool:
    """Whether a file has the suffix of an image that can be read."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_mask_name(path: Path) -> bool:
    """Whether a file beside images has the name of a mask."""
    return path.name.startswith(DYNAMIC_MASK) or path.stem.endswith(MASK_ENDS)


def counted_suffixes(paths: Iterable[Path]) -> str:
    """The number of files of each kind, as "40 .heic, 2 .gif"."""
    counts = Counter(path.suffix.lower() or "without suffix" for path in paths)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())


def image_names(file_paths: Sequence[str]) -> list[str]:
    """Names for images, used for the files of their renders: safe and all different.

    A name is the file's name without folders and suffix; folders are included if names would
    otherwise be equal. No name has a separator, begins with a dot, or is longer than a file system
    allows. Letters that some system refuses become "_". Names that are still equal, or differ only
    in case, are numbered.
    """
    parts = [_name_parts(file_path) for file_path in file_paths]
    names = [_safe_name(part[-1:]) for part in parts]
    if len({name.casefold() for name in names}) < len(names):
        columns = zip(*(part[:-1] for part in parts), strict=False)
        common = len(list(itertools.takewhile(lambda column: len(set(column)) == 1, columns)))
        names = [_safe_name(part[common:]) for part in parts]
    wanted = Counter(name.casefold() for name in names)
    used: set[str] = set()
    unique = []
    for name in names:
        number, candidate = 1, name
        while candidate.casefold() in used or (number > 1 and candidate.casefold() in wanted):
            number += 1
            candidate = f"{name}_{number}"
        used.add(candidate.casefold())
        unique.append(candidate)
    return unique


def _posix(file_path: str) -> str:
    """A path with "/" between its parts; Windows allows both separators."""
    return file_path.replace("\\", "/")


def _tail_of(file_path: str) -> list[str] | None:
    """The last parts of a path that leads out of the folder; None for a path that does not."""
    if file_path.startswith("file://"):
        file_path = unquote(file_path.removeprefix("file://"))
        file_path = file_path.removeprefix("/") if re.match(r"/[A-Za-z]:", file_path) else file_path
    parts = [part for part in _posix(file_path).split("/") if part not in ("", ".")]
    outside = _posix(file_path).startswith("/") or ".." in parts
    if re.match(r"[A-Za-z]:", file_path):
        outside, parts = True, parts[1:] if len(parts[0]) == 2 else [parts[0][2:], *parts[1:]]
    if not outside or not parts or parts[-1] == ".." or "\0" in file_path:
        return None
    last_up = max((i for i, part in enumerate(parts) if part == ".."), default=-1)
    return parts[last_up + 1 :]


def _name_parts(file_path: str) -> list[str]:
    parts = [part for part in _posix(file_path).split("/") if part not in ("", ".", "..")]
    if not parts:
        return ["image"]
    last = PurePosixPath(parts[-1])
    stem = last.stem if last.suffix.lower() in PHOTO_SUFFIXES else last.name
    return [*parts[:-1], stem]


def _safe_name(parts: Sequence[str]) -> str:
    name = re.sub(r'[\x00-\x1f\x7f<>:"|?*\\/\ud800-\udfff]', "_", "_".join(parts))
    name = name.lstrip(".").rstrip(". ") or "image"
    while len(name.encode()) > MOST_NAME_BYTES:
        name = name[1:]
    if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name):
        name = f"_{name}"
    return name
