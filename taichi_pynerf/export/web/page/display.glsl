#version 300 es
precision highp float;
precision highp sampler2D;

// What has been rendered, on the screen: in colour, as pyramid levels or as depths.

uniform sampler2D colors;
uniform sampler2D facts;
uniform vec2 screen;   // pixels
uniform int mode;      // 0 colour, 1 level, 2 depth
uniform vec3 background;
uniform vec2 depths;   // at the ends of the ramp, as depth / (depth + size)

out vec4 shown;

// From dark to light, evenly in lightness: rendering/colormaps.py, "sea".
const vec3 ramp[7] = vec3[](
  vec3(20, 11, 52), vec3(52, 42, 118), vec3(44, 88, 143), vec3(35, 130, 142), vec3(45, 170, 124),
  vec3(134, 205, 75), vec3(250, 231, 60));

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

void main() {
  vec2 at = gl_FragCoord.xy / screen;
  vec4 color = texture(colors, at);
  vec3 rgb = color.rgb + (1.0 - color.a) * background;
  if (mode != 0) {
    vec4 fact = texelFetch(facts, ivec2(at * vec2(textureSize(facts, 0))), 0);
    float share = from_bytes(fact.xy);
    if (mode == 2) {
      float low = nearness(depths.y), high = nearness(depths.x);
      share = (nearness(from_bytes(fact.zw)) - low) / max(high - low, 1e-6);
    }
    rgb = mix(vec3(1.0), ramp_at(share), color.a);
  }
  shown = vec4(rgb, 1.0);
}
