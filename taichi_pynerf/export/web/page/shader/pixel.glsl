// One pixel: its ray, and what is written of it.

vec4 color = vec4(0.0);
vec4 facts = vec4(0.0);

void set_harmonics(vec3 d) {
  float x = d.x, y = d.y, z = d.z, xx = x * x, yy = y * y, zz = z * z;
  harmonics[0] = vec4(0.28209479, -0.48860251 * y, 0.48860251 * z, -0.48860251 * x);
  harmonics[1] = vec4(1.09254843 * x * y, -1.09254843 * y * z,
                      0.94617470 * zz - 0.31539157, -1.09254843 * x * z);
  harmonics[2] = vec4(0.54627422 * (xx - yy), 0.59004359 * y * (yy - 3.0 * xx),
                      2.89061144 * x * y * z, 0.45704580 * y * (1.0 - 5.0 * zz));
  harmonics[3] = vec4(0.37317633 * z * (5.0 * zz - 3.0), 0.45704580 * x * (1.0 - 5.0 * zz),
                      1.44530572 * z * (xx - yy), 0.59004359 * x * (3.0 * yy - xx));
}

// A number from 0 to 1 as two bytes.
vec2 two_bytes(float x) {
  float code = floor(clamp(x, 0.0, 1.0) * 65535.0 + 0.5), high = floor(code / 256.0);
  return vec2(high, code - 256.0 * high) / 255.0;
}

// Set `color` and `facts` of a place in the picture, pixels from its upper left corner.
void paint(vec2 place) {
  vec2 at = vec2(place.x - view.lens.z, view.lens.w - place.y) / view.lens.xy;
  vec3 direction = normalize(at.x * view.right.xyz + at.y * view.up.xyz - view.backward.xyz);
  float area = pow(dot(at, at) + 1.0, -1.5) / (view.lens.x * view.lens.y);
  set_harmonics(direction);
  Pixel pixel = render(Ray(view.eye.xyz, direction, area, view.near, view.far));
  float seen = max(pixel.acc, 1e-6), depth = pixel.depth / seen;
  color = vec4(pixel.rgb, pixel.acc);
  facts = vec4(two_bytes(pixel.level / seen / float(max(NUM_HEADS - 1, 1))),
               two_bytes(depth / (depth + SIZE)));
  if (view.counts > 0.0) {
    color = vec4(two_bytes(float(samples_taken) / 65535.0), two_bytes(float(colors_taken) / 65535.0));
    facts = vec4(two_bytes(float(levels_taken) / 65535.0), two_bytes(float(small_taken) / 65535.0));
  }
}
