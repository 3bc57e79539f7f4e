// One pixel: its ray, and what is written of it.

uniform vec3 eye;
uniform mat3 axes;     // right, up, backward in the world
uniform vec4 lens;     // fx, fy, cx, cy in pixels
uniform vec2 bounds;
uniform float height;  // of the picture, pixels
uniform bool counts;   // write what it cost instead

layout(location = 0) out vec4 color;
layout(location = 1) out vec4 facts;

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

void main() {
  vec2 at = vec2(gl_FragCoord.x - lens.z, lens.w - (height - gl_FragCoord.y)) / lens.xy;
  Ray ray;
  ray.origin = eye;
  ray.direction = normalize(axes * vec3(at, -1.0));
  ray.area = pow(dot(at, at) + 1.0, -1.5) / (lens.x * lens.y);
  ray.near = bounds.x;
  ray.far = bounds.y;
  set_harmonics(ray.direction);
  Pixel pixel = render(ray);
  float seen = max(pixel.acc, 1e-6), depth = pixel.depth / seen;
  color = vec4(pixel.rgb, pixel.acc);
  facts = vec4(two_bytes(pixel.level / seen / float(max(NUM_HEADS - 1, 1))),
               two_bytes(depth / (depth + SIZE)));
  if (counts) {
    color = vec4(two_bytes(float(samples_taken) / 65535.0), two_bytes(float(colors_taken) / 65535.0));
    facts = vec4(two_bytes(float(levels_taken) / 65535.0), two_bytes(float(small_taken) / 65535.0));
  }
}
