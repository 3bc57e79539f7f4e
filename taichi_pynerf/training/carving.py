"""Which cells of a scene can hold anything, judged by the images' alpha and by the cameras.

The whole ray of a transparent pixel is empty. So a cell that some view shows only as transparent
pixels need never be sampled. This is the visual hull: space carving (Kutulakos and Seitz, "A Theory
of Shape by Space Carving", 2000) by silhouettes alone. Images without alpha carve nothing.

In an unbounded scene no picture shows most of space. Nothing is learned there, so these cells are
ruled out too, as in instant-ngp.
"""

import math

import torch
from torch.nn.functional import max_pool2d

from taichi_pynerf.data.scene_files import finest_views
from taichi_pynerf.data.training_images import SightedImages, TrainingImages
from taichi_pynerf.geometry.cameras import Cameras
from taichi_pynerf.geometry.rays import generate_rays
from taichi_pynerf.geometry.scene_box import SceneBox

NEAREST_SHARE = 0.01  # of the points that a view sees, which may be nearer than all it shows
NEAR_MARGIN = 0.75  # what lies nearer to a camera than this share of what it shows is close to it
LEAST_POINTS = 50  # that a view must see, for what is close to it to be known
MAX_VIEWS = 64  # views that carve; more of them would remove little and take longer


