// What a picture is of; renderer.js fills it in.

struct View {
  vec4 eye;          // world
  vec4 right;        // axes in the world
  vec4 up;
  vec4 backward;
  vec4 lens;         // fx, fy, cx, cy in pixels, from the upper left corner
  float near;
  float far;
  float fixed_level;  // below 0: each sample's own
  float finest;       // the finest level that has been loaded
  float counts;       // above 0: write what a pixel cost instead
};
