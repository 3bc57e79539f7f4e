"""The description of a scene, all splits together, and the making of one split from it.

The reader of a format returns a `Description` in the coordinates of the files, in float64. This
file does what follows for every format: one transform for the whole scene, the box, the bounds, the
split of images, the masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from taichi_pynerf.data.aim import box_where_cameras_look, looks_away
from taichi_pynerf.data.formats.lenses import Lens, cameras_from_lenses
from taichi_pynerf.data.formats.photos import fit_to_files
from taichi_pynerf.data.formats.poses import far_side, near_and_far
from taichi_pynerf.data.masks import find_masks
from taichi_pynerf.data.placement import (
    FROM_CAMERAS,
    MAX_COORDINATE,
    Placement,
    SceneTransform,
    transform_from_poses,
)
from taichi_pynerf.data.scene_files import LoadOptions, SceneFiles, warn_once
from taichi_pynerf.errors import SceneError

_T = TypeVar("_T")

HELD_OUT_EVERY = 8
"""One image in so many is for testing where a format has no splits, as is usual in the field."""

REMOTE = 1000.0
"""Distance of cameras from the origin, in half sides of the scene box, beyond which coordinates
count as georeferenced, or as another program's."""


@dataclass(frozen=True, eq=False)
class Description:
    """All views of a scene as its files describe them.

    Attributes:
        data_dir: the scene folder.
        origin: the file or folder of the description, for messages.
        names: V names, all different within a split.
        image_paths: V files; None for a pose without an image.
        poses: [V, 3, 4] float64 camera-to-world poses in OpenGL axes, in the files' coordinates.
        lenses: V lenses, for the images at full size.
        splits: the indices of the views of each split.
        placement: how the scene is placed unless the user says otherwise; complete.
        unbounded: whether there is something outside of the scene box too.
        near, far: least and greatest distance that can hold anything, in the files' units; None
            derives them from cameras and box.
        points: [K, 3] float64 points on surfaces, or None if the format has none.
        transform: replaces the one made from `placement`, unless the user asks for a placement.
        applied: [3, 4] rigid transform that was applied to the files' coordinates before, if any.
        applied_scale: factor that was applied to them after it.
        mask_paths: V masks that the description names; None where it names none.
        circle_radii: V radii of image circles in pixels at full size; None for a whole image.
        depth_paths: V depth images; None where there is none.
        depth_units: V factors from values of the depth images to units of the files' coordinates.
        sightings: V arrays float64 [K, 3] of points that an image sees, or None: their place in it
            as shares of its width and height, and their depth in the files' units.
        fits_files: bring cameras to the size of the image files (`fit_to_files`). Otherwise files
            have the size of their cameras, and follow their EXIF orientation.
        file_scale: reduction of the files, if there are none at full size.
        has_usual_box: the files do not give a box, and the format's scenes usually lie in this
            one. If the cameras look elsewhere, the scene is moved into the box.
        own_splits: the splits are the scene's own, each in its own file or object.
        scales, pixel_weights: as in `SceneFiles`.
    """

    data_dir: Path
    origin: Path
    names: list[str]
    image_paths: Sequence[Path | None]
    poses: np.ndarray
    lenses: list[Lens]
    splits: dict[str, list[int]]
    placement: Placement
    unbounded: bool
    near: float | None = None
    far: float | None = None
    points: np.ndarray | None = None
    transform: SceneTransform | None = None
    applied: np.ndarray | None = None
    applied_scale: float = 1.0
    mask_paths: Sequence[Path | None] | None = None
    circle_radii: list[float | None] | None = None
    depth_paths: Sequence[Path | None] | None = None
    depth_units: Sequence[float] | None = None
    sightings: Sequence[np.ndarray | None] | None = None
    fits_files: bool = True
    file_scale: int = 1
    has_usual_box: bool = False
    own_splits: bool = False
    scales: torch.Tensor | None = None
    pixel_weights: torch.Tensor | None = None

    def split_names(self, *, with_images: bool = True) -> list[str]:
        """The splits that have images, or without `with_images` those that only have poses."""
        return [
            name
            for name, views in self.splits.items()
            if views and any(self.image_paths[i] is not None for i in views) == with_images
        ]

    def held_out(self, every: int | None) -> Description:
        """This description with every N-th image held out; 0 holds out none, None changes nothing.

        Raises:
            SceneError: the scene has its own splits, or nothing would be left to train on.
        """
        if every is None:
            return self
        present = self.split_names()
        if self.own_splits and len(present) > 1:
            raise SceneError(
                f"{self.origin}: --holdout {every}: this scene comes with splits of its own, "
                f"{', '.join(present)}: leave the flag out"
            )
        if every == 1:
            raise SceneError(f"{self.origin}: --holdout 1 would leave no image to train on")
        views = sorted({i for name in present for i in self.splits[name]})
        return replace(self, splits=hold_out(views, every))


def hold_out(views: list[int], every: int) -> dict[str, list[int]]:
    """Splits where every N-th of `views`, from the first on, is both in "test" and in "val".

    A single view is for training. With 0 all are.
    """
    if every == 0 or len(views) < 2:
        return {"train": list(views)}
    held = views[::every]
    return {"test": held, "train": sorted(set(views) - set(held)), "val": held}


class Stand(NamedTuple):
    """The placement of a scene in its coordinates.

    Attributes:
        transform: transform from the files' coordinates to the scene's.
        box: the scene box.
        unbounded: whether there is something outside of the box too.
        is_usual: the format's bounds hold; false if the scene was moved to where cameras look.
    """

    transform: SceneTransform
    box: tuple[float, ...]
    unbounded: bool
    is_usual: bool = True


