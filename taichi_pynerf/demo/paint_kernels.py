"""The colours of the shapes of the demo scenes: flat patterns and prints."""

import enum

import taichi as ti
import taichi.math as tm

from taichi_pynerf.demo.shape_kernels import Kinds, Row, Table, turn_back


class Paint(enum.IntEnum):
    """Ways to colour the surface of a shape."""

    PLAIN = 0
    STRIPES = 1  # a helix of stripes, `pattern` = (turns around, stripes per unit height, -)
    CHECKS = 2  # `pattern` = (checks around, checks per unit height, -)
    TIP = 3  # a rod whose last part has the second colour, `pattern` = (length of the tip, -, -)
    PRINT = 4  # a box with printed faces, `pattern` = (print on +y, print on -y, print on +z)
    PLINTH = 5  # checks and a dial on the top, a print around the side, `pattern` = (print, -, -)
    VEINS = 6  # a leaf with a midrib and ribs to the sides, `pattern` = (pairs of ribs, -, -)
    ENDS = 7  # a cylinder with rings on its ends, `pattern` = (inner, outer radius of a ring, -)
    RINGS = 8  # grooves around the axis, `pattern` = (grooves per unit radius, -, -)


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
def leaf_ink(p, normal, side, size, num_ribs):
    """1 on the midrib and on ribs that run forward from it, else 0."""
    u, v = tm.dot(p, side) / size.x, ti.abs(tm.dot(p, tm.cross(normal, side))) / size.y
    rib = (0.5 * u - 0.3 * v) * num_ribs
    rib = ti.abs(rib - ti.round(rib))
    return ti.cast(v < 0.09 or rib < 0.07, ti.i32)


@ti.func
def end_ink(p, n, axis, size, ring):
    """1 on the ends of a cylinder, 2 in a ring on them, 0 on its side."""
    ink = 0
    if ti.abs(tm.dot(n, axis)) > 0.5:
        rho = tm.length(p - tm.dot(p, axis) * axis) / size.x
        ink = ti.select(ring.x < rho < ring.y, 2, 1)
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
    elif paint == Paint.VEINS:
        ink = leaf_ink(local, axis, table[k, Row.SIDE], size, pattern.x)
    elif paint == Paint.ENDS:
        ink = end_ink(local, n, axis, size, pattern)
    elif paint == Paint.RINGS:
        ink = odd(tm.length(local - tm.dot(local, axis) * axis) * pattern.x)
    return table[k, Row.COLOUR + ink]
