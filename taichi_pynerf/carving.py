"""Space carving: which cells of a scene can hold anything, judged by the images' alpha.

A see-through pixel says that its whole ray is empty. Cells that fall on see-through pixels alone
in some view need never be sampled (Kutulakos and Seitz, "A Theory of Shape by Space Carving",
2000, for silhouettes alone: the visual hull). Images without alpha carve nothing.
"""

import torch
from torch.nn.functional import max_pool2d

from taichi_pynerf.evaluation import Dataset
from taichi_pynerf.scene_box import SceneBox

MAX_VIEWS = 64


@torch.no_grad()
def carve(dataset: Dataset, box: SceneBox, resolution: int) -> torch.Tensor:
    """Which cells may hold something.

    The test is conservative: a cell is carved only where everything within its projected size is
    see-through.

    Args:
        dataset: images with alpha, and their cameras; at most `MAX_VIEWS` of them are looked at.
        box: the scene box.
        resolution: cells along each axis of the unit cube.

    Returns:
        bool [resolution^3] on the CPU, x slowest.
    """
    axis = (torch.arange(resolution) + 0.5) / resolution
    grid = torch.cartesian_prod(axis, axis, axis)
    center = torch.tensor(box.center)
    possible = torch.ones(resolution**3, dtype=torch.bool)
    full_size = (dataset.scales == dataset.scales.min()).nonzero().squeeze(-1).tolist()
    for view in full_size[:: -(-len(full_size) // MAX_VIEWS)]:
        cells = possible.nonzero().squeeze(-1)
        if not cells.shape[0]:
            break
        points = (grid.index_select(0, cells) - 0.5) * box.size + center
        empty = _empty_in_view(dataset, view, points, radius=0.87 * box.size / resolution)
        possible[cells[empty]] = False
    return possible


def _empty_in_view(dataset: Dataset, view: int, points: torch.Tensor, radius: float):
    """bool [K]: balls of the radius around world points that fall on see-through pixels alone."""
    cameras, alpha = dataset.cameras, dataset.alpha(view)
    c2w = cameras.c2w[view]
    fx, fy = float(cameras.fx[view]), float(cameras.fy[view])
    focal = max(fx, fy)
    x, y, z = ((points - c2w[:, 3]) @ c2w[:, :3]).unbind(-1)
    depth = -z
    # Blocks of pixels as wide as a ball at the median depth; a look-up sees 3 x 3 of them.
    block = max(1, round(radius * focal / max(float(depth.median()), 1e-6)))
    blocks = max_pool2d(alpha[None].float(), block, ceil_mode=True)
    blocks = max_pool2d(blocks, 3, stride=1, padding=1)[0]
    fits = (depth > radius) & (radius * focal <= block * (depth - radius).clamp_min(1e-6))
    safe = depth.clamp_min(1e-6)
    column = ((x / safe * fx + cameras.cx[view]) / block).floor().long()
    row = ((cameras.cy[view] - y / safe * fy) / block).floor().long()
    inside = (column >= 1) & (column < blocks.shape[1] - 1)
    inside &= (row >= 1) & (row < blocks.shape[0] - 1) & fits
    clear = blocks[row.clamp(0, blocks.shape[0] - 1), column.clamp(0, blocks.shape[1] - 1)] == 0
    return inside & clear