def files_of(description: Description, split: str, options: LoadOptions) -> SceneFiles:
    """One split of a scene, placed as the user asks, or as its format does.

    Raises:
        SceneError: there is no such split, or the placement or an image does not fit.
    """
    description = description.held_out(options.holdout)
    indices = description.splits.get(split)
    if not indices:
        known = [name for name, views in description.splits.items() if views]
        raise SceneError(
            f"{description.data_dir}: there is no split {split!r}; splits in this folder: "
            f"{', '.join(known) or 'none'}"
        )
    masks = find_masks(description.data_dir, description.image_paths, description.mask_paths)
    if split in description.split_names():
        indices = [i for i in indices if description.image_paths[i] is not None]
    stand = standing(description, options.placement)
    poses = stand.transform.apply_to_poses(description.poses)
    near, far = _bounds(description, stand, poses)
    transform = stand.transform
    if description.applied is not None:
        transform = transform.after(description.applied, description.applied_scale)
    scales, weights = description.scales, description.pixel_weights

    def chosen(values: Sequence[_T]) -> list[_T]:
        return [values[i] for i in indices]

    radii, units = description.circle_radii, description.depth_units
    sightings = None
    if description.sightings is not None:
        in_units = np.array([1.0, 1.0, transform.scale])
        sightings = [None if x is None else x * in_units for x in chosen(description.sightings)]
    files = SceneFiles(
        image_paths=[path for path in chosen(description.image_paths) if path is not None],
        cameras=cameras_from_lenses(poses[indices], chosen(description.lenses)),
        names=chosen(description.names),
        near=near,
        far=far,
        aabb=stand.box,
        split=split,
        unbounded=stand.unbounded,
        transform=transform,
        mask_paths=None if masks is None else chosen(masks),
        circle_radii=None if radii is None else chosen(radii),
        depth_paths=None if description.depth_paths is None else chosen(description.depth_paths),
        depth_units=None if units is None else [x * transform.scale for x in chosen(units)],
        sightings=sightings,
        scales=None if scales is None else scales[indices],
        pixel_weights=None if weights is None else weights[indices],
    )
    if not description.fits_files:
        return files
    return fit_to_files(
        files, description.data_dir, options.img_downscale, file_scale=description.file_scale
    )


def standing(description: Description, asked: Placement) -> Stand:
    """The one transform and box of a scene, for all of its splits.

    If the format keeps the files' coordinates, they stay if the cameras look into its box. If the
    cameras look elsewhere and the user does not ask for a placement, the scene is moved to where
    they look, with a warning.

    Raises:
        SceneError: the cameras would be too far from the origin.
    """
    placement = asked.or_else(description.placement)
    box, unbounded = placement.box(), description.unbounded
    own = (asked.orientation, asked.center, asked.auto_scale) == (None, None, None)
    if own and description.transform is not None:
        return Stand(description.transform, box, unbounded)
    if asked == Placement() and _keeps_coordinates(placement):
        moved = _where_cameras_look(description, placement)
        if moved is not None:
            return moved
    transform = transform_from_poses(description.poses, placement, description.points)
    reach = np.abs(transform.apply(description.poses[:, :, 3])).max()
    if reach > MAX_COORDINATE:
        raise SceneError(
            f"{description.origin}: cameras stand {reach:.3g} from the origin of the scene, too "
            "far for 32 bits: leave the placement flags out, or give --center poses --auto_scale"
        )
    return Stand(transform, box, unbounded)


def _keeps_coordinates(placement: Placement) -> bool:
    """Whether the scene keeps the files' coordinates."""
    return (placement.orientation, placement.center) == ("none", "none") and (
        not placement.auto_scale
    )


def _where_cameras_look(description: Description, placement: Placement) -> Stand | None:
    """The scene moved to where its cameras look; None if they look into its box."""
    box = placement.box()
    seen = [i for name in description.split_names() for i in description.splits[name]]
    seen = [i for i in dict.fromkeys(seen) if description.image_paths[i] is not None]
    poses, lenses = description.poses[seen], [description.lenses[i] for i in seen]
    away = looks_away(poses, box)
    if not len(seen) or away.mean() <= 0.5:
        return None
    half = 0.5 * max(high - low for low, high in zip(box[:3], box[3:], strict=True))
    is_remote = np.abs(poses[:, :, 3]).min(axis=0).max() > REMOTE * half
    if not (description.has_usual_box or is_remote):
        return None
    transform = box_where_cameras_look(poses, lenses, half)
    if transform is None:
        return None
    what = f"{away.sum()} of {len(seen)} cameras do not look into the box " + " ".join(
        f"{value:g}" for value in box
    )
    if description.unbounded:
        placement = replace(FROM_CAMERAS, orientation="none", center="focus")
        transform = transform_from_poses(description.poses, placement, None)
        half = 1.0
    centre = " ".join(f"{value:.6g}" for value in transform.undo(np.zeros(3)))
    warn_once(
        f"{description.origin}: {what}; the scene is moved to where they look: {centre} becomes "
        f"the origin, and lengths are multiplied by {transform.scale:.4g} (--aabb or --scene_scale "
        "gives a box in the files' own coordinates)"
    )
    return Stand(transform, (-half,) * 3 + (half,) * 3, description.unbounded, is_usual=False)


def _bounds(description: Description, stand: Stand, poses: np.ndarray) -> tuple[float, float]:
    """Near and far, in the scene's units."""
    near, far = near_and_far(poses, stand.box)
    if not stand.unbounded:
        far = far_side(poses, stand.box)
    if stand.is_usual and description.near is not None:
        near = description.near * stand.transform.scale
    if stand.is_usual and description.far is not None:
        far = description.far * stand.transform.scale
    return near, far
