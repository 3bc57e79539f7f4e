"""Drawing a picture coarse first and finer when there is time.

A pass is the whole picture at some resolution. Its rays stand for pixels as large as that
resolution makes them, so a coarse pass asks coarse pyramid levels: it is smooth, not jagged, and
cheap. The first pass after a move has as many rays as the time for one frame allows, and steps
along them twice as long as training's: its pixels are larger still. The passes after it have three
times the width each, up to the full size, with steps as long as training's. A last one takes the
steps of final renders. Full-size passes come piece by piece, from the middle outwards.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from taichi_pynerf.model import PyNeRF
from taichi_pynerf.rays import view_rays
from taichi_pynerf.renderer import PyramidRenderer, Rays
from taichi_pynerf.rendering.camera_paths import farthest
from taichi_pynerf.rendering.images import fitting_chunk_size, rays_on_device, render_rays
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.layers import Layers
from taichi_pynerf.viewer.normals import surface_normals
from taichi_pynerf.viewer.pacing import RayBudget

GROWTH = 3.0  # widths of a pass and the one before it
TILE = 48  # side of a tile, pixels
FRAME_SECONDS = 1 / 13  # of a moving picture: more than 10 frames/s on a bad day too
REFRESH_SECONDS = 1.0  # for one pass over a model that changes as it trains
_WORTHWHILE = 0.5  # share of the time that has to be left to begin more: few rays take longer each
_FIRST_GUESS = 1e-5  # seconds per ray, until it is measured
_LEAST_CHUNK = 2**11  # rays
_NEARLY = 2.6  # a pass this much narrower than the best one is left out
_DRAFT_EPS = 1e-2  # transmittance at which a ray of all passes but the last ends


@dataclass(frozen=True, eq=False)
class Shot:
    """What is to be drawn. Two shots are the same if all parts are the same objects or values.

    Attributes:
        camera: from where.
        width, height: of the full picture, pixels.
        level: a fixed pyramid level instead of each sample's own, or None.
        normals: whether surface normals are wanted too.
    """

    camera: ViewCamera
    width: int
    height: int
    level: float | None = None
    normals: bool = False

    def same(self, other: Shot | None) -> bool:
        return (
            other is not None
            and self.camera is other.camera
            and (self.width, self.height) == (other.width, other.height)
            and (self.level, self.normals) == (other.level, other.normals)
        )


@dataclass(frozen=True, eq=False)
class Patch:
    """A finished part of a pass.

    Attributes:
        layers: [h, w] pixels.
        box: (left, top, right, bottom) of these in the pass's pixels.
        size: (width, height) of the pass.
        shot: what it is of.
    """

    layers: Layers
    box: tuple[int, int, int, int]
    size: tuple[int, int]
    shot: Shot


@dataclass(frozen=True)
class _Plan:
    """What a pass is to be: its (width, height), and whether it takes the finest steps."""

    size: tuple[int, int]
    fine: bool = False


class _Pass:
    """One drawing of a shot at one resolution, in pieces."""

    def __init__(self, shot: Shot, plan: _Plan, version: int, rays: Rays):
        self.shot, self.size, self.fine = shot, plan.size, plan.fine
        self.version, self.rays = version, rays
        self.full = self.size == (shot.width, shot.height)
        if self.full:
            self.kind = "fine" if self.fine else "full"
        else:
            self.kind = "preview" if GROWTH * plan.size[0] < shot.width else "coarse"
        self.tiles = list(tiles_from_the_middle(*self.size))
        self.layers = Layers.empty(self.size[1], self.size[0], shot.normals)
        self.num_done = 0  # tiles
        self.seconds = 0.0

    @property
    def finished(self) -> bool:
        return self.num_done == len(self.tiles)

    def patch(self, box: tuple[int, int, int, int]) -> Patch:
        return Patch(self.layers.crop(box), box, self.size, self.shot)

    def whole(self) -> Patch:
        return self.patch((0, 0, *self.size))


class ProgressiveRenderer:
    """Draws shots of a model as finely as the time given allows.

    Nothing here touches the model's state or any random generator: a training that is watched
    goes the way of one that is not.

    Args:
        model: the model.
        near, far: bounds of the distance along rays; from farther off the scene box is still seen.
    """

    def __init__(self, model: PyNeRF, near: float, far: float):
        self.model, self.near, self.far = model, near, far
        draft = _quicker_renderer(model, 1.0)
        self._has_finer_steps = model.config != draft.config
        self._renderers = {
            "preview": _quicker_renderer(model, 2.0),
            "coarse": draft,
            "full": draft,
            "fine": model.renderer,
        }
        self._chunk_size = fitting_chunk_size(model)
        self.budget = RayBudget(FRAME_SECONDS)
        self.shot: Shot | None = None
        self.finished: _Pass | None = None  # the last whole pass
        self._current: _Pass | None = None
        self._version = 0  # of the model
        self._training = False
        self._seconds_per_ray: dict[str, float] = {}  # of each kind of pass
        self.num_rays = 0  # drawn so far

    # ---- what to draw ---------------------------------------------------------------------

    def look(self, shot: Shot) -> bool:
        """Draw this from now on. Whether it is another shot than before."""
        if shot.same(self.shot):
            return False
        self.shot, self._current = shot, None
        return True

    def model_changed(self, training: bool) -> None:
        """The model is another one now; `training` says whether it goes on changing."""
        self._version += 1
        self._training = training

    def training_rests(self) -> None:
        """The model stays as it is: pictures are worth refining."""
        self._training = False

    @property
    def at_rest(self) -> bool:
        """Whether all is drawn, at its finest and of the model as it is."""
        return self._next_plan() is None

    @property
    def complete(self) -> bool:
        """Whether the shot is drawn at its full size, if not yet with the finest steps."""
        return (
            self.finished is not None and self.finished.full and self.shot.same(self.finished.shot)
        )

    @property
    def resolution(self) -> tuple[int, int]:
        """(width, height) of what is shown."""
        return self.finished.size if self.finished else (0, 0)

    def progress(self) -> tuple[tuple[int, int], float] | None:
        """Size of the pass in work and the share of it that is done."""
        if self._current is None:
            return None
        return self._current.size, self._current.num_done / len(self._current.tiles)

    # ---- drawing --------------------------------------------------------------------------

    def advance(self, seconds: float, refine: bool = True) -> list[Patch]:
        """Draw for about so long, at least one piece if anything is left to draw.

        The first pass of a new shot is drawn whole, however long it takes.

        Args:
            seconds: time for the pieces of refining passes.
            refine: go beyond the first pass of the shot.

        Returns:
            What was finished and is better than what there was, in the order to show it.
        """
        patches: list[Patch] = []
        started = time.perf_counter()
        while True:
            fresh = self.finished is None or not self.shot.same(self.finished.shot)
            if self._current is None:
                plan = self._next_plan()
                if plan is None or not (refine or fresh):
                    return patches
                self._current = self._begin(plan)
            left = seconds - (time.perf_counter() - started)
            if patches and left < _WORTHWHILE * seconds:
                return patches
            work = self._current
            boxes = self._draw(work, math.inf if fresh else left)
            if work.full and not fresh:
                patches += [work.patch(box) for box in boxes]
            elif work.finished:
                patches.append(work.whole())
            if work.finished:
                self.finished, self._current = work, None
                if fresh:
                    self.budget.measured(work.size[0] * work.size[1], work.seconds)
            if time.perf_counter() - started >= seconds:
                return patches

    def patches(self) -> Iterator[Patch]:
        """All that is to be seen now, coarse first: for showing it in another way."""
        if self.finished is not None:
            yield self.finished.whole()
        work = self._current
        if work is not None and work.full and self.finished is not None:
            for box in work.tiles[: work.num_done]:
                yield work.patch(box)

    def _next_plan(self) -> _Plan | None:
        """The pass that is due next; None if there is none."""
        if self.shot is None:
            return None
        if self.finished is None or not self.shot.same(self.finished.shot):
            return _Plan(self._size_for(self.budget.num_rays))
        best = self._refresh_size() if self._training else (self.shot.width, self.shot.height)
        width, height = self.finished.size
        if width < best[0]:
            return _Plan(self._size_for(width * height * GROWTH**2, best))
        if self.finished.version != self._version:
            return _Plan(best)
        if self._has_finer_steps and not (self.finished.fine or self._training):
            return _Plan(best, fine=True)
        return None

    def _refresh_size(self) -> tuple[int, int]:
        """Of a pass that keeps pace with a model in training."""
        full = (self.shot.width, self.shot.height)
        coarse = self._seconds_per_ray.get("coarse", 0.0)
        size = self._size_for(REFRESH_SECONDS / coarse) if coarse else full
        expected = full[0] * full[1] * self._seconds_per_ray.get("full", 0.0)
        if size == full and expected > 2.0 * REFRESH_SECONDS:
            size = (max(full[0] // 2, 1), max(full[1] // 2, 1))
        return size

    def _size_for(self, num_rays: float, best: tuple[int, int] | None = None) -> tuple[int, int]:
        """The size of a pass with about so many rays, in the shot's proportions."""
        full = (self.shot.width, self.shot.height)
        best = best or full
        scale = math.sqrt(num_rays / (full[0] * full[1]))
        size = (max(round(full[0] * scale), 1), max(round(full[1] * scale), 1))
        # A pass nearly as fine as the best one would cost much and show little more.
        near = _NEARLY * size[0] >= best[0] or _NEARLY * size[1] >= best[1]
        return best if near else size

    def _begin(self, plan: _Plan) -> _Pass:
        size = plan.size
        cameras = self.shot.camera.cameras(self.shot.width, self.shot.height)
        cameras = cameras.resized(torch.tensor([size[0]]), torch.tensor([size[1]]))
        far = farthest(cameras, self.model.config.aabb, self.far)
        rays = rays_on_device(view_rays(cameras, 0), self.near, far, self.model.device)
        return _Pass(self.shot, plan, self._version, rays)

    def _draw(self, work: _Pass, seconds: float) -> list[tuple[int, int, int, int]]:
        """Draw tiles for about so long, at least one; return them."""
        started = time.perf_counter()
        per_tile = TILE * TILE * self._seconds_per_ray.get(work.kind, _FIRST_GUESS)
        count = len(work.tiles)
        if seconds < math.inf:
            count = max(int(max(seconds, 0.0) / per_tile), 1)
        boxes = work.tiles[work.num_done : work.num_done + count]
        width = work.size[0]
        index = torch.cat(
            [
                (torch.arange(top, bottom)[:, None] * width + torch.arange(left, right)).view(-1)
                for left, top, right, bottom in boxes
            ]
        )
        rays = work.rays[index.to(self.model.device)]
        renderer = self._renderers[work.kind]
        # Chunks no larger than need be: a ray takes few samples a round then, and few in vain. But
        # of few rays they take so many that a round is more than the calls it is made of.
        chunk_size = min(max(len(index), _LEAST_CHUNK), self._chunk_size)
        rendered = render_rays(self.model, rays, work.shot.level, chunk_size, renderer=renderer)
        normals = surface_normals(self.model, rays, rendered) if work.shot.normals else None
        work.layers.store(index, rendered, normals)
        seconds = time.perf_counter() - started
        work.num_done += len(boxes)
        work.seconds += seconds
        self.num_rays += len(index)
        per_ray = seconds / len(index)
        known = self._seconds_per_ray.get(work.kind, per_ray)
        self._seconds_per_ray[work.kind] = known + 0.5 * (per_ray - known)
        return boxes


def _quicker_renderer(model: PyNeRF, steps: float) -> PyramidRenderer:
    """A renderer with steps of so many of training's, and with rays that end a little earlier."""
    config = model.config.replace(
        render_step=1.0, early_stop_eps=max(model.config.early_stop_eps, _DRAFT_EPS)
    )
    fused = model.renderer.fused is not None
    renderer = PyramidRenderer(
        config, model.field, model.occupancy, model.trained_levels, fused=fused
    )
    renderer.step_size *= steps
    renderer.cone_angle *= steps
    return renderer


def tiles_from_the_middle(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """(left, top, right, bottom) of tiles that cover an image, nearest to its middle first."""
    boxes = [
        (left, top, min(left + TILE, width), min(top + TILE, height))
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
    ]
    yield from sorted(
        boxes,
        key=lambda box: math.hypot(box[0] + box[2] - width, box[1] + box[3] - height),
    )
