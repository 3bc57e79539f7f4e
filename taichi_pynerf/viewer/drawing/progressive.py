"""Draws a picture coarsely first, and finer as time allows.

A pass is the whole picture at some resolution. Its rays stand for pixels of that resolution, so a
coarse pass uses coarse pyramid levels: it is smooth rather than jagged, and cheap. The first pass
after a move has as many rays as the time of one frame allows. Its steps are twice as long as in
training, as its pixels are larger still. Each following pass is three times as wide, up to full
size, with steps a quarter longer than in training. If full size takes only seconds, it comes at
once. A last pass has the steps of final renders. Full-size passes come in tiles, middle first.
"""

from __future__ import annotations

import bisect
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from taichi_pynerf.geometry.crop_box import CropBox
from taichi_pynerf.geometry.rays import Rays, view_rays
from taichi_pynerf.model.images import fitting_chunk_size, surface_normals
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.ray_rounds import RayChunks, RayRounds
from taichi_pynerf.model.renderer import PyramidRenderer
from taichi_pynerf.model.renders import Rendered
from taichi_pynerf.rendering.camera_paths import farthest
from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.drawing.layers import Layers
from taichi_pynerf.viewer.drawing.pacing import RayBudget
from taichi_pynerf.viewer.drawing.tiles import tiles_from_the_middle

GROWTH = 3.0  # ratio of the widths of a pass and the one before it
FRAME_SECONDS = 1 / 13  # of a moving picture: above 10 frames/s even on a slow machine
PREVIEW_STEPS = 2.0  # steps of the first pass, in those of training
DRAFT_STEPS = 1.25  # steps of the passes after it, likewise
DIRECT_SECONDS = 5.0  # longest full-size pass without a coarser one before it, s
ROUND_SECONDS = 0.2  # interval between checks of the input, s
PIECE_SECONDS = 0.4  # longest time from starting rays to showing their pixels, s
REFRESH_SECONDS = 1.0  # time of a pass over a model that is training, s
_WORTHWHILE = 0.5  # share of the time that must be left to start another piece
_FIRST_GUESS = 1e-5  # first guess of the time per ray, s
_LEAST_AT_ONCE = 2**11  # rays
_NEARLY = 2.6  # a pass this much narrower than the best one is left out
_DRAFT_EPS = 1e-2  # transmittance at which rays end, except in the last pass


@dataclass(frozen=True, eq=False)
class Shot:
    """What to draw. Two shots are equal if all parts are the same objects or values.

    Attributes:
        camera: the camera.
        width, height: size of the full picture, pixels.
        level: a fixed pyramid level instead of each sample's own, or None.
        normals: whether surface normals are wanted too.
        crop: a box; nothing outside of it is seen.
    """

    camera: ViewCamera
    width: int
    height: int
    level: float | None = None
    normals: bool = False
    crop: CropBox | None = None

    def same(self, other: Shot | None) -> bool:
        return (
            other is not None
            and self.camera is other.camera
            and (self.width, self.height) == (other.width, other.height)
            and (self.level, self.normals, self.crop) == (other.level, other.normals, other.crop)
        )


@dataclass(frozen=True, eq=False)
class Patch:
    """A finished part of a pass.

    Attributes:
        layers: [h, w] pixels.
        box: (left, top, right, bottom) of the layers in the pass's pixels.
        size: (width, height) of the pass.
        shot: the shot that it is part of.
    """

    layers: Layers
    box: tuple[int, int, int, int]
    size: tuple[int, int]
    shot: Shot


@dataclass(frozen=True)
class _Plan:
    """A planned pass: its (width, height), and its kind, which names its renderer."""

    size: tuple[int, int]
    kind: str


