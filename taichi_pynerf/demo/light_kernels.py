"""The light of the demo scenes: key light, sky, what mirrors see, and the film that records it."""

import taichi as ti
import taichi.math as tm

KEY_LIGHT = (1.55, 1.40, 1.18)
SKY_LIGHT = (0.42, 0.50, 0.60)
BOUNCE_LIGHT = (0.32, 0.26, 0.20)
HORIZON = (0.90, 0.86, 0.80)

# What only mirrors see of the room around the scene; directions are unit vectors.
WINDOW = (0.76, -0.41, 0.50)
WINDOW_LIGHT = (1.9, 2.1, 2.4)
STRIP = (-0.64, 0.70, 0.32)
STRIP_LIGHT = (2.2, 1.9, 1.5)
LAMP_LIGHT = (7.0, 6.4, 5.4)
LAMP_COSINES = (0.9925, 0.9960)  # from its soft edge to its full strength


@ti.func
def sky_seen(slope):
    """The light of the plain sky and ground in a direction whose z is `slope`."""
    above_ground = tm.smoothstep(-0.15, 0.1, slope)
    above = tm.mix(ti.Vector(HORIZON), ti.Vector(SKY_LIGHT), ti.abs(slope))
    return tm.mix(ti.Vector(BOUNCE_LIGHT) * 0.5, above, above_ground)


@ti.func
def across_panel(d, towards):
    """Where a direction meets a panel that faces the scene: (right, up) in units of its distance.

    Both are 9 where the direction leads away from it.
    """
    right = tm.normalize(ti.Vector([-towards.y, towards.x, 0.0]))
    up = tm.cross(towards, right)
    ahead = tm.dot(d, towards)
    at = ti.Vector([9.0, 9.0])
    if ahead > 1e-3:
        at = ti.Vector([tm.dot(d, right), tm.dot(d, up)]) / ahead
    return at


@ti.func
def room_seen(d, to_light):
    """What a mirror sees of the room in direction `d`: sky, a window, a strip light, the lamp."""
    light = sky_seen(d.z) * tm.mix(0.35, 1.0, tm.smoothstep(-0.3, 0.6, d.z))
    at = ti.abs(across_panel(d, ti.Vector(WINDOW)))
    if at.x < 0.55 and at.y < 0.42 and at.x > 0.03 and ti.abs(at.y - 0.12) > 0.03:
        light = ti.Vector(WINDOW_LIGHT)
    at = ti.abs(across_panel(d, ti.Vector(STRIP)))
    if at.x < 0.10 and at.y < 0.8:
        light = ti.Vector(STRIP_LIGHT)
    lamp = tm.smoothstep(LAMP_COSINES[0], LAMP_COSINES[1], tm.dot(d, to_light))
    return tm.mix(light, ti.Vector(LAMP_LIGHT), lamp)


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
