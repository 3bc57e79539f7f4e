"""The ray tracer of the built-in demo scenes: analytic shapes, one key light, flat patterns.

Every sample is a primary ray and, where the key light can reach, a shadow ray; shapes that are
mirrors send out one ray more. Shapes that a ray may meet are listed first (`shape_kernels`): each
pixel lists the shapes near its cone for all its samples. For the shadow rays, a grid across the
key light (`shadow_lists`) lists the shapes above each cell.
"""

import functools

import taichi as ti
import taichi.math as tm

from taichi_pynerf.demo.light_kernels import (
    BOUNCE_LIGHT,
    KEY_LIGHT,
    SKY_LIGHT,
    display,
    openness,
    room_seen,
    sky_seen,
)
from taichi_pynerf.demo.paint_kernels import albedo_at
from taichi_pynerf.demo.shape_kernels import (
    BITS_PER_WORD,
    NO_HIT,
    Groups,
    Kinds,
    Lists,
    Row,
    Table,
    first_beyond,
    is_blocked,
    nearest_shape,
    normal_at,
    passes_near,
)
from taichi_pynerf.kernels.launch import Kernel, kernel

Pixels = ti.types.ndarray(dtype=tm.vec4, ndim=2)
Camera = ti.types.ndarray(dtype=tm.vec4, ndim=1)
Spheres = ti.types.ndarray(dtype=tm.vec4, ndim=1)
Inks = ti.types.ndarray(dtype=ti.i32, ndim=2)
Frame = ti.types.ndarray(dtype=tm.vec3, ndim=1)


@ti.func
def hash_u32(key: ti.u32) -> ti.u32:
    """A permutation of the 32-bit integers that mixes every bit (PCG's output function)."""
    state = key * ti.u32(747796405) + ti.u32(2891336453)
    word = ((state >> ((state >> 28) + 4)) ^ state) * ti.u32(277803737)
    return (word >> 22) ^ word


@ti.func
def unit_float(bits: ti.u32) -> ti.f32:
    """The upper 24 bits as a number in [0, 1)."""
    return ti.cast(bits >> 8, ti.f32) * (1.0 / 16777216.0)


@ti.func
def camera_axes(camera: ti.template()):
    """A camera's right, up and backward axes, and its position, from the rows of its pose."""
    right = ti.Vector([camera[0].x, camera[1].x, camera[2].x])
    up = ti.Vector([camera[0].y, camera[1].y, camera[2].y])
    back = ti.Vector([camera[0].z, camera[1].z, camera[2].z])
    eye = ti.Vector([camera[0].w, camera[1].w, camera[2].w])
    return right, up, back, eye


@kernel
def list_shadow_shapes(
    lists: Lists,  # [cells, cells, num_words], out
    table: Table,
    groups: Groups,
    light_frame: ti.types.ndarray(dtype=tm.vec3, ndim=1),  # [3]: across, across, to the light
    scene_radius: ti.f32,
    penumbra: ti.f32,
):
    """For each cell of the light grid, list the shapes that shadow rays from below may meet."""
    cells = lists.shape[0]
    for i, j in ti.ndrange(cells, cells):
        u = ((i + 0.5) / cells * 2.0 - 1.0) * scene_radius
        v = ((j + 0.5) / cells * 2.0 - 1.0) * scene_radius
        o = u * light_frame[0] + v * light_frame[1]
        half_diagonal = 1.415 * scene_radius / cells
        for w in range(groups.shape[0]):
            word, group = 0, groups[w]
            # Rays to the corners of the square light drift aside on their way to the shape.
            height = tm.dot(group.xyz, light_frame[2]) + group.w
            reach = group.w + half_diagonal + 1.415 * penumbra * (height + scene_radius)
            last = w * BITS_PER_WORD
            if passes_near(o, light_frame[2], group.xyz, group.xyz, reach):
                last = tm.min(last + BITS_PER_WORD, table.shape[0])
            for k in range(w * BITS_PER_WORD, last):
                a, b = table[k, Row.BOUND_A], table[k, Row.BOUND_B]
                radius = table[k, Row.BOUND_RADIUS].x
                height = tm.max(tm.dot(a, light_frame[2]), tm.dot(b, light_frame[2])) + radius
                drift = 1.415 * penumbra * (height + scene_radius)
                reach = radius + half_diagonal + drift
                if passes_near(o, light_frame[2], a, b, reach):
                    word |= 1 << (k - w * BITS_PER_WORD)
            lists[i, j, w] = word