@torch.no_grad()
def possible_cells(
    dataset: TrainingImages, box: SceneBox, resolution: int, use_alpha: bool = True
) -> torch.Tensor:
    """Which cells of the occupancy grid may hold something.

    Args:
        dataset: training images and their cameras.
        box: the scene box, of K cascades if it is unbounded.
        resolution: cells along each axis of a cascade.
        use_alpha: carve by the images' alpha.

    Returns:
        bool [K * resolution^3] on the CPU, cascade by cascade, x slowest.
    """
    if not box.unbounded:
        possible = _cells_within(box, resolution)
        return possible & carve(dataset, box, resolution) if use_alpha else possible
    cascades = []
    for k in range(box.num_cascades):
        possible = seen_cells(dataset, box.cascade(k), resolution)
        if k > 0:  # the inner half is the finer cascades'
            inner = slice(resolution // 4, 3 * resolution // 4)
            possible.view(resolution, resolution, resolution)[inner, inner, inner] = False
        if use_alpha:
            possible &= carve(dataset, box.cascade(k), resolution)
        cascades.append(possible)
    return torch.cat(cascades)


def _cells_within(box: SceneBox, resolution: int) -> torch.Tensor:
    """Which cells of the cube [resolution^3] reach into a box that is no cube, or almost.

    No ray goes on outside, so that nothing would be learned there. Its last step may begin inside
    and have its middle beyond: hence two radii.
    """
    centers, radius = _cell_balls(box, resolution)
    low, high = (torch.tensor(box.aabb[i : i + 3]) for i in (0, 3))
    return ((centers > low - 2 * radius) & (centers < high + 2 * radius)).all(-1)


@torch.no_grad()
def seen_cells(dataset: TrainingImages, box: SceneBox, resolution: int) -> torch.Tensor:
    """Which cells reach into some view, between the dataset's near and far.

    The test is conservative: it compares the ball around a cell with the planes through the
    outermost rays of a view.

    Args:
        dataset: cameras, near and far.
        box: the cube of cells.
        resolution: cells along each axis of it.

    Returns:
        bool [resolution^3] on the CPU, x slowest.
    """
    centers, radius = _cell_balls(box, resolution)
    seen = torch.zeros(resolution**3, dtype=torch.bool)
    for view in range(len(dataset)):
        cells = (~seen).nonzero().squeeze(-1)
        seen[cells[_in_view(dataset, view, centers.index_select(0, cells), radius)]] = True
    return seen


def _cell_balls(box: SceneBox, resolution: int) -> tuple[torch.Tensor, float]:
    """The balls around a cube's cells: centres [resolution^3, 3] and radius, world units."""
    axis = (torch.arange(resolution) + 0.5) / resolution
    grid = torch.cartesian_prod(axis, axis, axis)
    return (grid - 0.5) * box.size + torch.tensor(box.center), 0.87 * box.size / resolution


def _in_view(
    dataset: TrainingImages, view: int, centers: torch.Tensor, radius: float
) -> torch.Tensor:
    """bool [C]: which balls reach into a view."""
    c2w = dataset.cameras.c2w[view]
    offsets = centers - c2w[:, 3]
    distance = offsets.norm(dim=-1)
    inside = (distance >= dataset.near - radius) & (distance <= dataset.far + radius)
    slopes = _outermost_slopes(dataset, view)
    if slopes is None:
        return inside
    right, up, back = (offsets @ c2w[:, :3]).unbind(-1)
    depth = -back
    inside &= depth >= -radius
    for along, (low, high) in zip((right, up), slopes, strict=True):
        inside &= along - low * depth >= -radius * math.hypot(1, low)
        inside &= high * depth - along >= -radius * math.hypot(1, high)
    return inside


def _outermost_slopes(dataset: TrainingImages, view: int) -> list[tuple[float, float]] | None:
    """Least and greatest x / depth and y / depth of a view's rays, found along its border.

    None if the view is so wide that some of its rays do not point forwards.
    """
    cameras = dataset.cameras
    width, height = int(cameras.width[view]), int(cameras.height[view])
    x, y = torch.arange(width), torch.arange(height)
    pixel_x = torch.cat([x, x, torch.zeros_like(y), torch.full_like(y, width - 1)])
    pixel_y = torch.cat([torch.zeros_like(x), torch.full_like(x, height - 1), y, y])
    views = torch.full_like(pixel_x, view)
    rays = generate_rays(cameras, views, pixel_x, pixel_y)
    right, up, back = (rays.rays_d @ cameras.c2w[view][:, :3]).unbind(-1)
    if back.max() > -0.05:
        return None
    return [(float(v.min()), float(v.max())) for v in (right / -back, up / -back)]


@torch.no_grad()
def close_to_cameras(
    dataset: SightedImages, box: SceneBox, resolution: int, min_views: int
) -> torch.Tensor | None:
    """Which cells of the field's cube lie close to a camera, and are seen by few views.

    What one view alone sees just before it is not held by any other: it may as well be a floater
    that paints the photograph on the lens. Sparse points tell from where on a view shows something.
    A cell within three quarters of that distance of a camera may hold something only if it lies
    farther from another camera that sees it than such a distance, or if enough views see it.

    Args:
        dataset: cameras, and the sparse points that their images see.
        box: the box of an unbounded scene.
        resolution: cells along each axis of the cube of field coordinates.
        min_views: how many views are enough.

    Returns:
        bool [resolution^3] on the CPU, x slowest; None if no view sees enough sparse points.
    """
    views, nearest = _nearest_shown(dataset)
    if not views:
        return None
    axis = (torch.arange(resolution) + 0.5) / resolution
    points = box.field_to_world(torch.cartesian_prod(axis, axis, axis))
    positions = dataset.cameras.c2w[:, :, 3]
    close = torch.zeros(len(points), dtype=torch.bool)
    for view, distance in nearest.items():
        close |= (points - positions[view]).norm(dim=-1) < NEAR_MARGIN * distance
    cells = close.nonzero().squeeze(-1)
    num_seen = torch.zeros(len(cells), dtype=torch.int64)
    for view in views:
        open_cells = (num_seen < min_views).nonzero().squeeze(-1)
        seen, depth = _seen_by(dataset, view, points[cells[open_cells]])
        num_seen[open_cells[seen & (depth > dataset.near)]] += 1
        if view in nearest:
            num_seen[open_cells[seen & (depth > NEAR_MARGIN * nearest[view])]] = min_views
    close[cells[num_seen >= min_views]] = False
    return close


def _nearest_shown(dataset: SightedImages) -> tuple[list[int], dict[int, float]]:
    """The views at full size, and from which distance on they show something, where it is known."""
    views = finest_views(dataset.scales)
    sightings, nearest = dataset.sightings, {}
    if sightings is not None:
        for view in views:
            depths = sightings.depths[sightings.views == view]
            if len(depths) >= LEAST_POINTS:
                nearest[view] = float(depths.quantile(NEAREST_SHARE))
    return views if nearest else [], nearest


def _seen_by(
    dataset: SightedImages, view: int, points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which world points [C, 3] a view shows, bool [C], and their depths there [C]."""
    cameras = dataset.cameras
    pixels, depth = cameras.project(view, points)
    size = torch.stack([cameras.width[view], cameras.height[view]])
    return ((pixels >= 0) & (pixels < size)).all(-1) & (depth > 0), depth


@torch.no_grad()
def carve(dataset: TrainingImages, box: SceneBox, resolution: int) -> torch.Tensor:
    """Which cells may hold something, judged by the images' alpha.

    The test is conservative: a cell is carved only if everything within its projected size is
    transparent.

    Args:
        dataset: images with alpha, and their cameras; at most about `MAX_VIEWS` of them are used.
        box: the scene box.
        resolution: cells along each axis of the unit cube.

    Returns:
        bool [resolution^3] on the CPU, x slowest.
    """
    centers, radius = _cell_balls(box, resolution)
    possible = torch.ones(resolution**3, dtype=torch.bool)
    if not dataset.has_alpha:
        return possible
    full_size = finest_views(dataset.scales)
    for view in full_size[:: -(-len(full_size) // MAX_VIEWS)]:
        if bool((dataset.alpha(view) > 0).all()):
            continue
        cells = possible.nonzero().squeeze(-1)
        if not cells.shape[0]:
            break
        empty = _empty_in_view(dataset, view, centers.index_select(0, cells), radius)
        possible[cells[empty]] = False
    return possible


def _empty_in_view(
    dataset: TrainingImages, view: int, points: torch.Tensor, radius: float
) -> torch.Tensor:
    """bool [K]: which balls, around K world points, fall on transparent pixels alone."""
    cameras, alpha, mask = dataset.cameras, dataset.alpha(view), dataset.mask(view)
    if mask is not None:  # nothing is known of masked pixels, so they carve nothing
        alpha = alpha.masked_fill(~mask, 255)
    pixels, depth = cameras.project(view, points)
    reach = reach_in_view(cameras, view, points, pixels, depth, radius)
    # Blocks of pixels as wide as the median ball; a look-up covers 3 x 3 blocks.
    block = max(1, round(float(reach.nanmedian().nan_to_num(1.0, 1.0, 1.0))))
    blocks = max_pool2d(alpha[None].float(), block, ceil_mode=True)
    blocks = max_pool2d(blocks, 3, stride=1, padding=1)[0]
    # Points that the lens cannot see are NaN, so every comparison with them is false.
    column, row = (pixels / block).floor().unbind(-1)
    inside = (column >= 1) & (column < blocks.shape[1] - 1) & (reach <= block)
    inside &= (row >= 1) & (row < blocks.shape[0] - 1) & (depth > radius)
    column = column.where(inside, 0).long()
    row = row.where(inside, 0).long()
    return inside & (blocks[row, column] == 0)


def reach_in_view(
    cameras: Cameras,
    view: int,
    points: torch.Tensor,
    pixels: torch.Tensor,
    depth: torch.Tensor,
    radius: float,
) -> torch.Tensor:
    """[K] greatest distance from the projected centre of a ball to its projected border, pixels."""
    nearest = (depth - radius).clamp_min(1e-6)
    if cameras.is_orthographic(view):
        return torch.full_like(depth, radius * float(max(cameras.fx[view], cameras.fy[view])))
    if cameras.is_panorama(view):
        # Meridians meet at the poles, so a ball there covers many columns, and at a pole all.
        latitude = (cameras.cy[view] - pixels[:, 1]).abs() / cameras.fy[view]
        cosine = (latitude + radius / nearest).clamp_max(math.pi / 2).cos()
        return radius * float(max(cameras.fx[view], cameras.fy[view])) / (nearest * cosine)
    if cameras.distortion is None and cameras.fisheye is None:
        # The ball is a cone of half-angle `half` around a ray; its border away from the axis is
        # the farthest. A cone that reaches 90 degrees from the axis has no border there.
        focal = torch.stack([cameras.fx[view], cameras.fy[view]])
        center = torch.stack([cameras.cx[view], cameras.cy[view]])
        slope = ((pixels - center) / focal).norm(dim=-1)
        distance = depth.clamp_min(1e-6) * torch.hypot(slope, torch.ones_like(slope))
        half = (radius / distance).clamp_max(1.0).asin()
        border = slope.atan() + half
        reach = float(focal.max()) * (border.tan() - slope)
        return reach.masked_fill(border >= 0.499 * math.pi, math.inf)
    # The Frobenius norm of the projection's Jacobian bounds the stretch in every direction.
    axes = cameras.c2w[view].T[:3]
    shifts = [cameras.project(view, points + radius * axis)[0] - pixels for axis in axes]
    return torch.cat(shifts, dim=-1).norm(dim=-1) * depth / nearest
