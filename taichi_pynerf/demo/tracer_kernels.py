"""The ray tracer of the built-in demo scene: analytic shapes, one key light, flat patterns.

Every sample is a primary ray and, where the key light can reach, a shadow ray. One idea, used
twice, keeps it fast: a line of sight meets few shapes, so the shapes that it may meet are listed
first, as bits of two integers. Each pixel lists the shapes near its cone for all its samples. For
the shadow rays, a grid across the key light (`shadow_lists`) lists the shapes above each cell.
"""

import enum

import taichi as ti
import taichi.math as tm

from taichi_pynerf.kernels.launch import kernel

NO_HIT = 1e9
BITS_PER_WORD = 31  # the sign bit stays clear, as finding the lowest bit uses signed arithmetic
MAX_SHAPES = 2 * BITS_PER_WORD


class Kind(enum.IntEnum):
    """Kinds of shapes; all are convex."""

    SPHERE = 0
    CYLINDER = 1  # capped, about any axis: rods, discs, cups
    BOX = 2  # turned about the z axis


class Paint(enum.IntEnum):
    """Ways to colour the surface of a shape."""

    PLAIN = 0
    STRIPES = 1  # a helix of stripes, `pattern` = (turns around, stripes per unit height, -)
    CHECKS = 2  # `pattern` = (checks around, checks per unit height, -)
    TIP = 3  # a rod whose last part has the second colour, `pattern` = (length of the tip, -, -)
    PRINT = 4  # a box with printed faces, `pattern` = (print on +y, print on -y, print on +z)
    PLINTH = 5  # checks and a dial on the top, a print around the side, `pattern` = (print, -, -)


class Row(enum.IntEnum):
    """The rows of a shape's table of 3-vectors."""

    ORIGIN = 0  # centre; of a cylinder: centre of its base
    AXIS = 1  # cylinder: unit axis; box: (cos, sin, 0) of its turn about z
    SIZE = 2  # sphere: (radius, -, -); cylinder: (radius, length, -); box: half extents
    BOUND_A = 3  # the shape lies within BOUND_RADIUS[0] of the segment BOUND_A, BOUND_B
    BOUND_B = 4
    BOUND_RADIUS = 5
    COLOUR = 6
    COLOUR_2 = 7
    COLOUR_3 = 8
    PATTERN = 9
    GLOSS = 10  # (strength of the highlight, its exponent, share of the sky's reflection)


KEY_LIGHT = (1.55, 1.40, 1.18)
SKY_LIGHT = (0.42, 0.50, 0.60)
BOUNCE_LIGHT = (0.32, 0.26, 0.20)
HORIZON = (0.90, 0.86, 0.80)

Table = ti.types.ndarray(dtype=tm.vec3, ndim=2)  # [num_shapes, len(Row)]
Kinds = ti.types.ndarray(dtype=ti.i32, ndim=2)  # [num_shapes, 2]: Kind, Paint


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


@ti.func
def passes_near(o, d, a, b, reach):
    """Whether the line `o + t d` comes within `reach` of the segment ab."""
    pa = a - o - d * tm.dot(a - o, d)
    pb = b - o - d * tm.dot(b - o, d)
    along = pb - pa
    s = tm.clamp(-tm.dot(pa, along) / tm.max(tm.dot(along, along), 1e-12), 0.0, 1.0)
    nearest = pa + s * along
    return tm.dot(nearest, nearest) < reach * reach


@ti.func
def hit_sphere(oc, d, radius):
    """Distance at which a ray enters a sphere, with `oc` = origin minus centre."""
    t = NO_HIT
    b = tm.dot(oc, d)
    aside = oc - b * d  # b^2 - |oc|^2 + r^2 would cancel in float32
    under_root = radius * radius - tm.dot(aside, aside)
    if under_root > 0.0:
        t = -b - ti.sqrt(under_root)
    return t


@ti.func
def inverse(x):
    """1 / x, finite at zero."""
    return 1.0 / ti.select(ti.abs(x) < 1e-9, 1e-9, x)


