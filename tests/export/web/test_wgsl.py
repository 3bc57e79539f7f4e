"""WGSL of the page's GLSL, as text; tests in a browser say whether browsers take it."""

import pytest

from taichi_pynerf.export.web.wgsl import resolved, to_wgsl

GLSL = """\
struct Ray {
  vec3 origin;  // world
  float far;
  vec4 code[QUADS];
};
const int QUADS = 2;
const float knots[2] = float[](0.5, 1.0);
vec4 answer[QUADS];
uint taken = 0u, missed = 1u;

vec3 along(Ray ray, float t,
           vec4 code[QUADS]) {
  vec3 a = ray.origin * t, b = max(a, vec3(0.0));
  ivec2 place;
  for (int i = 0; i < QUADS; i++) {
    answer[i] = code[i];
  }
  return vec3(ivec3(a)) + b;
}

void nothing() {
}
"""

WGSL = """\
struct Ray {
  origin: vec3f,
  far: f32,
  code: array<vec4f, QUADS>,
};
const QUADS: i32 = 2;
const knots: array<f32, 2> = array(0.5, 1.0);
var<private> answer: array<vec4f, QUADS>;
var<private> taken: u32 = 0u;
var<private> missed: u32 = 1u;

fn along(ray: Ray, t: f32, code: array<vec4f, QUADS>) -> vec3f {
  var a: vec3f = ray.origin * t;
  var b: vec3f = max(a, vec3f(0.0));
  var place: vec2i;
  for (var i: i32 = 0; i < QUADS; i++) {
    answer[i] = code[i];
  }
  return vec3f(vec3i(a)) + b;
}

fn nothing() {
}
"""


def test_types_declarations_and_heads_are_written_anew():
    assert to_wgsl(GLSL) == WGSL


@pytest.mark.parametrize("text", ["float x = y ? 1.0 : 2.0;", "void f(inout float x) {\n}"])
def test_what_only_one_language_has_is_refused(text):
    with pytest.raises(AssertionError):
        to_wgsl(text)


CONDITIONS = """\
#ifdef A
a
#if N > 1
many
#else
one
#endif
#else
no a
#endif
#ifndef A
none
#endif"""


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ({"A": 1, "N": 2}, ["a", "many"]),
        ({"A": 1, "N": 1}, ["a", "one"]),
        ({"N": 2}, ["no a", "none"]),
    ],
)
def test_conditional_parts(names, kept):
    assert resolved(CONDITIONS, names).split() == " ".join(kept).split()
