"""Camera paths: poses for the frames of a film, as pure functions of other poses.

Poses are [F, 3, 4] float32, camera-to-world, in OpenGL axes.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from taichi_pynerf.data.placement import Placement, focus_point, transform_from_poses
from taichi_pynerf.geometry.cameras import Cameras, look_at
from taichi_pynerf.rendering.pose_interpolation import interpolate_poses, round_trip

PATHS = ("spiral", "orbit", "interpolate", "zoom")
_FORWARD_FACING = 0.7  # least length of the mean view direction for "facing forward"
_TURNS = 2  # turns of a spiral
_ZOOM = (6.0, 0.7)  # distances of a zoom's ends, in mean distances of the training cameras
DEFAULT_ANGLE = math.radians(60)  # vertical angle of view in place of a panorama's
_FRAMES_PER_KEY = 12  # frames from one training camera of a path to the next


def scene_up(poses: torch.Tensor) -> torch.Tensor:
    """The vertical of a scene, a unit vector [3], from the cameras [V, 3, 4] that saw it.

    It is the direction most nearly perpendicular to the cameras' horizontal axes. If all cameras
    look the same way, it is the mean of their up axes.
    """
    placement = Placement(orientation="vertical", center="none", auto_scale=False)
    rotation = transform_from_poses(poses.double().numpy(), placement).matrix[:, :3]
    return torch.from_numpy(rotation[2].copy())


def camera_path(kind: str, poses: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Poses [F, 3, 4] of a path, laid out around the training cameras.

    Args:
        kind: one of `PATHS`.
        poses: [V, 3, 4] poses of the training cameras.
        num_frames: F.

    Raises:
        ValueError: no such kind, no poses, or fewer than 1 frame.
    """
    if kind not in PATHS:
        raise ValueError(f"a path is one of {', '.join(PATHS)}, not {kind!r}")
    if len(poses) == 0 or num_frames < 1:
        raise ValueError(f"a path needs cameras and frames, not {len(poses)} and {num_frames}")
    if kind == "spiral":
        forward = poses[:, :, 2].double().mean(0).norm() > _FORWARD_FACING
        return spiral(poses, num_frames) if forward else winding_orbit(poses, num_frames)
    if kind == "interpolate":
        keys = _spread(tour(poses), max(2, num_frames // _FRAMES_PER_KEY))
        return interpolate_poses(poses[keys], num_frames)
    return {"orbit": orbit, "zoom": zoom}[kind](poses, num_frames)


def orbit(poses: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Once around what the cameras look at, at their mean distance and elevation."""
    center, up = _center(poses), scene_up(poses)
    offsets = poses[:, :, 3].double() - center
    distance = offsets.norm(dim=-1).mean()
    height = ((offsets @ up) / offsets.norm(dim=-1).clamp_min(1e-9)).mean() * distance
    return _around(center, up, poses, distance.expand(num_frames), height.expand(num_frames), 1)


def winding_orbit(poses: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Around what the cameras look at, winding from their lowest elevation to their highest."""
    center, up = _center(poses), scene_up(poses)
    offsets = poses[:, :, 3].double() - center
    distance = offsets.norm(dim=-1).mean()
    sines = (offsets @ up) / offsets.norm(dim=-1).clamp_min(1e-9)
    low, high = sines.quantile(0.1).asin(), sines.quantile(0.9).clamp(max=0.97).asin()
    share = torch.linspace(0, 1, num_frames, dtype=torch.float64)
    height = distance * torch.lerp(low, high, share).sin()
    return _around(center, up, poses, distance.expand(num_frames), height, _TURNS)


def spiral(poses: torch.Tensor, num_frames: int) -> torch.Tensor:
    """The path of LLFF (Mildenhall et al. 2019) for cameras that all look the same way.

    Two turns around the mean camera, as wide as the spread of most cameras, moving back and forth,
    with the view fixed on a point in front of them.
    """
    up, positions = scene_up(poses), poses[:, :, 3].double()
    middle, backward = positions.mean(0), poses[:, :, 2].double().mean(0)
    frame = look_at(middle, middle - backward, up).double()[:, :3]
    radii = ((positions - middle) @ frame).abs().quantile(0.9, dim=0)
    # The focus is where the axes meet, if that is in front of the cameras.
    ahead = -((_center(poses) - middle) @ frame[:, 2])
    ahead = ahead if ahead > 2 * radii.max() else 5 * radii.max().clamp_min(1e-3)
    target = middle - ahead * frame[:, 2]
    angle = 2 * math.pi * _TURNS * round_trip(num_frames)
    steps = torch.stack([angle.cos(), angle.sin(), (0.5 * angle).sin()], -1) * radii
    eyes = middle + steps @ frame.T
    return torch.stack([look_at(eye, target, up) for eye in eyes])


def zoom(poses: torch.Tensor, num_frames: int) -> torch.Tensor:
    """A dolly towards what the cameras look at, from far away to closer than they were.

    Each frame is closer by the same factor, so footprints pass through all levels evenly.
    """
    center, up = _center(poses), scene_up(poses)
    offsets = poses[:, :, 3].double() - center
    distance = offsets.norm(dim=-1).mean()
    # Approach from the training camera of median elevation.
    elevation = (offsets @ up) / offsets.norm(dim=-1).clamp_min(1e-9)
    side = offsets[elevation.argsort()[len(poses) // 2]]
    side = side / side.norm().clamp_min(1e-9)
    far, near = (math.log(factor) for factor in _ZOOM)
    factors = torch.linspace(far, near, num_frames, dtype=torch.float64).exp()
    up = _not_along(up, side, poses)
    return torch.stack([look_at(center + f * distance * side, center, up) for f in factors])


def tour(poses: torch.Tensor) -> list[int]:
    """The cameras in an order where each is followed by the nearest one not yet visited."""
    positions = poses[:, :, 3].double()
    order, left = [0], set(range(1, len(poses)))
    while left:
        candidates = sorted(left)
        gaps = (positions[candidates] - positions[order[-1]]).norm(dim=-1)
        order.append(candidates[int(gaps.argmin())])
        left.remove(order[-1])
    return order


def path_cameras(like: Cameras, poses: torch.Tensor, width: int, height: int) -> Cameras:
    """Cameras at F poses with the vertical angle of view of the first of `like`.

    Args:
        like: cameras to take the lens from; its distortion is left out.
        poses: [F, 3, 4] camera-to-world poses.
        width, height: size of the frames in pixels; pixels are square.
    """
    focal = float(like.fy[0]) * height / float(like.height[0])
    if like.is_panorama(0):
        focal = 0.5 * height / math.tan(0.5 * DEFAULT_ANGLE)
    return frame_cameras(poses, torch.full((len(poses),), focal), width, height)


def frame_cameras(poses: torch.Tensor, focal: torch.Tensor, width: int, height: int) -> Cameras:
    """Cameras with square pixels, focal lengths [F] in pixels, and centred images."""
    count = len(poses)
    return Cameras(
        c2w=poses.float(),
        fx=focal.float(),
        fy=focal.float(),
        cx=torch.full((count,), 0.5 * width),
        cy=torch.full((count,), 0.5 * height),
        width=torch.full((count,), width),
        height=torch.full((count,), height),
    )


def farthest(cameras: Cameras, aabb: tuple[float, ...], far: float) -> float:
    """A far bound that includes the whole scene box from any distance."""
    corner = torch.tensor(aabb).view(2, 3)
    reach = (corner[1] - corner[0]).norm() / 2
    distances = (cameras.c2w[:, :, 3].cpu() - corner.mean(0)).norm(dim=-1)
    return max(far, float(distances.max() + reach))


def resized_cameras(cameras: Cameras, width: int, height: int) -> Cameras:
    """The cameras with images of `width` x `height`, with unchanged vertical angles of view.

    Panoramas keep their horizontal angles too.
    """
    ratio = height / cameras.height.float()
    size = torch.full_like(cameras.width, width), torch.full_like(cameras.height, height)
    if cameras.panorama is not None and bool(cameras.panorama.all()):
        return cameras.resized(*size)
    return replace(
        cameras,
        fx=cameras.fx * ratio,
        fy=cameras.fy * ratio,
        cx=cameras.cx * ratio + (width - cameras.width * ratio) / 2,
        cy=cameras.cy * ratio,
        width=size[0],
        height=size[1],
    )


# ---- small parts -------------------------------------------------------------------------------


def _center(poses: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(focus_point(poses.double().numpy()))


def _spread(items: list[int], count: int) -> list[int]:
    """`count` of the items, evenly spread, including the first and the last."""
    places = torch.linspace(0, len(items) - 1, min(count, len(items))).round().long()
    return [items[place] for place in places.tolist()]


def _around(
    center: torch.Tensor,
    up: torch.Tensor,
    poses: torch.Tensor,
    distance: torch.Tensor,
    height: torch.Tensor,
    turns: float,
) -> torch.Tensor:
    """Poses on a path around an axis, at distances and heights [F] from the centre."""
    start = poses[0, :, 3].double() - center
    start = start - (start @ up) * up
    if start.norm() < 1e-6:  # exactly above the centre
        start = torch.linalg.cross(up, up.roll(1) + 0.5)
    start = start / start.norm()
    side = torch.linalg.cross(up, start)
    angle = 2 * math.pi * turns * round_trip(len(distance))
    radius = (distance**2 - height**2).clamp_min(1e-6).sqrt()
    eyes = center + (radius * angle.cos()).unsqueeze(-1) * start
    eyes = eyes + (radius * angle.sin()).unsqueeze(-1) * side + height.unsqueeze(-1) * up
    return torch.stack([look_at(eye, center, up) for eye in eyes])


def _not_along(up: torch.Tensor, side: torch.Tensor, poses: torch.Tensor) -> torch.Tensor:
    """`up`, or a camera's own up axis if the view is along `up`."""
    return up if abs(float(up @ side)) < 0.999 else poses[0, :, 1].double()
