// What has been rendered, on the screen: in colour, as pyramid levels or as depths.

// From dark to light, evenly in lightness: rendering/colormaps.py, "sea".
const vec3 ramp[7] = vec3[](
  vec3(20.0, 11.0, 52.0), vec3(52.0, 42.0, 118.0), vec3(44.0, 88.0, 143.0),
  vec3(35.0, 130.0, 142.0), vec3(45.0, 170.0, 124.0), vec3(134.0, 205.0, 75.0),
  vec3(250.0, 231.0, 60.0));

vec3 ramp_at(float share) {
  float place = clamp(share, 0.0, 1.0) * 6.0;
  int below = min(int(place), 5);
  return mix(ramp[below], ramp[below + 1], place - float(below)) / 255.0;
}

float from_bytes(vec2 bytes) {
  return dot(bytes, vec2(65280.0, 255.0)) / 65535.0;
}

// 1 / depth, but for a factor.
float nearness(float code) {
  return (1.0 - code) / max(code, 1e-6);
}

// The colour at a place on the screen, pixels from its upper left corner.
vec4 shown_at(vec2 place) {
  vec2 at = place / look.screen;
  vec4 color = colors_at(at);
  vec3 rgb = color.rgb + (1.0 - color.a) * look.background.rgb;
  if (look.mode > 0.0) {
    vec4 fact = facts_at(ivec2(at * look.size));
    float share = from_bytes(fact.xy);
    if (look.mode > 1.0) {
      float low = nearness(look.depths.y), high = nearness(look.depths.x);
      share = (nearness(from_bytes(fact.zw)) - low) / max(high - low, 1e-6);
    }
    rgb = mix(vec3(1.0), ramp_at(share), color.a);
  }
  return vec4(rgb, 1.0);
}