class _Pass:
    """One drawing of a shot at one resolution, in pieces.

    Args:
        shot, plan: what to draw and how.
        version: version of the model.
        rays: all rays of the picture, row by row.
        begin: starts rendering, for example from rays to a `RayRounds`.
    """

    def __init__(
        self,
        shot: Shot,
        plan: _Plan,
        version: int,
        rays: Rays,
        begin: Callable[[Rays], RayRounds | RayChunks],
    ):
        self.shot, self.size, self.kind, self.version = shot, plan.size, plan.kind, version
        self.full = plan.size == (shot.width, shot.height)
        self.tiles = list(tiles_from_the_middle(*self.size))
        width = self.size[0]
        pixels = [
            (torch.arange(top, bottom)[:, None] * width + torch.arange(left, right)).view(-1)
            for left, top, right, bottom in self.tiles
        ]
        self._ends = list(itertools.accumulate(map(len, pixels)))  # of the tiles, in pixels
        self._pixels = torch.cat(pixels)
        self._rays = rays[self._pixels.to(rays.rays_o.device)]
        self.work = begin(self._rays)
        self.layers = Layers.empty(self.size[1], self.size[0], shot.normals)
        self.num_done = 0  # tiles
        self.seconds = 0.0

    @property
    def fine(self) -> bool:
        return self.kind == "fine"

    @property
    def finished(self) -> bool:
        return self.num_done == len(self.tiles)

    def patch(self, box: tuple[int, int, int, int]) -> Patch:
        return Patch(self.layers.crop(box), box, self.size, self.shot)

    def whole(self) -> Patch:
        return self.patch((0, 0, *self.size))

    def store(self, model: PyNeRF) -> list[tuple[int, int, int, int]]:
        """Store the tiles whose rays have ended, and return them."""
        done = bisect.bisect_right(self._ends, self.work.num_done)
        boxes = self.tiles[self.num_done : done]
        if boxes:
            first = self._ends[self.num_done - 1] if self.num_done else 0
            part = slice(first, self._ends[done - 1])
            rendered = Rendered.of(self.work.sums[part])
            normals = None
            if self.shot.normals:
                normals = surface_normals(model, self._rays[part], rendered)
            self.layers.store(self._pixels[part], rendered, normals)
            self.num_done = done
        return boxes


