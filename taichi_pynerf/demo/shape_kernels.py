"""The shapes of the demo scenes: their tables, where rays meet them, and which way they face.

A line of sight meets few shapes, so the shapes that it may meet are listed first, as bits of
integers, `BITS_PER_WORD` shapes to a word. Shapes that follow each other in the table share a word,
and a sphere around them (`groups`) tells in one test that none of them is near.
"""

import enum

import taichi as ti
import taichi.math as tm

NO_HIT = 1e9
BITS_PER_WORD = 31  # the sign bit stays clear, as finding the lowest bit uses signed arithmetic


class Kind(enum.IntEnum):
    """Kinds of shapes; all are convex."""

    SPHERE = 0
    CYLINDER = 1  # capped, about any axis: rods, discs, cups
    BOX = 2  # turned about the z axis
    SPHEROID = 3  # a sphere flattened or drawn out along any axis: cymbals, bellied pots
    LEAF = 4  # a flat leaf with pointed tips, seen and lit from both sides


class Row(enum.IntEnum):
    """The rows of a shape's table of 3-vectors."""

    ORIGIN = 0  # centre; of a cylinder: centre of its base
    AXIS = 1  # cylinder, spheroid: unit axis; box: (cos, sin, 0) of its turn about z; leaf: normal
    SIZE = 2  # sphere: (radius, -, -); cylinder: (radius, length, -); box: half extents
    # spheroid: (radius, half its height, -); leaf: (half length, half width, curl of its normals)
    BOUND_A = 3  # the shape lies within BOUND_RADIUS[0] of the segment BOUND_A, BOUND_B
    BOUND_B = 4
    BOUND_RADIUS = 5
    COLOUR = 6
    COLOUR_2 = 7
    COLOUR_3 = 8
    PATTERN = 9
    GLOSS = 10  # (strength of the highlight, its exponent, share of the sky's reflection)
    SIDE = 11  # leaf: unit vector along its length
    MIRROR = 12  # reflectance of a mirror at normal incidence, red, green and blue; 0: no mirror
    FINISH = 13  # (roughness of the mirror, share of light let through, share of the sky hidden)


Table = ti.types.ndarray(dtype=tm.vec3, ndim=2)  # [num_shapes, len(Row)]
Kinds = ti.types.ndarray(dtype=ti.i32, ndim=2)  # [num_shapes, 2]: Kind, Paint
Groups = ti.types.ndarray(dtype=tm.vec4, ndim=1)  # [num_words]: centre, radius of a word's shapes
Lists = ti.types.ndarray(dtype=ti.i32, ndim=3)  # [rows, columns, num_words]: bits of shapes


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
def hit_spheroid(oc, d, axis, radius, half_height):
    """Distance at which a ray enters a spheroid, with `oc` = origin minus centre."""
    t = NO_HIT
    stretch = radius / half_height - 1.0  # along the axis, to make it a sphere
    o, v = oc + stretch * tm.dot(oc, axis) * axis, d + stretch * tm.dot(d, axis) * axis
    inv_a = inverse(tm.dot(v, v))
    t_mid = -tm.dot(o, v) * inv_a
    aside = o + t_mid * v
    under_root = radius * radius - tm.dot(aside, aside)
    if under_root > 0.0:
        t = t_mid - ti.sqrt(under_root * inv_a)
    return t


@ti.func
def hit_leaf(oc, d, normal, side, size):
    """Distance at which a ray meets a leaf, with `oc` = origin minus centre.

    A parabola bounds each half of it: at `u` of its half length it is `1 - u^2` as wide.
    """
    t = -tm.dot(oc, normal) * inverse(tm.dot(d, normal))
    p = oc + t * d
    u, v = tm.dot(p, side) / size.x, tm.dot(p, tm.cross(normal, side))
    if ti.abs(v) >= size.y * (1.0 - u * u):
        t = NO_HIT
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
    elif kind == Kind.BOX:
        t = hit_box(turn_back(oc, axis), turn_back(d, axis), size)
    elif kind == Kind.LEAF:
        t = hit_leaf(oc, d, axis, table[k, Row.SIDE], size)
    else:
        t = hit_spheroid(oc, d, axis, size.x, size.y)
    return t


@ti.func
def lowest_bit(word: ti.i32) -> ti.i32:
    return 31 - tm.clz(word & -word)


@ti.func
def nearest_shape(o, d, lists: Lists, i, j, table: Table, kinds: Kinds):
    """The first shape along a ray of those listed at (i, j): (index or -1, distance)."""
    hit, t_hit = -1, NO_HIT
    for w in range(lists.shape[2]):
        word = lists[i, j, w]
        while word != 0:
            k = w * BITS_PER_WORD + lowest_bit(word)
            word &= word - 1
            t = hit_shape(k, o, d, table, kinds)
            if 0.0 < t < t_hit:
                hit, t_hit = k, t
    return hit, t_hit


@ti.func
def is_blocked(o, d, own, lists: Lists, i, j, table: Table, kinds: Kinds):
    """Whether a shape listed at (i, j) is in the way.

    `own` is skipped: no convex shape shades itself.
    """
    blocked = False
    for w in range(lists.shape[2]):
        word = lists[i, j, w]
        while word != 0 and not blocked:
            k = w * BITS_PER_WORD + lowest_bit(word)
            word &= word - 1
            if k != own:
                t = hit_shape(k, o, d, table, kinds)
                blocked = 1e-4 < t < NO_HIT
    return blocked


@ti.func
def first_beyond(o, d, own, groups: Groups, table: Table, kinds: Kinds):
    """The first shape along a ray that leaves shape `own`: (index or -1, distance).

    For rays in any direction, of which no list knows.
    """
    hit, t_hit = -1, NO_HIT
    for w in range(groups.shape[0]):
        group = groups[w]
        if passes_near(o, d, group.xyz, group.xyz, group.w):
            last = tm.min((w + 1) * BITS_PER_WORD, table.shape[0])
            for k in range(w * BITS_PER_WORD, last):
                if k != own:
                    t = hit_shape(k, o, d, table, kinds)
                    if 1e-4 < t < t_hit:
                        hit, t_hit = k, t
    return hit, t_hit


@ti.func
def normal_at(k, p, d, table: Table, kinds: Kinds):
    """Outward unit normal of shape `k` at its surface point `p`, where a ray along `d` meets it."""
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
    elif kind == Kind.SPHEROID:
        flatness = size.x / size.y
        n += (flatness * flatness - 1.0) * tm.dot(n, axis) * axis
    elif kind == Kind.LEAF:
        # A flat leaf is shaded as if it curled along its length, with a fold along the middle.
        side = table[k, Row.SIDE]
        across = tm.cross(axis, side)
        fold = ti.select(tm.dot(n, across) > 0.0, 1.0, -1.0)
        n = axis + size.z * (tm.dot(n, side) / size.x * side + fold * across)
        if tm.dot(axis, d) > 0.0:
            n = n - 2.0 * tm.dot(n, axis) * axis  # its other side
    return tm.normalize(n)
