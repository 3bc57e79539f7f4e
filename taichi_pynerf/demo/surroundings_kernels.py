"""The surroundings of the demo scene's still life: a tiled ground, columns, mountains and clouds.

All of it is a function of the ray, so every direction shows something. Ground and columns have
parallax as the camera moves; the mountains stand at infinity.
"""

import taichi as ti
import taichi.math as tm

from taichi_pynerf.demo.light_kernels import HORIZON, display
from taichi_pynerf.demo.shape_kernels import NO_HIT, hit_cylinder
from taichi_pynerf.demo.tracer_kernels import camera_axes, hash_u32, unit_float
from taichi_pynerf.kernels.launch import kernel

HAZE_DISTANCE = 60.0  # distance at which haze has taken 1 - 1/e of the ground, world units
TO_LIGHT = (-0.52, -0.50, 0.69)
ZENITH, CLOUD = (0.10, 0.22, 0.48), (0.85, 0.86, 0.88)
STONE, GRASS, MOUNTAIN = (0.42, 0.36, 0.29), (0.10, 0.17, 0.06), (0.13, 0.15, 0.21)


@ti.func
def at_lattice(i: ti.i32, j: ti.i32, salt: ti.u32):
    """A random number in [0, 1) for a pair of whole numbers."""
    return unit_float(hash_u32(ti.cast(i, ti.u32) ^ hash_u32(ti.cast(j, ti.u32) + salt)))


@ti.func
def noise(u, v, salt: ti.u32):
    """Random values on the integer lattice, smoothly interpolated."""
    i, j = ti.cast(ti.floor(u), ti.i32), ti.cast(ti.floor(v), ti.i32)
    a, b = u - i, v - j
    a, b = a * a * (3.0 - 2.0 * a), b * b * (3.0 - 2.0 * b)
    low = tm.mix(at_lattice(i, j, salt), at_lattice(i + 1, j, salt), a)
    high = tm.mix(at_lattice(i, j + 1, salt), at_lattice(i + 1, j + 1, salt), a)
    return tm.mix(low, high, b)


@ti.func
def fractal_noise(u, v, salt: ti.u32):
    """Five octaves of noise, each twice as fine and half as strong, in [0, 1)."""
    total, strength, scale = 0.0, 0.5, 1.0
    for octave in range(5):
        total += strength * noise(u * scale, v * scale, salt + ti.cast(octave, ti.u32))
        strength *= 0.5
        scale *= 2.0
    return total


@ti.func
def sky(d):
    """Clouds over mountains, a function of direction alone."""
    across = tm.max(tm.length(d.xy), 1e-6)
    azimuth = d.xy / across  # a circle: no seam
    slope = d.z / across
    ridge = 0.04 + 0.30 * fractal_noise(3.0 * azimuth.x, 3.0 * azimuth.y, ti.u32(11))
    colour = ti.Vector([0.0, 0.0, 0.0])
    if slope < ridge:
        u, v = 14.0 * azimuth.x, 14.0 * azimuth.y + 25.0 * slope
        colour = ti.Vector(MOUNTAIN) * (0.4 + 1.6 * fractal_noise(u, v, ti.u32(37)))
    else:
        plane = d.xy / (d.z + 0.1)
        cloud = tm.smoothstep(0.45, 0.7, fractal_noise(1.5 * plane.x, 1.5 * plane.y, ti.u32(23)))
        clear = tm.mix(ti.Vector(HORIZON), ti.Vector(ZENITH), tm.clamp(2.0 * d.z, 0.0, 1.0))
        colour = tm.mix(clear, ti.Vector(CLOUD), 0.8 * cloud)
    return colour


@ti.func
def ground(p, inner_radius):
    """Stone tiles of many tints with grass between them, darker below the still life."""
    i, j = ti.cast(ti.floor(p.x), ti.i32), ti.cast(ti.floor(p.y), ti.i32)
    tint = at_lattice(i, j, ti.u32(41))
    grain = fractal_noise(4.0 * p.x, 4.0 * p.y, ti.u32(43))
    colour = ti.Vector(STONE) * (0.45 + 0.6 * tint) * (0.5 + grain)
    colour *= ti.Vector([1.0, 0.92 + 0.16 * at_lattice(i, j, ti.u32(47)), 1.0])
    edge = tm.min(tm.min(p.x - i, i + 1 - p.x), tm.min(p.y - j, j + 1 - p.y))
    if edge < 0.05 + 0.06 * grain:
        colour = ti.Vector(GRASS) * (0.6 + 0.9 * grain)
    shadow = tm.smoothstep(0.9 * inner_radius, 1.9 * inner_radius, tm.length(p.xy))
    return colour * (0.25 + 0.75 * shadow) * 1.9


