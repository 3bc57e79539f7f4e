// Pictures of the scene: few pixels while the camera moves, all of them when it rests.

const MOVING_MS = 40;   // of a picture while the camera moves
const TILE_MS = 60;     // of a tile: input is seen in between
const REST_MS = 150;    // without input until the full size is begun
const LEAST_WIDTH = 24; // pixels, of the smallest picture
const COARSE_MS = 2000; // a picture that takes longer has coarser ones before it

class Renderer {
  constructor(device, canvas, header) {
    Object.assign(this, {device, canvas, header});
    this.camera = null;
    this.fixedLevel = -1;
    this.finest = -1;       // level that has been loaded
    this.mode = "color";
    this.rate = 1;          // pixels a millisecond
    this.base = null;       // the newest picture that is complete
    this.work = null;       // what is being drawn: {target, tiles}
    this.stale = false;     // the picture is of another camera or level
    this.moved = 0;         // when the camera was last moved
    this.drawing = 0;       // pictures and tiles that have been asked for
    this.frames = 0;
    this.pictureMs = 0;
    this.turn = Promise.resolve();
    this.wake = () => {};
    this.onStatus = () => {};
  }

  // The picture is another one now: draw it anew.
  invalidate(moving = false) {
    this.stale = true;
    if (moving) this.moved = performance.now();
    this.wake();
  }

  // One after the other: what `act` draws is drawn without others in between.
  exclusive(act) {
    this.drawing++;
    const done = this.turn.then(act).finally(() => this.drawing--);
    this.turn = done.catch(() => {});
    return done;
  }

  // Whether the picture on the screen is what there is to see, in full size.
  get complete() {
    return !this.stale && !this.work && !this.drawing && this.base !== null;
  }

  async run() {
    for (;;) {
      if (this.camera && this.finest >= 0) {
        this.fit();
        if (this.stale) await this.exclusive(() => this.drawMoving());
        else if (this.resting && this.work) await this.exclusive(() => this.drawTile());
      }
      if (!this.stale && !(this.work && this.resting)) {
        const wait = this.work ? REST_MS : 1e9;
        await new Promise((resolve) => {
          this.wake = resolve;
          setTimeout(resolve, Math.min(wait, 2 ** 30));
        });
      } else {
        await pause(0);
      }
    }
  }

  get resting() {
    return performance.now() - this.moved > REST_MS;
  }

