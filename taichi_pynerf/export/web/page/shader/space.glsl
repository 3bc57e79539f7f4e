// From the world to the unit cube and on to the field's (geometry/scene_box.py, contraction.py).

struct Ray {
  vec3 origin;     // world
  vec3 direction;  // world, of length 1
  float area;      // of its pixel at distance 1
  float near;
  float far;
};

vec3 to_unit(vec3 p) {
  return (p - CENTER) / SIZE + 0.5;
}

float largest(vec3 v) {
  return max(max(v.x, v.y), v.z);
}

float least(vec3 v) {
  return min(min(v.x, v.y), v.z);
}

vec3 inverse_of(vec3 d) {
  return 1.0 / select(d, vec3(1e-12), lessThan(abs(d), vec3(1e-12)));
}

Ray clipped(Ray ray) {
  vec3 inverse_d = inverse_of(ray.direction);
  vec3 low = (REACH_LOW - ray.origin) * inverse_d, high = (REACH_HIGH - ray.origin) * inverse_d;
  float near = max(largest(min(low, high)), ray.near);
  float far = max(min(least(max(low, high)), ray.far), near);
  return Ray(ray.origin, ray.direction, ray.area, near, far);
}

// The length of steps as a share of training's (PyramidRenderer.are_wide).
float step_share(Ray ray) {
  float middle = clamp(dot(CENTER - ray.origin, ray.direction), 0.0, 1e30);
  middle = min(max(middle, ray.near), ray.far);
  if (sqrt(ray.area) * middle >= WIDE_PIXEL * STEP_SIZE) {
    return 1.0;
  }
  return RENDER_STEP;
}

#ifdef UNBOUNDED
vec3 unit_to_field(vec3 p) {
  vec3 y = 2.0 * p - 1.0;
  float m = max(largest(abs(y)), 1.0);
  return y * ((2.0 - 1.0 / m) / m) / 4.0 + 0.5;
}

// How many times larger contraction makes a small area across a ray.
float footprint_scale(vec3 p, vec3 direction) {
  vec3 y = 2.0 * p - 1.0, a = abs(y);
  float m = largest(a);
  if (m <= 1.0) {
    return 1.0;
  }
  vec3 axis = select(vec3(0.0, 0.0, 1.0), vec3(0.0, 1.0, 0.0), a.y >= m);
  axis = select(axis, vec3(1.0, 0.0, 0.0), a.x >= m);
  float across = (2.0 * m - 1.0) / (m * m);
  vec3 shear = y * sign(dot(y, axis)) * (2.0 * (1.0 - m) / (m * m * m));
  vec3 solved = direction / across;
  float other = dot(shear, solved) - dot(shear, axis) * dot(solved, axis);
  float along = (dot(direction, axis) - other) * m * m;
  solved = mix(solved, vec3(along), axis);
  float determinant = (across / m) * (across / m);
  return determinant * length(solved);
}

float closeness(vec3 field_point) {
  return (2.0 - max(largest(abs(4.0 * field_point - 2.0)), 1.0)) / SIZE;
}

float to_spacing(float t) {
  float x = t / SIZE;
  return select(1.0 - 0.5 / max(x, 1.0), x / 2.0, x < 1.0);
}

float from_spacing(float s) {
  return SIZE * select(0.5 / (1.0 - s), 2.0 * s, s < 0.5);
}
#else
vec3 unit_to_field(vec3 p) {
  return clamp(p, vec3(0.0), vec3(1.0));
}

float footprint_scale(vec3 p, vec3 direction) {
  return 1.0;
}

float closeness(vec3 field_point) {
  return 1.0;
}

float to_spacing(float t) {
  return t;
}

float from_spacing(float s) {
  return s;
}
#endif
