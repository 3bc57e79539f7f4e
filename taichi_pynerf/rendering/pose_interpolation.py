"""Smooth motion through given poses."""

from __future__ import annotations

import torch


def round_trip(num_frames: int) -> torch.Tensor:
    """[F] float64 fractions of a round trip; the frame after the last would equal the first."""
    return torch.arange(num_frames, dtype=torch.float64) / num_frames


def interpolate_poses(
    keys: torch.Tensor, num_frames: int, closed: bool = False, evenly: bool = False
) -> torch.Tensor:
    """Poses [F, 3, 4] on a smooth path through keys, at an even speed between neighbours.

    Positions lie on a cubic Hermite spline (Catmull-Rom tangents over uneven knots). Rotations are
    interpolated spherically (slerp, Shoemake 1985).

    Args:
        keys: [K, 3, 4] poses, K >= 1; the path begins with the first and ends with the last.
        num_frames: F.
        closed: return to the first key.
        evenly: pass the keys at even intervals of time, however far apart they are.
    """
    keys = keys.double()
    keys = torch.cat([keys, keys[:1]]) if closed else keys
    if len(keys) == 1:
        return keys.expand(num_frames, 3, 4).float().contiguous()
    quaternions = _quaternions(keys[:, :, :3])
    positions = keys[:, :, 3]
    even = torch.arange(len(keys), dtype=torch.float64)
    knots = even if evenly else _knots(positions, quaternions)
    times = torch.linspace(0, float(knots[-1]), num_frames, dtype=torch.float64)
    if closed:  # otherwise the last frame would repeat the first
        times = round_trip(num_frames) * knots[-1]
    segment = (torch.searchsorted(knots, times, right=True) - 1).clamp(0, len(keys) - 2)
    share = ((times - knots[segment]) / (knots[segment + 1] - knots[segment])).unsqueeze(-1)
    rotations = _rotations(_slerp(quaternions[segment], quaternions[segment + 1], share))
    points = _hermite(positions, knots, segment, share, closed)
    return torch.cat([rotations, points.unsqueeze(-1)], -1).float()


def _knots(positions: torch.Tensor, quaternions: torch.Tensor) -> torch.Tensor:
    """Ascending times [K]: the path length up to each key, from distances and rotations."""
    gaps = (positions[1:] - positions[:-1]).norm(dim=-1)
    turns = 2 * (quaternions[1:] * quaternions[:-1]).sum(-1).abs().clamp(max=1).acos()
    ways = torch.hypot(gaps / gaps.mean().clamp_min(1e-9), turns).clamp_min(1e-3)
    return torch.cat([ways.new_zeros(1), ways.cumsum(0)])


def _hermite(
    points: torch.Tensor,
    knots: torch.Tensor,
    segment: torch.Tensor,
    share: torch.Tensor,
    closed: bool,
) -> torch.Tensor:
    """Points [F, 3] of a cubic Hermite spline through points [K, 3]."""
    width = knots[1:] - knots[:-1]
    slopes = (points[1:] - points[:-1]) / width.unsqueeze(-1)
    before, after = slopes[:-1], slopes[1:]
    left, right = width[:-1].unsqueeze(-1), width[1:].unsqueeze(-1)
    inner = (before * right + after * left) / (left + right)
    first, last = slopes[:1], slopes[-1:]
    if closed:
        first = last = (slopes[-1:] * width[0] + slopes[:1] * width[-1]) / (width[0] + width[-1])
    tangents = torch.cat([first, inner, last])
    t, w = share, width[segment].unsqueeze(-1)
    return (
        (2 * t**3 - 3 * t**2 + 1) * points[segment]
        + (t**3 - 2 * t**2 + t) * w * tangents[segment]
        + (3 * t**2 - 2 * t**3) * points[segment + 1]
        + (t**3 - t**2) * w * tangents[segment + 1]
    )


def _quaternions(rotations: torch.Tensor) -> torch.Tensor:
    """Unit quaternions [K, 4] (w, x, y, z) of rotations [K, 3, 3].

    q q^T is linear in the matrix (Bar-Itzhack 2000), so q is the eigenvector of the greatest
    eigenvalue. No case is singular.
    """
    r = rotations
    xx, yy, zz = r[:, 0, 0], r[:, 1, 1], r[:, 2, 2]
    rows = [  # from the diagonal on
        [xx + yy + zz, r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]],
        [xx - yy - zz, r[:, 0, 1] + r[:, 1, 0], r[:, 0, 2] + r[:, 2, 0]],
        [yy - xx - zz, r[:, 1, 2] + r[:, 2, 1]],
        [zz - xx - yy],
    ]
    matrix = torch.stack(
        [torch.stack([rows[min(i, j)][abs(i - j)] for j in range(4)], -1) for i in range(4)], -2
    )
    return torch.linalg.eigh(matrix).eigenvectors[..., -1]


def _rotations(quaternions: torch.Tensor) -> torch.Tensor:
    """Rotations [F, 3, 3] of unit quaternions [F, 4]."""
    w, x, y, z = quaternions.unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, -1).view(-1, 3, 3)


def _slerp(a: torch.Tensor, b: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Quaternions [F, 4] on the shorter arcs from a to b, at shares [F, 1]."""
    cosine = (a * b).sum(-1, keepdim=True)
    b = torch.where(cosine < 0, -b, b)
    angle = cosine.abs().clamp(max=1).acos()
    sine = angle.sin()
    near = sine < 1e-6
    safe = torch.where(near, torch.ones_like(sine), sine)
    from_a = torch.where(near, 1 - share, ((1 - share) * angle).sin() / safe)
    from_b = torch.where(near, share, (share * angle).sin() / safe)
    mixed = from_a * a + from_b * b
    return mixed / mixed.norm(dim=-1, keepdim=True)