  // Follow the window's size.
  fit() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(ratio * this.canvas.clientWidth));
    const height = Math.max(1, Math.round(ratio * this.canvas.clientHeight));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, {width, height});
      this.stale = true;
    }
  }

  draw(target, {eye, axes: [right, up, backward], lens}, tile, options = {}) {
    const {header} = this, level = options.level ?? this.fixedLevel;
    this.device.draw(target, tile, Float32Array.of(
      ...eye, 0, ...right, 0, ...up, 0, ...backward, 0, ...lens,
      header.near, farthest(eye, header), level, this.finest, options.counts ? 1 : 0, 0, 0, 0));
  }

  // A whole picture with as many pixels as there is time for.
  async drawMoving() {
    this.stale = false;
    const {width, height} = this.canvas;
    const share = Math.min(1, Math.sqrt(this.rate * MOVING_MS / (width * height)));
    const small = [width, height].map((n) => Math.max(1, Math.round(n * share)));
    if (small[0] < LEAST_WIDTH && width > LEAST_WIDTH) {
      small[0] = LEAST_WIDTH;
      small[1] = Math.max(1, Math.round(LEAST_WIDTH * height / width));
    }
    const target = this.device.target(...small), begun = performance.now();
    this.draw(target, this.camera.pinhole(...small), whole(target));
    await this.device.finished();
    const ms = Math.max(performance.now() - begun, 0.5);
    this.measured(small[0] * small[1], ms);
    this.drop(this.work);
    this.work = null;
    await this.finish(target, ms);
    if (!this.stale) this.plan();
  }

  // Next, a larger picture; before a slow one a third as wide.
  plan() {
    const {width, height} = this.canvas;
    if (this.base.width >= width && this.base.height >= height) return this.status();
    let size = [width, height];
    while (size[0] * size[1] / this.rate > COARSE_MS && size[0] > 7 * this.base.width) {
      size = size.map((n) => Math.max(1, Math.round(n / 3)));
    }
    const target = this.device.target(...size);
    const side = Math.round(Math.min(512, Math.max(8, Math.sqrt(this.rate * TILE_MS))));
    this.work = {target, tiles: tilesOf(target, side), begun: performance.now()};
    this.status();
  }

  async drawTile() {
    const {target, tiles} = this.work, tile = tiles.shift(), begun = performance.now();
    this.draw(target, this.camera.pinhole(target.width, target.height), tile);
    await this.device.finished();
    this.measured(tile.width * tile.height, performance.now() - begun);
    if (tiles.length) {
      await this.show(target, tile);
    } else {
      const ms = performance.now() - this.work.begun;
      this.work = null;
      await this.finish(target, ms);
      if (!this.stale) this.plan();
    }
    this.status();
  }

  measured(pixels, ms) {
    this.rate = 0.7 * this.rate + 0.3 * Math.min(pixels / Math.max(ms, 0.5), 10 * this.rate);
  }

  async finish(target, ms) {
    this.drop({target: this.base});
    this.base = target;
    this.frames++;
    this.pictureMs = ms;
    await this.show();
  }

  drop(work) {
    if (work && work.target) this.device.release(work.target);
  }

  // The modes show what has been drawn in another way.
  setMode(mode) {
    this.mode = mode;
    if (!this.base) return;
    this.exclusive(() => this.show());
    if (this.work) this.invalidate();  // its tiles are on the screen alone
  }

  // Put a target on the screen, whole or a tile of it.
  async show(target = this.base, tile = whole(target)) {
    if (target === this.base && this.mode === "depth") this.depths = await this.depthRange(target);
    const {width, height} = this.canvas;
    const x = width / target.width, y = height / target.height;
    const left = Math.floor(tile.x * x), top = Math.floor(tile.y * y);
    const place = {
      x: left, y: top, width: Math.min(width, Math.ceil((tile.x + tile.width) * x)) - left,
      height: Math.min(height, Math.ceil((tile.y + tile.height) * y)) - top,
    };
    this.device.show(target, place, Float32Array.of(
      ...this.header.background, 0, width, height, target.width, target.height,
      ...(this.depths || [0, 1]), {color: 0, level: 1, depth: 2}[this.mode], 0));
  }

  // Of what is seen in a target, as depth / (depth + size).
  async depthRange(target) {
    const [colors, facts] = await this.device.pixels(target);
    let low = 1, high = 0;
    for (let i = 0; i < colors.length; i += 4) {
      if (colors[i + 3] < 128) continue;
      const depth = twoBytes(facts, i + 2);
      low = Math.min(low, depth);
      high = Math.max(high, depth);
    }
    return low < high ? [low, high] : [0, 1];
  }

  // A picture of its own, beside what is on the screen: what each pixel says, rows from the top.
  async picture(pinhole, options = {}) {
    return this.exclusive(async () => {
      const {width, height} = pinhole, target = this.device.target(width, height);
      const begun = performance.now();
      const side = options.side || 64;
      for (const tile of tilesOf(target, side)) {
        this.draw(target, pinhole, tile, options);
        await this.device.finished();
      }
      const ms = performance.now() - begun, [colors, facts] = await this.device.pixels(target);
      this.device.release(target);
      return {width, height, ms, colors, facts};
    });
  }

  status() {
    this.onStatus();
  }
}

const whole = ({width, height}) => ({x: 0, y: 0, width, height});

// A far bound that includes the whole scene box from any distance (rendering/camera_paths.py).
function farthest(eye, {aabb, far}) {
  const low = aabb.slice(0, 3), high = aabb.slice(3), middle = scaled(add(low, high), 0.5);
  const reach = Math.hypot(...add(high, low, -1)) / 2;
  return Math.max(far, Math.hypot(...add(eye, middle, -1)) + reach);
}

const twoBytes = (bytes, i) => (256 * bytes[i] + bytes[i + 1]) / 65535;

// Tiles of a target, those in the middle first.
function tilesOf({width, height}, side) {
  const tiles = [];
  for (let y = 0; y < height; y += side) {
    for (let x = 0; x < width; x += side) {
      tiles.push({x, y, width: Math.min(side, width - x), height: Math.min(side, height - y)});
    }
  }
  const far = (t) => Math.hypot(
    t.x + t.width / 2 - width / 2, t.y + t.height / 2 - height / 2);
  return tiles.sort((a, b) => far(a) - far(b));
}