@ti.func
def hit_cylinder(oc, d, axis, radius, length):
    """Distance at which a ray enters a capped cylinder, with `oc` = origin minus base centre."""
    t = NO_HIT
    o_along, d_along = tm.dot(oc, axis), tm.dot(d, axis)
    o_across, d_across = oc - o_along * axis, d - d_along * axis
    inv_a = inverse(tm.dot(d_across, d_across))
    t_mid = -tm.dot(o_across, d_across) * inv_a
    aside = o_across + t_mid * d_across
    under_root = radius * radius - tm.dot(aside, aside)
    if under_root > 0.0:
        half = ti.sqrt(under_root * inv_a)
        inv_along = inverse(d_along)
        t_base, t_lid = -o_along * inv_along, (length - o_along) * inv_along
        t_in = tm.max(t_mid - half, tm.min(t_base, t_lid))
        t_out = tm.min(t_mid + half, tm.max(t_base, t_lid))
        if t_in < t_out:
            t = t_in
    return t


@ti.func
def hit_box(oc, d, half):
    """Distance at which a ray enters an axis-aligned box, with `oc` = origin minus centre."""
    t = NO_HIT
    inv = ti.Vector([inverse(d.x), inverse(d.y), inverse(d.z)])
    t_centre, t_half = -oc * inv, half * ti.abs(inv)
    t_in, t_out = (t_centre - t_half).max(), (t_centre + t_half).min()
    if t_in < t_out:
        t = t_in
    return t


@ti.func
def turn_back(v, turn):
    """`v` in the frame of a box turned about z by the angle of cosine and sine `turn`."""
    return ti.Vector([turn.x * v.x + turn.y * v.y, turn.x * v.y - turn.y * v.x, v.z])


@ti.func
def turn_forth(v, turn):
    """The inverse of `turn_back`."""
    return ti.Vector([turn.x * v.x - turn.y * v.y, turn.x * v.y + turn.y * v.x, v.z])


@ti.func
def hit_shape(k, o, d, table: Table, kinds: Kinds):
    """Distance at which the ray enters shape `k`; a value <= 0 or `NO_HIT` if it does not."""
    t = NO_HIT
    oc, axis, size = o - table[k, Row.ORIGIN], table[k, Row.AXIS], table[k, Row.SIZE]
    kind = kinds[k, 0]
    if kind == Kind.CYLINDER:
        t = hit_cylinder(oc, d, axis, size.x, size.y)
    elif kind == Kind.SPHERE:
        t = hit_sphere(oc, d, size.x)
    else:
        t = hit_box(turn_back(oc, axis), turn_back(d, axis), size)
    return t


@ti.func
def lowest_bit(word: ti.i32) -> ti.i32:
    return 31 - tm.clz(word & -word)


@ti.func
def nearest_shape(o, d, words, table: Table, kinds: Kinds):
    """The first of the listed shapes along a ray: (index or -1, distance)."""
    hit, t_hit = -1, NO_HIT
    for w in range(2):
        word = ti.select(w == 0, words.x, words.y)
        while word != 0:
            k = w * BITS_PER_WORD + lowest_bit(word)
            word &= word - 1
            t = hit_shape(k, o, d, table, kinds)
            if 0.0 < t < t_hit:
                hit, t_hit = k, t
    return hit, t_hit


@ti.func
def is_blocked(o, d, own, words, table: Table, kinds: Kinds):
    """Whether a listed shape is in the way. `own` is skipped: no convex shape shades itself."""
    blocked = False
    for w in range(2):
        word = ti.select(w == 0, words.x, words.y)
        while word != 0 and not blocked:
            k = w * BITS_PER_WORD + lowest_bit(word)
            word &= word - 1
            if k != own:
                t = hit_shape(k, o, d, table, kinds)
                blocked = 1e-4 < t < NO_HIT
    return blocked


