// Steps through the occupancy grid (kernels/ray_march.py).

const int WORDS = (OCCUPANCY + 31) / 32;  // 32 cells along x in each texel
const int NUM_BLOCKS = (OCCUPANCY + BLOCK - 1) / BLOCK;
const int BLOCK_WORDS = (NUM_BLOCKS + 31) / 32;
const float OUTER = float(1 << uint(CASCADES - 1));

ivec3 word_of(int words, int cascade, ivec3 g) {
  return ivec3(g.z, g.y, cascade * words + (g.x >> 5u));
}

bool is_set(uint word, ivec3 g) {
  return ((word >> uint(g.x & 31)) & 1u) != 0u;
}

float step_at(float t, float cone_angle, float step_size) {
  return clamp(t * cone_angle, step_size, OUTER * step_size);
}

int cascade_of(vec3 p) {
  int k = 0;
#if CASCADES > 1
  float reach = 2.0 * largest(abs(p - 0.5));
  while (k < CASCADES - 1 && reach > 1.0) {
    reach *= 0.5;
    k++;
  }
#endif
  return k;
}

// From t on to the first step whose middle is in an occupied cell: where it begins, and its length;
// that is 0 where there is none.
vec2 seek(vec3 o, vec3 d, vec3 inverse_d, float from_t, float t_exit, float cone_angle,
          float step_size) {
  float t = from_t, dt = step_at(t, cone_angle, step_size);
  while (t < t_exit && t + dt > t) {
    vec3 p = o + (t + 0.5 * dt) * d;
    int k = cascade_of(p);
    float side = float(1 << uint(k));
    vec3 q = (p - 0.5) / side + 0.5;
    ivec3 g = clamp(ivec3(floor(q * float(OCCUPANCY))), ivec3(0), ivec3(OCCUPANCY - 1));
    if (is_set(occupied_at(word_of(WORDS, k, g)).x, g)) {
      return vec2(t, dt);
    }
    ivec3 low = g, b = g / BLOCK;
    float width = 1.0;
    if (!is_set(blocks_at(word_of(BLOCK_WORDS, k, b)).x, b)) {
      low = b * BLOCK;
      width = float(BLOCK);
    }
    vec3 border = (vec3(low) + vec3(greaterThan(d, vec3(0.0))) * width) / float(OCCUPANCY);
    border = (border - 0.5) * side + 0.5;
    vec3 leaves = select((border - o) * inverse_d, vec3(1e30), lessThan(abs(d), vec3(1e-12)));
    float t_leave = min(least(leaves), t_exit);
    t += dt;
#ifdef UNBOUNDED
    dt = step_at(t, cone_angle, step_size);
    while (t + 0.5 * dt < t_leave && t + dt > t) {
      t += dt;
      dt = step_at(t, cone_angle, step_size);
    }
#else
    t += max(0.0, ceil((t_leave - t) / dt - 0.5)) * dt;
#endif
  }
  return vec2(t, 0.0);
}

Pixel render(Ray whole) {
  Pixel pixel = NOTHING;
  float share = step_share(whole);
  float step_size = share * STEP_SIZE, cone_angle = share * CONE_ANGLE;
  Ray ray = clipped(whole);
  vec3 o = to_unit(ray.origin), d = ray.direction / SIZE, inverse_d = inverse_of(d);
  vec3 low = (0.5 - 0.5 * OUTER - o) * inverse_d, high = (0.5 + 0.5 * OUTER - o) * inverse_d;
  float t = max(ray.near, largest(min(low, high)));
  float t_exit = min(ray.far, least(max(low, high)));
  t += 0.5 * step_at(t, cone_angle, step_size);
  while (pixel.light >= EARLY_STOP_EPS) {
    vec2 step = seek(o, d, inverse_d, t, t_exit, cone_angle, step_size);
    if (step.y == 0.0) {
      break;
    }
    pixel = composite(pixel, ray, o, d, step.x, step.y);
    t = step.x + step.y;
  }
  return pixel;
}
