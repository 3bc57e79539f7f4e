// Levels, density and colour of a sample (model/pyramid.py, occupancy.py, field.py).

float level_of(float area) {
#if NUM_HEADS == 1
  return 0.0;
#else
  float wanted = log2(LEVEL_SIZE) - 0.5 * log2(max(area, 1e-30));
#ifdef EVEN_KNOTS
  float level = (wanted - knots[0]) * (float(NUM_HEADS - 1) / (knots[NUM_HEADS - 1] - knots[0]));
#else
  int l = 0;
  while (l < NUM_HEADS - 2 && wanted > knots[l + 1]) {
    l++;
  }
  float level = float(l) + (wanted - knots[l]) / (knots[l + 1] - knots[l]);
#endif
  return clamp(level, 0.0, float(NUM_HEADS - 1));
#endif
}

float trained_level(vec3 p, float level) {
#if NUM_HEADS == 1
  return level;
#else
  ivec3 g = clamp(ivec3(p * float(RANGES)), ivec3(0), ivec3(RANGES - 1));
  uvec4 range = ranges_at(ivec3(g.z, g.y, g.x));
  if (range.x > range.y) {
    return level;
  }
  return clamp(level, float(range.x) * RANGE_STEP, float(range.y) * RANGE_STEP);
#endif
}

// The lower of a level's two heads in x, and the share of the upper in y.
vec2 split_level(float level) {
  float x = clamp(level, 0.0, float(NUM_HEADS - 1));
#ifdef LINEAR
  return vec2(floor(x), fract(x));
#else
  return vec2(roundEven(x), 0.0);
#endif
}

float truncated_exp(float x) {
  return exp(min(x, 15.0));
}

// What one sample says; its colour is asked for only where it shows.
struct Sample {
  float sigma;
  vec3 rgb;
  vec4 code[ANSWER_QUADS];
};

vec3 color_of(int h, vec4 code[ANSWER_QUADS]) {
  color_inputs(code);
  color_head(h);
  colors_taken++;
  return 1.0 / (1.0 + exp(-answer[0].xyz));
}

Sample ask(vec3 p, float level) {
  vec2 split = split_level(level);
  int lower = int(split.x);
  int num_heads = select(1, 2, split.y > 0.0);
  int num_levels = FIRST_LEVEL + lower + num_heads;
  features_at(p, num_levels);
  Sample found;
  found.sigma = 0.0;
  found.rgb = vec3(0.0);
  for (int j = 0; j < ANSWER_QUADS; j++) {
    found.code[j] = vec4(0.0);
  }
  for (int i = 0; i < num_heads; i++) {
    float share = select(1.0 - split.y, split.y, i == 1);
    head(lower + i);
#ifdef BLEND_COLORS
    found.sigma += share * truncated_exp(answer[0].x);
    found.rgb += share * color_of(lower + i, answer);
#else
    for (int j = 0; j < ANSWER_QUADS; j++) {
      found.code[j] += share * answer[j];
    }
#endif
  }
#ifndef BLEND_COLORS
  found.sigma = truncated_exp(found.code[0].x);
#endif
  found.sigma *= closeness(p);
  samples_taken++;
  levels_taken += uint(num_levels);
  return found;
}

struct Pixel {
  vec3 rgb;
  float acc;
  float depth;
  float level;
  float light;
};

const Pixel NOTHING = Pixel(vec3(0.0), 0.0, 0.0, 0.0, 1.0);

// A pixel with the sample from t to t + dt behind what it has.
Pixel composite(Pixel before, Ray ray, vec3 o, vec3 d, float t, float dt) {
  float middle = t + 0.5 * dt;
  vec3 unit = o + middle * d, p = unit_to_field(unit);
  float level = view.fixed_level;
  if (level < 0.0) {
    level = level_of(ray.area * middle * middle * footprint_scale(unit, ray.direction));
    level = trained_level(p, level);
  }
  level = min(level, view.finest);
  Sample found = ask(p, level);
  float passed = before.light * exp(-found.sigma * dt);
  float weight = before.light * (1.0 - exp(-found.sigma * dt));
#ifndef BLEND_COLORS
  if (weight >= LEAST_WEIGHT) {
    found.rgb = color_of(0, found.code);
  }
#endif
  if (passed < EARLY_STOP_EPS) {
    weight = before.light - EARLY_STOP_EPS;
  }
  return Pixel(
    before.rgb + weight * found.rgb, before.acc + weight, before.depth + weight * middle,
    before.level + weight * level, passed);
}