@ti.func
def normal_at(k, p, table: Table, kinds: Kinds):
    """Outward unit normal of shape `k` at its surface point `p`."""
    n = p - table[k, Row.ORIGIN]
    axis, size = table[k, Row.AXIS], table[k, Row.SIZE]
    kind = kinds[k, 0]
    if kind == Kind.CYLINDER:
        along = tm.dot(n, axis)
        across = n - along * axis
        n = across
        if tm.min(along, size.y - along) < size.x - tm.length(across):  # nearer to a cap
            n = ti.select(along + along > size.y, axis, -axis)
    elif kind == Kind.BOX:
        local = turn_back(n, axis) / size
        most = ti.abs(local).max()
        n = turn_forth(ti.select(ti.abs(local) >= most, ti.math.sign(local), 0.0), axis)
    return tm.normalize(n)


@ti.func
def odd(x):
    """1 on every other half of the unit interval, else 0: stripes."""
    return ti.cast(ti.floor(x + x), ti.i32) & 1


@ti.func
def turns_about_z(p):
    """The azimuth of `p` in [0, 1]."""
    return 0.5 + ti.atan2(p.y, p.x) * (0.5 / tm.pi)


@ti.func
def print_ink(which, u, v, prints: ti.template(), frames: ti.template()):
    """The ink (0, 1 or 2) of a print at (u to the right, v downwards) in [0, 1]^2."""
    row, column, height, width = (
        frames[which, 0],
        frames[which, 1],
        frames[which, 2],
        frames[which, 3],
    )
    i = tm.clamp(ti.cast(v * height, ti.i32), 0, height - 1)
    j = tm.clamp(ti.cast(u * width, ti.i32), 0, width - 1)
    return prints[row + i, column + j]


@ti.func
def plinth_ink(p, n, size, which, prints: ti.template(), frames: ti.template()):
    """Checks within a dial on the plinth's top; a line of print around its side."""
    ink = 2
    if n.z > 0.5:
        rho = tm.length(p.xy) / size.x
        if rho < 0.82:
            ink = odd(p.x * 6.25) ^ odd(p.y * 6.25)
        elif 0.85 < rho < 0.90:
            ink = 2 * odd(turns_about_z(p) * 120.0)
        elif 0.90 < rho < 0.95:
            ink = 2 * odd(turns_about_z(p) * 12.0)
    elif n.z > -0.5:
        ink = print_ink(which, turns_about_z(p), 1.0 - p.z / size.y, prints, frames)
    return ink


@ti.func
def box_ink(p, n, half, which, prints: ti.template(), frames: ti.template()):
    """Prints on the faces +y, -y and +z of a box (where >= 0), fine stripes on its sides."""
    ink = 0
    q = p / half * 0.5 + 0.5
    if n.y > 0.5 and which.x >= 0:
        ink = print_ink(ti.cast(which.x, ti.i32), 1.0 - q.x, 1.0 - q.z, prints, frames)
    elif n.y < -0.5 and which.y >= 0:
        ink = print_ink(ti.cast(which.y, ti.i32), q.x, 1.0 - q.z, prints, frames)
    elif n.z > 0.5 and which.z >= 0:
        ink = print_ink(ti.cast(which.z, ti.i32), q.x, 1.0 - q.y, prints, frames)
    elif ti.abs(n.x) > 0.5:
        ink = 2 * odd(p.y * 25.0)
    return ink


@ti.func
def albedo_at(k, p, n, table: Table, kinds: Kinds, prints: ti.template(), frames: ti.template()):
    """Diffuse reflectance of shape `k` at its surface point `p` with normal `n`."""
    local = p - table[k, Row.ORIGIN]
    axis, size, pattern = table[k, Row.AXIS], table[k, Row.SIZE], table[k, Row.PATTERN]
    paint = kinds[k, 1]
    ink = 0
    if paint == Paint.STRIPES or paint == Paint.CHECKS:
        turns = turns_about_z(local) * pattern.x
        stacks = local.z * pattern.y
        if paint == Paint.STRIPES:
            ink = odd(turns + stacks)
        else:
            ink = odd(turns) ^ odd(stacks)
    elif paint == Paint.TIP:
        ink = ti.cast(tm.dot(local, axis) > size.y - pattern.x, ti.i32)
    elif paint == Paint.PRINT:
        ink = box_ink(turn_back(local, axis), turn_back(n, axis), size, pattern, prints, frames)
    elif paint == Paint.PLINTH:
        ink = plinth_ink(local, n, size, ti.cast(pattern.x, ti.i32), prints, frames)
    return table[k, Row.COLOUR + ink]