@ti.func
def column_colour(c, p, centre, radius):
    """A banded column with its own colours, lit from the side."""
    n = ti.Vector([(p.x - centre.x) / radius, (p.y - centre.y) / radius, 0.0])
    band = ti.cast(ti.floor(1.7 * (p.z - centre.z)), ti.i32)
    hue = ti.Vector([at_lattice(c, band % 2, ti.u32(k)) for k in ti.static((53, 59, 61))])
    grain = 0.6 + 0.8 * fractal_noise(6.0 * (n.x + c), 6.0 * n.y + 3.0 * p.z, ti.u32(67))
    light = 0.45 + 1.3 * tm.max(tm.dot(n, ti.Vector(TO_LIGHT)), 0.0)
    return (0.08 + 0.5 * hue) * grain * light


@ti.func
def nearest_surroundings(o, d, floor, columns: ti.template()):
    """The first hit of a ray: (column or -1, distance); the distance is NO_HIT for the sky."""
    nearest, t_seen = -1, NO_HIT
    if d.z < -1e-4:
        t_seen = (floor - o.z) / d.z
    for c in range(columns.shape[0]):
        column = columns[c]
        base = ti.Vector([column.x, column.y, floor])
        t = hit_cylinder(o - base, d, ti.Vector([0.0, 0.0, 1.0]), column.z, column.w)
        if 0.0 < t < t_seen:
            nearest, t_seen = c, t
    return nearest, t_seen


@ti.func
def surroundings(o, d, floor, inner_radius, columns: ti.template()):
    """The colour that a ray sees if it misses the still life."""
    nearest, t_seen = nearest_surroundings(o, d, floor, columns)
    colour = ti.Vector([0.0, 0.0, 0.0])
    p = o + t_seen * d
    if nearest >= 0:
        column = columns[nearest]
        base = ti.Vector([column.x, column.y, floor])
        colour = column_colour(nearest, p, base, column.z)
    elif t_seen < NO_HIT:
        colour = ground(p, inner_radius)
    else:
        colour = sky(d)
    if t_seen < NO_HIT:
        colour = tm.mix(ti.Vector(HORIZON) * 0.8, colour, ti.exp(-t_seen / HAZE_DISTANCE))
    return colour


@kernel
def render_surroundings(
    image: ti.types.ndarray(dtype=tm.vec3, ndim=2),  # [height, width], out: display colours
    camera: ti.types.ndarray(dtype=tm.vec4, ndim=1),  # [4]: rows of the camera-to-world matrix
    columns: ti.types.ndarray(dtype=tm.vec4, ndim=1),  # [num_columns]: x, y, radius, height
    floor: ti.f32,  # height of the ground
    inner_radius: ti.f32,  # radius of the shadow below the still life
    focal: ti.f32,  # pixels
    strata: ti.i32,  # strata * strata samples per pixel
    seed: ti.i32,
):
    """Render the surroundings alone; a pixel is the mean of its samples over its square."""
    height, width = image.shape[0], image.shape[1]
    for y, x in ti.ndrange(height, width):
        right, up, back, eye = camera_axes(camera)
        pixel_bits = hash_u32(ti.cast(y * width + x, ti.u32) ^ hash_u32(ti.cast(seed, ti.u32)))
        total = ti.Vector([0.0, 0.0, 0.0])
        for s in range(strata * strata):
            bits = hash_u32(pixel_bits + ti.cast(s, ti.u32) * ti.u32(0x9E3779B9))
            column = x + (s % strata + unit_float(bits)) / strata - 0.5 * width
            row = 0.5 * height - y - (s // strata + unit_float(hash_u32(bits))) / strata
            d = tm.normalize(column * right + row * up - focal * back)
            total += display(surroundings(eye, d, floor, inner_radius, columns))
        image[y, x] = total / (strata * strata)
