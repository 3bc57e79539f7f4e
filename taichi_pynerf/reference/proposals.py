"""Where the samples of rays lie in the field, in plain torch."""

from torch import Tensor


def interval_middles(
    rays_o: Tensor, rays_d: Tensor, borders: Tensor, size: float, unbounded: bool
) -> tuple[Tensor, Tensor]:
    r"""Positions of the middles of intervals in the field, and the intervals' lengths there.

    With t the borders' distances and x = o + t d at the middle of an interval, a bounded field
    ends at its box. An unbounded one is contracted (Mip-NeRF 360, eq. 10, with the maximum norm):

    .. math::
        y = 2 x - 1, \quad m = \max(1, |y|_\infty), \quad
        x' = \tfrac14 \left(2 - \tfrac1m\right) \tfrac{y}{m} + \tfrac12

    and lengths count in units of :math:`m` times the box's size.

    Args:
        rays_o, rays_d: [N, 3] in unit coordinates.
        borders: [N, S + 1], in the spacing of the box: of an unbounded scene t / 2R, R being its
            size, then 1 - R / 2t.
        size: of the box.
        unbounded: whether space is contracted.

    Returns:
        [N, S, 3] positions and [N, S] lengths.
    """
    t = borders
    if unbounded:
        near, far = 2 * size * borders, size / (2 - 2 * borders.clamp(min=0.5))
        t = near.where(borders < 0.5, far)
    middles = (t[:, 1:] + t[:, :-1]) / 2
    x = rays_o[:, None] + middles[..., None] * rays_d[:, None]
    lengths = t[:, 1:] - t[:, :-1]
    if not unbounded:
        return x.clamp(0, 1), lengths
    y = 2 * x - 1
    m = y.abs().max(-1).values.clamp(min=1)
    return (2 - 1 / m)[..., None] * y / m[..., None] / 4 + 0.5, lengths / (m * size)
