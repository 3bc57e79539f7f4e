"""Depth of the demo scene in a view, at the middle of each pixel."""

import taichi as ti
import taichi.math as tm

from taichi_pynerf.demo.shape_kernels import NO_HIT, Kinds, Lists, Table, nearest_shape
from taichi_pynerf.demo.surroundings_kernels import nearest_surroundings
from taichi_pynerf.demo.tracer_kernels import camera_axes
from taichi_pynerf.kernels.launch import kernel


@kernel
def render_view_depth(
    image: ti.types.ndarray(dtype=ti.f32, ndim=2),  # [height, width], out; 0 where nothing is
    camera: ti.types.ndarray(dtype=tm.vec4, ndim=1),  # [4]: rows of the camera-to-world matrix
    table: Table,
    kinds: Kinds,
    all_shapes: Lists,  # [1, 1, num_words]: every shape
    columns: ti.types.ndarray(dtype=tm.vec4, ndim=1),  # [num_columns]: x, y, radius, height
    floor: ti.f32,  # height of the ground
    has_surroundings: ti.i32,
    focal: ti.f32,  # pixels
    scene_radius: ti.f32,  # of the still life
):
    """Distances along the optical axis, in world units, of the nearest surfaces."""
    height, width = image.shape[0], image.shape[1]
    for y, x in ti.ndrange(height, width):
        right, up, back, eye = camera_axes(camera)
        column, row = x + 0.5 - 0.5 * width, 0.5 * height - y - 0.5
        d = tm.normalize(column * right + row * up - focal * back)
        # Rays start just outside the scene: float32 then resolves thin rods (`trace_pixel`).
        t_start = tm.length(eye) - scene_radius - 0.1
        hit, t = nearest_shape(eye + t_start * d, d, all_shapes, 0, 0, table, kinds)
        t = ti.select(hit >= 0, t_start + t, NO_HIT)
        if hit < 0 and has_surroundings != 0:
            _, t = nearest_surroundings(eye, d, floor, columns)
        image[y, x] = ti.select(t < NO_HIT, -t * tm.dot(d, back), 0.0)