class ProgressiveRenderer:
    """Draws shots of a model as finely as the given time allows.

    Nothing here touches the model's state or any random generator, so a training that is watched
    gives the same result as one that is not.

    Args:
        model: the model.
        near, far: bounds of the distance along rays; far is extended to include the scene box.
    """

    def __init__(self, model: PyNeRF, near: float, far: float):
        self.model, self.near, self.far = model, near, far
        draft, preview = (_quicker_renderer(model, k) for k in (DRAFT_STEPS, PREVIEW_STEPS))
        self._renderers = {
            "preview": preview,
            "coarse": draft,
            "full": draft,
            "fine": model.renderer,
        }
        self._most_at_once = fitting_chunk_size(model)
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
        """Set the shot to draw; returns whether it differs from the one before."""
        if shot.same(self.shot):
            return False
        self.shot, self._current = shot, None
        return True

    def model_changed(self, training: bool) -> None:
        """Report that the model has changed; `training` says whether it will change again."""
        self._version += 1
        self._training = training

    def training_rests(self) -> None:
        """Report that the model will not change, so that pictures are worth refining."""
        self._training = False

    @property
    def training(self) -> bool:
        """Whether the model is said to change again soon."""
        return self._training

    @property
    def at_rest(self) -> bool:
        """Whether the finest picture of the current model is complete."""
        return self._next_plan() is None

    @property
    def complete(self) -> bool:
        """Whether the shot is drawn at full size, possibly not yet with the finest steps."""
        return (
            self.finished is not None and self.finished.full and self.finished.shot.same(self.shot)
        )

    @property
    def resolution(self) -> tuple[int, int]:
        """(width, height) of the picture shown."""
        return self.finished.size if self.finished else (0, 0)

    def progress(self) -> tuple[tuple[int, int], float] | None:
        """Size of the current pass, and the fraction of it that is done."""
        if self._current is None:
            return None
        return self._current.size, self._current.num_done / len(self._current.tiles)

    # ---- drawing --------------------------------------------------------------------------

    def advance(self, seconds: float, refine: bool = True) -> list[Patch]:
        """Draw for about `seconds`, at least one piece if anything is left to draw.

        The first pass of a new shot is always completed.

        Args:
            seconds: time for refining passes.
            refine: continue after the first pass of the shot.

        Returns:
            The finished patches that improve the picture, in the order in which to show them.
        """
        patches: list[Patch] = []
        started = time.perf_counter()
        while True:
            fresh = self.finished is None or not self.finished.shot.same(self.shot)
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
        """All current patches, coarse ones first, for showing them in another mode."""
        if self.finished is not None:
            yield self.finished.whole()
        work = self._current
        if work is not None and work.full and self.finished is not None:
            for box in work.tiles[: work.num_done]:
                yield work.patch(box)

    def _next_plan(self) -> _Plan | None:
        """The next pass; None if there is none."""
        if self.shot is None:
            return None
        if self.finished is None or not self.shot.same(self.finished.shot):
            return self._plan(self._size_for(self.budget.num_rays))
        best = self._refresh_size() if self._training else self._full_size
        width, height = self.finished.size
        if width < best[0]:
            expected = best[0] * best[1] * self._seconds_per_ray.get("full", math.inf)
            if expected <= DIRECT_SECONDS:
                return self._plan(best)
            return self._plan(self._size_for(width * height * GROWTH**2, best))
        if self.finished.version != self._version:
            return self._plan(best)
        if not (self.finished.fine or self._training):
            return _Plan(best, "fine")
        return None

    def _plan(self, size: tuple[int, int]) -> _Plan:
        """A pass of this size, with suitable steps."""
        if size == self._full_size:
            return _Plan(size, "full")
        return _Plan(size, "preview" if GROWTH * size[0] < self._full_size[0] else "coarse")

    @property
    def _full_size(self) -> tuple[int, int]:
        """(width, height) of the shot."""
        assert self.shot is not None
        return self.shot.width, self.shot.height

    def _refresh_size(self) -> tuple[int, int]:
        """The size of a pass that keeps up with a model in training."""
        full = self._full_size
        coarse = self._seconds_per_ray.get("coarse", 0.0)
        size = self._size_for(REFRESH_SECONDS / coarse) if coarse else full
        expected = full[0] * full[1] * self._seconds_per_ray.get("full", 0.0)
        if size == full and expected > 2.0 * REFRESH_SECONDS:
            size = (max(full[0] // 2, 1), max(full[1] // 2, 1))
        return size

    def _size_for(self, num_rays: float, best: tuple[int, int] | None = None) -> tuple[int, int]:
        """The size of a pass with about the given number of rays, in the shot's proportions."""
        full = self._full_size
        best = best or full
        scale = math.sqrt(num_rays / (full[0] * full[1]))
        size = (max(round(full[0] * scale), 1), max(round(full[1] * scale), 1))
        # A pass almost as fine as the best one would cost much and add little.
        near = _NEARLY * size[0] >= best[0] or _NEARLY * size[1] >= best[1]
        return best if near else size

    def _begin(self, plan: _Plan) -> _Pass:
        shot = self.shot
        assert shot is not None
        cameras = shot.camera.cameras(shot.width, shot.height)
        cameras = cameras.resized(*(torch.tensor([side]) for side in plan.size))
        far = farthest(cameras, self.model.config.aabb, self.far)
        rays = view_rays(cameras.to(self.model.device), 0, (self.near, far))
        rays = rays if shot.crop is None else shot.crop.clip(rays)
        begin = self._renderers[plan.kind].begin
        begin = partial(begin, level=shot.level, at_once=self._at_once(plan.kind))
        return _Pass(shot, plan, self._version, rays, begin)

    def _draw(self, work: _Pass, seconds: float) -> list[tuple[int, int, int, int]]:
        """Draw for about `seconds`, at least one round of rays; return the finished tiles."""
        started = time.perf_counter()
        while not work.work.finished:
            work.work.advance()
            if time.perf_counter() - started >= _WORTHWHILE * seconds:
                break
        boxes = work.store(self.model)
        work.seconds += time.perf_counter() - started
        self.num_rays += sum((right - left) * (low - top) for left, top, right, low in boxes)
        if work.finished:
            per_ray = work.seconds / (work.size[0] * work.size[1])
            known = self._seconds_per_ray.get(work.kind, per_ray)
            self._seconds_per_ray[work.kind] = known + 0.5 * (per_ray - known)
        return boxes

    def _at_once(self, kind: str) -> int:
        """Rays in flight: more are faster, but tiles and input must not wait too long."""
        known = self._seconds_per_ray
        per_ray = known.get(kind) or max(known.values(), default=_FIRST_GUESS)
        return int(min(max(PIECE_SECONDS / per_ray, _LEAST_AT_ONCE), self._most_at_once))


def _quicker_renderer(model: PyNeRF, steps: float) -> PyramidRenderer:
    """A renderer with longer steps, whose rays end a little earlier."""
    config = model.config.replace(
        render_step=1.0, early_stop_eps=max(model.config.early_stop_eps, _DRAFT_EPS)
    )
    fused = model.renderer.fused is not None
    return PyramidRenderer(
        config,
        model.field,
        model.occupancy,
        model.trained_levels,
        fused=fused,
        step_scale=steps,
        proposals=model.proposals,
    )
