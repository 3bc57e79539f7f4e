"""Lines in an image, boxes and frusta in the world, and the training's curve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_makers import make_cameras

from taichi_pynerf.viewer.camera import ViewCamera
from taichi_pynerf.viewer.chart import Curve, draw_chart
from taichi_pynerf.viewer.lines import clip_segments, draw_lines
from taichi_pynerf.viewer.overlays import box_segments, draw_world_lines, frustum_segments

RED = (255, 0, 0)
coordinates = st.floats(-1e6, 1e6)


def paper(height=20, width=30):
    return np.full((height, width, 3), 255, np.uint8)


@pytest.mark.parametrize(
    "ends", [((2, 10.5), (28, 10.5)), ((10.5, 2), (10.5, 18)), ((5, 5), (15, 15))]
)
def test_a_line_has_the_ink_of_its_length(ends):
    image = paper()
    draw_lines(image, np.array([ends], dtype=float), RED)
    ink = (255 - image[..., 1].astype(float)).sum() / 255
    (x0, y0), (x1, y1) = ends
    assert ink == pytest.approx(max(abs(x1 - x0), abs(y1 - y0)), abs=1.5)
    assert (image[..., 0] == 255).all()


def test_a_line_between_pixels_is_shared_by_them():
    image = paper()
    draw_lines(image, np.array([[[2, 10.75], [28, 10.75]]]), RED)
    assert image[10, 15].tolist() == [255, 64, 64]
    assert image[11, 15].tolist() == [255, 191, 191]
    assert image[12, 15].tolist() == [255, 255, 255]


def test_crossing_lines_and_opacity():
    image = paper()
    lines = np.array([[[2, 10.5], [28, 10.5]], [[15.5, 2], [15.5, 18]]])
    draw_lines(image, lines, RED, opacity=0.5)
    assert image[10, 15].tolist() == image[10, 5].tolist() == [255, 128, 128]


@given(st.lists(st.tuples(*[coordinates] * 4), max_size=20))
def test_any_lines_can_be_drawn(ends):
    draw_lines(paper(), np.array(ends, dtype=float).reshape(-1, 2, 2), RED)


@given(st.tuples(*[coordinates] * 4))
def test_clipped_lines_lie_in_the_image_and_on_the_line(ends):
    segment = np.array(ends).reshape(1, 2, 2)
    clipped = clip_segments(segment, 30, 20)
    assert (clipped >= -1e-6).all()
    assert (clipped <= np.array([30, 20]) + 1e-6).all()
    start, end = segment[0]
    for point in clipped.reshape(-1, 2):
        a, b = end - start, point - start
        assert abs(a[0] * b[1] - a[1] * b[0]) <= 1e-6 * max(np.abs(a).max() ** 2, 1.0)


def test_a_box_has_twelve_edges():
    edges = box_segments((0, 0, 0, 1, 2, 3))
    lengths = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
    assert sorted(lengths) == [1] * 4 + [2] * 4 + [3] * 4


def test_a_frustum_frames_what_its_camera_sees():
    cameras = make_cameras(num_views=3, width=40, height=30, focal=40.0)
    frusta = frustum_segments(cameras, size=0.5)
    assert frusta.shape == (3, 8, 2, 3)
    fov = 2 * np.arctan(0.5 * 30 / 40)
    view = ViewCamera.from_pose(cameras.c2w[1].numpy(), 4.0, fov, (0, 0, 1))
    sides = view.project_segments(frusta[1, 4:], 40, 30)
    corners = sorted(map(tuple, sides[:, 0].round(3)))
    assert corners == [(0, 0), (0, 30), (40, 0), (40, 30)]
    heights = np.linalg.norm(frusta[:, 5, 1] - frusta[:, 5, 0], axis=-1)
    np.testing.assert_allclose(heights, 0.5, rtol=1e-5)


def test_lines_of_the_world_are_drawn_where_they_are_seen():
    view = ViewCamera.looking_at((0, -4, 0), (0, 0, 0), (0, 0, 1), 0.7)
    image = paper(60, 80)
    draw_world_lines(image, view, np.array([[[0, 0, -0.2], [0, 0, 0.2]]], dtype=float), RED)
    rows, columns = (image[..., 1] < 200).nonzero()
    assert set(columns) <= {39, 40}
    assert rows.min() > 15
    assert rows.max() < 45


# ---- the curve -----------------------------------------------------------------------------


def test_a_curve_of_any_length_has_few_points_and_the_right_shape():
    curve = Curve()
    for i in range(10_000):
        curve.add(float(i))
    curve.add(float("nan"))
    values = curve.values()
    assert 512 <= len(values) <= 1024
    assert (np.diff(values) > 0).all()
    assert values[-1] == pytest.approx(10_000, rel=0.01)


def test_the_chart_shows_both_curves():
    loss, psnr = Curve(), Curve()
    blank = draw_chart(200, 100, loss, psnr)
    assert blank.shape == (100, 200, 3)
    for i in range(100):
        loss.add(1.0 / (i + 1))
        psnr.add(10.0 + 0.2 * i)
    drawn = draw_chart(200, 100, loss, psnr)
    below = (drawn != blank).any(-1)[20:]
    assert below.any(0).sum() > 180  # from the left to the right
