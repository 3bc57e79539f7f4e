// The hash grid: trilinear look-ups in a table of whole numbers (kernels/hash_grid.py).

uniform isampler2DArray table;

vec4 entry(uint place, uint texels, uint texel, uint first) {
  uint e = first + place * texels + texel;
  uint row = e / uint(TABLE_ROW);
  ivec3 at = ivec3(e % uint(TABLE_ROW), row % uint(TABLE_LAYER), row / uint(TABLE_LAYER));
  return vec4(texelFetch(table, at, 0));
}

vec4 dense(vec3 p, float n, uint first, uint texels, uint texel) {
  vec3 q = p * n, g = clamp(floor(q), 0.0, n - 1.0), f = q - g;
  uint y = uint(n) + 1u, z = y * y;
  uint at = uint(g.x) + uint(g.y) * y + uint(g.z) * z;
#define CORNER(offset) entry(at + (offset), texels, texel, first)
  return mix(
    mix(mix(CORNER(0u), CORNER(1u), f.x), mix(CORNER(y), CORNER(y + 1u), f.x), f.y),
    mix(mix(CORNER(z), CORNER(z + 1u), f.x), mix(CORNER(y + z), CORNER(y + z + 1u), f.x), f.y),
    f.z);
#undef CORNER
}

vec4 hashed(vec3 p, float n, uint first, uint texels, uint texel, uint mask) {
  vec3 q = p * n, g = clamp(floor(q), 0.0, n - 1.0), f = q - g;
  uvec3 low = uvec3(g) * uvec3(1u, 2654435761u, 805459861u);
  uvec3 high = low + uvec3(1u, 2654435761u, 805459861u);
#define CORNER(x, y, z) entry((x ^ y ^ z) & mask, texels, texel, first)
  return mix(
    mix(mix(CORNER(low.x, low.y, low.z), CORNER(high.x, low.y, low.z), f.x),
        mix(CORNER(low.x, high.y, low.z), CORNER(high.x, high.y, low.z), f.x), f.y),
    mix(mix(CORNER(low.x, low.y, high.z), CORNER(high.x, low.y, high.z), f.x),
        mix(CORNER(low.x, high.y, high.z), CORNER(high.x, high.y, high.z), f.x), f.y),
    f.z);
#undef CORNER
}

vec4 features[FEATURE_QUADS];
vec4 hidden_a[HIDDEN_QUADS];
vec4 hidden_b[HIDDEN_QUADS];
vec4 hidden_c[COLOR_INPUT_QUADS];
vec4 answer[ANSWER_QUADS];
vec4 harmonics[4];

uniform sampler2D weights;

vec4 weight(int column, int row) {
  return texelFetch(weights, ivec2(column, row), 0);
}

// What a render costs, for those who ask.
uint samples_taken = 0u, colors_taken = 0u, heads_taken = 0u, levels_taken = 0u, small_taken = 0u;
