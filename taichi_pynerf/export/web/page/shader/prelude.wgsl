// What GLSL has of its own.
fn lessThan(a: vec3f, b: vec3f) -> vec3<bool> {
  return a < b;
}

fn greaterThan(a: vec3f, b: vec3f) -> vec3<bool> {
  return a > b;
}

fn roundEven(x: f32) -> f32 {
  return round(x);
}

// A triangle over everything.
@vertex fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
  return vec4f(vec2f(f32(i & 1u), f32(i >> 1u)) * 4.0 - 1.0, 0.0, 1.0);
}
