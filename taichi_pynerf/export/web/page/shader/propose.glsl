// Samples where a small field asks for them (model/proposals.py, ops/resampling.py).

float borders[MOST_BORDERS];
float shares[MOST_BORDERS];
float drawn[MOST_BORDERS];

// Put count + 1 borders in place of the num_bins + 1 there are, most where `shares` are large.
void draw(int num_bins, int count) {
  float first = borders[0], last = borders[num_bins];
  float total = 0.0, sum = 0.0;
  for (int i = 0; i < num_bins; i++) {
    sum += shares[i];
  }
  sum = max(sum, 1e-8);
  float width = max(last - first, 1e-12);
  for (int i = 0; i < num_bins; i++) {
    shares[i] = mix(shares[i] / sum, (borders[i + 1] - borders[i]) / width, EXPLORE) + PADDING;
    total += shares[i];
  }
  drawn[0] = first;
  int bin = 0;
  float below = 0.0;
  for (int i = 0; i < count - 1; i++) {
    float wanted = (float(i) + 0.5) / float(count - 1) * total;
    while (bin < num_bins - 1 && below + shares[bin] <= wanted) {
      below += shares[bin];
      bin++;
    }
    float inside = clamp((wanted - below) / shares[bin], 0.0, 1.0);
    drawn[i + 1] = borders[bin] + inside * (borders[bin + 1] - borders[bin]);
  }
  drawn[count] = last;
  for (int i = 0; i <= count; i++) {
    borders[i] = drawn[i];
  }
}

float small_density(vec3 p) {
  small_features_at(p, 1000);
  small_head(0);
  small_taken++;
  return truncated_exp(answer[0].x) * closeness(p);
}

Pixel render(Ray whole) {
  Pixel pixel = NOTHING;
  Ray ray = clipped(whole);
  vec3 o = to_unit(ray.origin), d = ray.direction / SIZE;
  borders[0] = to_spacing(ray.near);
  borders[1] = to_spacing(ray.far);
  shares[0] = 1.0;
  float share = step_share(whole);
  int proposals = int(round(float(PROPOSALS) / share));
  int fine = int(round(float(FINE_SAMPLES) / share));
  int num_bins = 1;
  for (int turn = 0; turn < ROUNDS; turn++) {
    draw(num_bins, proposals);
    num_bins = proposals;
    float depth = 0.0, t = from_spacing(borders[0]);
    for (int i = 0; i < proposals; i++) {
      float next = from_spacing(borders[i + 1]);
      vec3 p = unit_to_field(o + 0.5 * (t + next) * d);
      float own = small_density(p) * (next - t);
      drawn[i] = exp(-depth) * (1.0 - exp(-own));
      depth += own;
      t = next;
    }
    for (int i = 0; i < proposals; i++) {  // reach into the intervals beside
      float left = max(drawn[max(i - 1, 0)], drawn[i]);
      float right = max(drawn[i], drawn[min(i + 1, proposals - 1)]);
      shares[i] = 0.5 * (left + right);
    }
  }
  draw(num_bins, fine);
  float t = from_spacing(borders[0]);
  for (int i = 0; i < fine && pixel.light >= EARLY_STOP_EPS; i++) {
    float next = from_spacing(borders[i + 1]);
    pixel = composite(pixel, ray, o, d, t, next - t);
    t = next;
  }
  return pixel;
}