@ti.func
def openness(p, n, occluders: ti.template()):
    """Share of the hemisphere above `p` that the occluding spheres leave free.

    A sphere of radius r at distance l, above the horizon, covers `(r / l)^2 cos` of the
    cosine-weighted hemisphere. Spheres are treated as independent of each other.
    """
    free = 1.0
    for i in range(occluders.shape[0]):
        ball = occluders[i]
        to_ball = ball.xyz - p
        facing = tm.dot(n, to_ball)
        if facing > 0.0:
            inv_l2 = 1.0 / tm.dot(to_ball, to_ball)
            covered = facing * ti.sqrt(inv_l2) * ball.w * ball.w * inv_l2
            free *= 1.0 - tm.min(covered, 0.95)
    return free


@ti.func
def display(radiance):
    """The film curve of Hejl and Burgess-Dawson (2010), display gamma included: what a PNG stores.

    It is applied to every sample, not to the pixel's mean. So a pixel is the area average of the
    stored colours, and a box average of a large picture is the small picture.
    """
    x = tm.max(radiance - 0.004, 0.0)
    return x * (6.2 * x + 0.5) / (x * (6.2 * x + 1.7) + 0.06)


@kernel
def list_shadow_shapes(
    lists: ti.types.ndarray(dtype=ti.i32, ndim=3),  # [cells, cells, 2], out
    table: Table,
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
        for w in range(2):
            word = 0
            last = tm.min((w + 1) * BITS_PER_WORD, table.shape[0])
            for k in range(w * BITS_PER_WORD, last):
                a, b = table[k, Row.BOUND_A], table[k, Row.BOUND_B]
                radius = table[k, Row.BOUND_RADIUS].x
                # Rays to the corners of the square light drift aside on their way to the shape.
                height = tm.max(tm.dot(a, light_frame[2]), tm.dot(b, light_frame[2])) + radius
                drift = 1.415 * penumbra * (height + scene_radius)
                reach = radius + half_diagonal + drift
                if passes_near(o, light_frame[2], a, b, reach):
                    word |= 1 << (k - w * BITS_PER_WORD)
            lists[i, j, w] = word


@kernel
def render_demo_view(
    image: ti.types.ndarray(dtype=tm.vec4, ndim=2),  # [height, width], out: premultiplied RGBA
    camera: ti.types.ndarray(dtype=tm.vec4, ndim=1),  # [4]: rows of the camera-to-world matrix
    table: Table,
    kinds: Kinds,
    occluders: ti.types.ndarray(dtype=tm.vec4, ndim=1),  # [num_occluders]: centre, radius
    prints: ti.types.ndarray(dtype=ti.i32, ndim=2),  # the inks of all prints
    frames: ti.types.ndarray(dtype=ti.i32, ndim=2),  # [num_prints, 4]: row, column, height, width
    light_frame: ti.types.ndarray(dtype=tm.vec3, ndim=1),
    shadow_lists: ti.types.ndarray(dtype=ti.i32, ndim=3),
    scene_radius: ti.f32,
    penumbra: ti.f32,
    focal: ti.f32,  # pixels
    strata: ti.i32,  # strata * strata samples per pixel
    seed: ti.i32,
):
    """Render one view; a pixel is the mean of its samples over its square."""
    height, width = image.shape[0], image.shape[1]
    for y, x in ti.ndrange(height, width):
        total = ti.Vector([0.0, 0.0, 0.0, 0.0])
        right, up, back, eye = camera_axes(camera)
        column, row = x + 0.5 - 0.5 * width, 0.5 * height - y - 0.5
        centre_d = tm.normalize(column * right + row * up - focal * back)

        # Greatest distance of the pixel's square from its central ray, anywhere in the scene.
        spread = 0.71 / focal * (tm.length(eye) + scene_radius)
        words = ti.Vector([0, 0])
        origin = ti.Vector([0.0, 0.0, 0.0])
        if passes_near(eye, centre_d, origin, origin, scene_radius + spread):
            for k in range(table.shape[0]):
                reach = table[k, Row.BOUND_RADIUS].x + spread
                if passes_near(eye, centre_d, table[k, Row.BOUND_A], table[k, Row.BOUND_B], reach):
                    if k < BITS_PER_WORD:
                        words.x |= 1 << k
                    else:
                        words.y |= 1 << (k - BITS_PER_WORD)

        if words.x != 0 or words.y != 0:
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
                k, t = nearest_shape(o, d, words, table, kinds)
                if k >= 0:
                    p = o + t * d
                    n = normal_at(k, p, table, kinds)
                    albedo = albedo_at(k, p, n, table, kinds, prints, frames)

                    # A point of the square key light: Roberts' R2 sequence, shifted per pixel.
                    lens = ti.Vector([lens_u + s * 0.7548776662, lens_v + s * 0.5698402910])
                    lens = penumbra * (2.0 * (lens - ti.floor(lens)) - 1.0)
                    to_light = light_frame[2] + lens.x * light_frame[0] + lens.y * light_frame[1]
                    to_light = tm.normalize(to_light)

                    gloss = table[k, Row.GLOSS]
                    key = ti.Vector([0.0, 0.0, 0.0])
                    shine = 0.0
                    n_dot_l = tm.dot(n, to_light)
                    if n_dot_l > 0.0:
                        cells = shadow_lists.shape[0]
                        to_cell = 0.5 * cells / scene_radius
                        i = ti.cast(tm.dot(p, light_frame[0]) * to_cell + 0.5 * cells, ti.i32)
                        j = ti.cast(tm.dot(p, light_frame[1]) * to_cell + 0.5 * cells, ti.i32)
                        i, j = tm.clamp(i, 0, cells - 1), tm.clamp(j, 0, cells - 1)
                        above = ti.Vector([shadow_lists[i, j, 0], shadow_lists[i, j, 1]])
                        if not is_blocked(p, to_light, k, above, table, kinds):
                            key = n_dot_l * ti.Vector(KEY_LIGHT)
                            if gloss.x > 0.0:
                                halfway = tm.normalize(to_light - d)
                                n_dot_h = tm.max(tm.dot(n, halfway), 0.0)
                                shine = gloss.x * ti.pow(n_dot_h, gloss.y)

                    sky = tm.mix(ti.Vector(BOUNCE_LIGHT), ti.Vector(SKY_LIGHT), 0.5 + 0.5 * n.z)
                    free = openness(p, n, occluders)
                    radiance = albedo * (key + sky * free) + shine * ti.Vector(KEY_LIGHT)
                    if gloss.z > 0.0:
                        # Schlick's Fresnel term on a sky that brightens towards the horizon.
                        graze = tm.clamp(1.0 + tm.dot(n, d), 0.0, 1.0)
                        fresnel = gloss.z * (0.05 + 0.95 * graze**5)
                        r_up = d.z - 2.0 * tm.dot(n, d) * n.z
                        above_ground = tm.smoothstep(-0.15, 0.1, r_up)
                        sky_seen = tm.mix(ti.Vector(HORIZON), ti.Vector(SKY_LIGHT), ti.abs(r_up))
                        radiance += fresnel * tm.mix(
                            ti.Vector(BOUNCE_LIGHT) * 0.5, sky_seen, above_ground
                        )
                    total += ti.Vector([0.0, 0.0, 0.0, 1.0])
                    total.xyz += display(radiance)
        image[y, x] = total / (strata * strata)