@ti.func
def radiance_at(
    k,
    p,
    n,
    d,
    lens,
    scene_radius,
    penumbra,
    table: Table,
    kinds: Kinds,
    occluders: ti.template(),
    prints: ti.template(),
    frames: ti.template(),
    light_frame: ti.template(),
    shadow_lists: Lists,
    finished: ti.template(),
):
    """Light that leaves shape `k` at `p` against `d`, without what a mirror shows.

    `lens` is a point of the square key light. `finished`: whether shapes have a `Row.FINISH`.
    """
    albedo = albedo_at(k, p, n, table, kinds, prints, frames)
    to_light = light_frame[2] + lens.x * light_frame[0] + lens.y * light_frame[1]
    to_light = tm.normalize(to_light)

    gloss = table[k, Row.GLOSS]
    key = ti.Vector([0.0, 0.0, 0.0])
    shine = 0.0
    n_dot_l = tm.dot(n, to_light)
    is_lit = n_dot_l > 0.0
    if ti.static(finished):
        is_lit = is_lit or table[k, Row.FINISH].y > 0.0
    if is_lit:
        cells = shadow_lists.shape[0]
        to_cell = 0.5 * cells / scene_radius
        i = ti.cast(tm.dot(p, light_frame[0]) * to_cell + 0.5 * cells, ti.i32)
        j = ti.cast(tm.dot(p, light_frame[1]) * to_cell + 0.5 * cells, ti.i32)
        i, j = tm.clamp(i, 0, cells - 1), tm.clamp(j, 0, cells - 1)
        if not is_blocked(p, to_light, k, shadow_lists, i, j, table, kinds):
            key = n_dot_l * ti.Vector(KEY_LIGHT)
            if ti.static(finished) and n_dot_l < 0.0:  # through a leaf, which dyes it
                key *= -table[k, Row.FINISH].y
                albedo = table[k, Row.COLOUR_3]
            if gloss.x > 0.0:
                halfway = tm.normalize(to_light - d)
                n_dot_h = tm.max(tm.dot(n, halfway), 0.0)
                shine = gloss.x * ti.pow(n_dot_h, gloss.y)

    sky = tm.mix(ti.Vector(BOUNCE_LIGHT), ti.Vector(SKY_LIGHT), 0.5 + 0.5 * n.z)
    free = openness(p, n, occluders)
    if ti.static(finished):
        free *= 1.0 - table[k, Row.FINISH].z
    radiance = albedo * (key + sky * free) + shine * ti.Vector(KEY_LIGHT)
    if gloss.z > 0.0:
        # Schlick's Fresnel term on a sky that brightens towards the horizon.
        graze = tm.clamp(1.0 + tm.dot(n, d), 0.0, 1.0)
        fresnel = gloss.z * (0.05 + 0.95 * graze**5)
        r_up = d.z - 2.0 * tm.dot(n, d) * n.z
        radiance += fresnel * sky_seen(r_up)
    return radiance


@ti.func
def reflectance(at_normal, n, d):
    """Schlick's reflectance of a mirror whose reflectance at normal incidence is `at_normal`."""
    graze = tm.clamp(1.0 + tm.dot(n, d), 0.0, 1.0)
    return at_normal + (1.0 - at_normal) * graze**5


@ti.func
def reflected(d, n):
    return d - 2.0 * tm.dot(n, d) * n


@ti.func
def roughened(r, n, lens, roughness):
    """A direction near `r`, on its side of a surface with normal `n`; `lens` in [-1, 1]^2."""
    across = tm.normalize(tm.cross(r, ti.Vector([0.36, 0.48, 0.8])))
    spread = roughness * (lens.x * across + lens.y * tm.cross(r, across))
    spread += tm.max(-tm.dot(r + spread, n), 0.0) * n
    return tm.normalize(r + spread)


@ti.func
def radiance_with_mirrors(
    k,
    p,
    d,
    lens,
    scene_radius,
    penumbra,
    table: Table,
    kinds: Kinds,
    groups: Groups,
    occluders: ti.template(),
    prints: ti.template(),
    frames: ti.template(),
    light_frame: ti.template(),
    shadow_lists: Lists,
):
    """Light that leaves shape `k` at `p` against `d`, with one reflection of other shapes.

    A mirror that is seen in a mirror shows the room alone.
    """
    radiance = ti.Vector([0.0, 0.0, 0.0])
    weight = ti.Vector([1.0, 1.0, 1.0])
    at, seen_along, seen, seen_in = p, d, k, -1
    while seen >= 0:
        n = normal_at(seen, at, seen_along, table, kinds)
        own = radiance_at(
            seen, at, n, seen_along, lens, scene_radius, penumbra, table, kinds, occluders, prints,
            frames, light_frame, shadow_lists, True,
        )  # fmt: skip
        at_normal = table[seen, Row.MIRROR]
        following = -1
        if at_normal.max() > 0.0:
            share = reflectance(at_normal, n, seen_along)
            radiance += weight * (1.0 - share) * own
            weight *= share
            roughness = table[seen, Row.FINISH].x
            r = roughened(reflected(seen_along, n), n, lens / penumbra, roughness)
            t = NO_HIT
            if seen_in < 0:
                following, t = first_beyond(at, r, seen, groups, table, kinds)
            if following < 0:
                radiance += weight * room_seen(r, light_frame[2])
            at, seen_along = at + t * r, r
        else:
            radiance += weight * own
        seen_in, seen = seen, following
    return radiance


