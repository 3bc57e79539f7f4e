// The hash grid: trilinear look-ups in a table of whole numbers (kernels/hash_grid.py).

vec4 entry(uint first, uint texels, uint place) {
  uint e = first + place * texels;
  uint row = e / uint(TABLE_ROW);
  uvec3 at = uvec3(e % uint(TABLE_ROW), row % uint(TABLE_LAYER), row / uint(TABLE_LAYER));
  return vec4(table_at(ivec3(at)));
}

// Between numbers at the corners of a cell, x the fastest.
vec4 trilinear(vec3 f, vec4 a, vec4 b, vec4 c, vec4 d, vec4 e, vec4 g, vec4 h, vec4 i) {
  return mix(mix(mix(a, b, f.x), mix(c, d, f.x), f.y), mix(mix(e, g, f.x), mix(h, i, f.x), f.y), f.z);
}

vec4 dense(vec3 p, float n, uint first, uint texels) {
  vec3 q = p * n, g = clamp(floor(q), vec3(0.0), vec3(n - 1.0));
  uint y = uint(n) + 1u, z = y * y;
  uint at = uint(g.x) + uint(g.y) * y + uint(g.z) * z;
  return trilinear(q - g,
    entry(first, texels, at), entry(first, texels, at + 1u),
    entry(first, texels, at + y), entry(first, texels, at + y + 1u),
    entry(first, texels, at + z), entry(first, texels, at + z + 1u),
    entry(first, texels, at + y + z), entry(first, texels, at + y + z + 1u));
}

vec4 hashed(vec3 p, float n, uint first, uint texels, uint mask) {
  vec3 q = p * n, g = clamp(floor(q), vec3(0.0), vec3(n - 1.0));
  uvec3 primes = uvec3(1u, 2654435761u, 805459861u), low = uvec3(g) * primes, high = low + primes;
  return trilinear(q - g,
    entry(first, texels, (low.x ^ low.y ^ low.z) & mask),
    entry(first, texels, (high.x ^ low.y ^ low.z) & mask),
    entry(first, texels, (low.x ^ high.y ^ low.z) & mask),
    entry(first, texels, (high.x ^ high.y ^ low.z) & mask),
    entry(first, texels, (low.x ^ low.y ^ high.z) & mask),
    entry(first, texels, (high.x ^ low.y ^ high.z) & mask),
    entry(first, texels, (low.x ^ high.y ^ high.z) & mask),
    entry(first, texels, (high.x ^ high.y ^ high.z) & mask));
}

vec4 features[FEATURE_QUADS];
vec4 hidden_a[HIDDEN_QUADS];
vec4 hidden_b[HIDDEN_QUADS];
vec4 hidden_c[COLOR_INPUT_QUADS];
vec4 answer[ANSWER_QUADS];
vec4 harmonics[4];

vec4 weight(int column, int row) {
  return weights_at(ivec2(column, row));
}

// What a render costs, for those who ask.
uint samples_taken = 0u, colors_taken = 0u, levels_taken = 0u, small_taken = 0u;
