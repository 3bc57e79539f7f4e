// How it is shown; renderer.js fills it in.

struct Look {
  vec4 background;
  vec2 screen;  // pixels
  vec2 size;    // of the picture, pixels
  vec2 depths;  // at the ends of the ramp, as depth / (depth + size)
  float mode;   // 0 colour, 1 level, 2 depth
};