@ti.func
def trace_pixel(
    y,
    x,
    image: Pixels,
    pixel_lists: Lists,
    camera: Camera,
    table: Table,
    kinds: Kinds,
    groups: Groups,
    occluders: ti.template(),
    prints: ti.template(),
    frames: ti.template(),
    light_frame: ti.template(),
    shadow_lists: Lists,
    scene_radius,
    penumbra,
    focal,
    strata,
    seed,
    finished: ti.template(),
):
    """Render one pixel; `finished`: whether shapes have a `Row.MIRROR` or a `Row.FINISH`."""
    height, width = image.shape[0], image.shape[1]
    total = ti.Vector([0.0, 0.0, 0.0, 0.0])
    right, up, back, eye = camera_axes(camera)
    column, row = x + 0.5 - 0.5 * width, 0.5 * height - y - 0.5
    centre_d = tm.normalize(column * right + row * up - focal * back)

    # Greatest distance of the pixel's square from its central ray, anywhere in the scene.
    spread = 0.71 / focal * (tm.length(eye) + scene_radius)
    listed = 0
    origin = ti.Vector([0.0, 0.0, 0.0])
    if passes_near(eye, centre_d, origin, origin, scene_radius + spread):
        for w in range(groups.shape[0]):
            word, group = 0, groups[w]
            if passes_near(eye, centre_d, group.xyz, group.xyz, group.w + spread):
                last = tm.min((w + 1) * BITS_PER_WORD, table.shape[0])
                for k in range(w * BITS_PER_WORD, last):
                    reach = table[k, Row.BOUND_RADIUS].x + spread
                    a, b = table[k, Row.BOUND_A], table[k, Row.BOUND_B]
                    if passes_near(eye, centre_d, a, b, reach):
                        word |= 1 << (k - w * BITS_PER_WORD)
            pixel_lists[y, x, w] = word
            listed |= word

    if listed != 0:
        # Start just outside the scene: float32 then resolves the thinnest rods.
        t_start = tm.length(eye) - scene_radius - 0.1
        pixel_bits = hash_u32(ti.cast(y * width + x, ti.u32) ^ hash_u32(ti.cast(seed, ti.u32)))
        lens_u = unit_float(hash_u32(pixel_bits ^ ti.u32(0x68BC21EB)))
        lens_v = unit_float(hash_u32(pixel_bits ^ ti.u32(0x02E5BE93)))
        for s in range(strata * strata):
            bits = hash_u32(pixel_bits + ti.cast(s, ti.u32) * ti.u32(0x9E3779B9))
            jitter_x, jitter_y = unit_float(bits), unit_float(hash_u32(bits))
            dx = (s % strata + jitter_x) / strata - 0.5
            dy = (s // strata + jitter_y) / strata - 0.5
            d = tm.normalize((column + dx) * right + (row - dy) * up - focal * back)
            o = eye + t_start * d
            k, t = nearest_shape(o, d, pixel_lists, y, x, table, kinds)
            if k >= 0:
                p = o + t * d
                # A point of the square key light: Roberts' R2 sequence, shifted per pixel.
                lens = ti.Vector([lens_u + s * 0.7548776662, lens_v + s * 0.5698402910])
                lens = penumbra * (2.0 * (lens - ti.floor(lens)) - 1.0)
                radiance = ti.Vector([0.0, 0.0, 0.0])
                if ti.static(finished):
                    radiance = radiance_with_mirrors(
                        k, p, d, lens, scene_radius, penumbra, table, kinds, groups, occluders,
                        prints, frames, light_frame, shadow_lists,
                    )  # fmt: skip
                else:
                    n = normal_at(k, p, d, table, kinds)
                    radiance = radiance_at(
                        k, p, n, d, lens, scene_radius, penumbra, table, kinds, occluders, prints,
                        frames, light_frame, shadow_lists, finished,
                    )  # fmt: skip
                total += ti.Vector([0.0, 0.0, 0.0, 1.0])
                total.xyz += display(radiance)
    image[y, x] = total / (strata * strata)


@functools.cache
def render_view_kernel(finished: bool) -> Kernel:
    """Compile the kernel that renders a view; a pixel is the mean of its samples over its square.

    Args:
        finished: whether shapes have a `Row.MIRROR` or a `Row.FINISH`.
    """

    @kernel
    def render_view(
        image: Pixels,  # [height, width], out: premultiplied RGBA
        pixel_lists: Lists,  # [height, width, num_words], out
        camera: Camera,  # [4]: rows of the camera-to-world matrix
        table: Table,
        kinds: Kinds,
        groups: Groups,
        occluders: Spheres,  # [num_occluders]: centre, radius
        prints: Inks,  # the inks of all prints
        frames: Inks,  # [num_prints, 4]: row, column, height, width
        light_frame: Frame,  # [3]: across, across, to the light
        shadow_lists: Lists,
        scene_radius: ti.f32,
        penumbra: ti.f32,
        focal: ti.f32,  # pixels
        strata: ti.i32,  # strata * strata samples per pixel
        seed: ti.i32,
    ):
        for y, x in ti.ndrange(image.shape[0], image.shape[1]):
            trace_pixel(
                y, x, image, pixel_lists, camera, table, kinds, groups, occluders, prints, frames,
                light_frame, shadow_lists, scene_radius, penumbra, focal, strata, seed, finished,
            )  # fmt: skip

    return render_view
