// From the world to the unit cube and on to the field's (geometry/scene_box.py, contraction.py).

struct Ray {
  vec3 origin;     // world
  vec3 direction;  // world, of length 1
  float area;      // of its pixel at distance 1
  float near, far;
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
  return 1.0 / mix(d, vec3(1e-12), lessThan(abs(d), vec3(1e-12)));
}

void clip(inout Ray ray) {
  vec3 inverse_d = inverse_of(ray.direction);
  vec3 low = (REACH_LOW - ray.origin) * inverse_d, high = (REACH_HIGH - ray.origin) * inverse_d;
  ray.near = max(largest(min(low, high)), ray.near);
  ray.far = max(min(least(max(low, high)), ray.far), ray.near);
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
  if (m <= 1.0) return 1.0;
  vec3 axis = a.x >= m ? vec3(1, 0, 0) : (a.y >= m ? vec3(0, 1, 0) : vec3(0, 0, 1));
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
  t /= SIZE;
  return t < 1.0 ? t / 2.0 : 1.0 - 0.5 / t;
}

float from_spacing(float s) {
  return SIZE * (s < 0.5 ? 2.0 * s : 0.5 / (1.0 - s));
}
#else
vec3 unit_to_field(vec3 p) {
  return clamp(p, 0.0, 1.0);
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
