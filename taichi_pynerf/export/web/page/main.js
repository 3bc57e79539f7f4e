// The page: loads the scene, coarse levels first, and connects the panel with the renderer.

const SMALL = 500;  // side of a window in which the panel starts folded, pixels
// What helps where something went wrong.
const OTHERWISE = {
  WebGPU: "With ?device=webgl2 in its address the page draws with WebGL2.", WebGL2: "",
};
const MODES = ["color", "level", "depth"];
const element = (id) => document.getElementById(id);

class App {
  constructor(header, device) {
    Object.assign(this, {header, device});
    this.mode = "color";
    this.camera = null;
    this.view = 0;
    const canvas = element("canvas");
    this.textures = new Textures(device, header);
    this.renderer = new Renderer(device, canvas, header);
    this.renderer.onStatus = () => this.showStatus();
    device.onFault = (words) => say(
      `The graphics driver ${words}. Load the page again; a smaller window helps slow graphics ` +
      `cards. ${OTHERWISE[device.name]}`);
    this.connect(canvas);
    this.setView(0);
  }

  connect(canvas) {
    new Controls(canvas, this);
    const {views, numLevels} = this.header;
    element("view").append(...views.map((view, i) => new Option(view.name, i)));
    element("view").addEventListener("change", (event) => this.setView(Number(event.target.value)));
    element("previous").addEventListener("click", () => this.step(-1));
    element("next").addEventListener("click", () => this.step(1));
    element("mode").addEventListener("change", (event) => this.setMode(event.target.value));
    element("fullscreen").addEventListener("click", () => this.toggleFullscreen());
    element("screenshot").addEventListener("click", () => this.screenshot());
    element("help").addEventListener("click", () => this.toggleKeys());
    Object.assign(element("level"), {max: numLevels - 1, value: numLevels - 1});
    element("fixed").disabled = numLevels === 1;
    element("fixed").addEventListener("change", () => this.setLevel());
    element("level").addEventListener("input", () => this.setLevel());
    window.addEventListener("resize", () => this.renderer.invalidate(true));
    element("fullscreen").hidden = !document.fullscreenEnabled;  // as on telephones of Apple's
    document.addEventListener("fullscreenchange", () => this.renderer.invalidate(true));
    element("fold").addEventListener("click", () => this.toggleFold());
    if (window.innerWidth < SMALL || window.innerHeight < SMALL) this.toggleFold();
    element("panel").hidden = false;
  }

  async start(chunks) {
    const {header, device, textures, renderer} = this;
    this.chunks = chunks;
    const ready = device.start(device.shaders);
    const fill = ({name, chunk}) => chunks.get(chunk).then((data) => textures.fill(name, data));
    const early = header.textures.filter(({name}) => name !== "ranges").map(fill);
    // Until it is known what was trained where, all levels that are there are used.
    const ranges = header.textures.find(({name}) => name === "ranges");
    if (ranges) textures.fill("ranges", everyLevel(ranges.size));
    await Promise.all([ready, ...early]);
    renderer.run().catch(fail);
    const late = ranges ? fill(ranges).then(() => renderer.invalidate()) : null;
    for (const level of header.levels) {
      const data = await chunks.get(level.chunk);
      textures.fillLevel(level, data);
      if (level.chunk.startsWith("level_")) {
        renderer.finest = Number(level.chunk.slice(6)) - header.firstLevel;
      }
      renderer.invalidate();
      this.showStatus();
      await pause(0);
    }
    await late;
    this.showStatus();
  }

  setCamera(camera) {
    this.camera = this.renderer.camera = camera;
    this.renderer.invalidate(true);
  }

  setView(i) {
    this.view = i;
    element("view").value = i;
    this.setCamera(Camera.ofView(this.header.views[i], this.header));
  }

  step(by) {
    const count = this.header.views.length;
    this.setView((this.view + by + count) % count);
  }

  setMode(mode) {
    this.mode = element("mode").value = mode;
    this.renderer.setMode(mode);
  }

  nextMode() {
    this.setMode(MODES[(MODES.indexOf(this.mode) + 1) % MODES.length]);
  }

  setLevel() {
    const fixed = element("fixed").checked;
    element("level").disabled = !fixed;
    this.renderer.fixedLevel = fixed ? Number(element("level").value) : -1;
    this.renderer.invalidate(true);
  }

  toggleLevel() {
    element("fixed").checked = !element("fixed").disabled && !element("fixed").checked;
    this.setLevel();
  }

  toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.().catch(() => {});
  }

  toggleKeys() {
    element("keys").hidden = !element("keys").hidden;
  }

  toggleFold() {
    const folded = element("panel").classList.toggle("folded");
    element("fold").setAttribute("aria-expanded", String(!folded));
  }

  togglePanel() {
    element("panel").hidden = !element("panel").hidden;
  }

  screenshot() {
    this.device.present();
    element("canvas").toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${document.title.replace(/[^\w.-]+/g, "_") || "scene"}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  }

  showStatus() {
    const {renderer, header, chunks} = this, words = [];
    const total = Object.values(header.chunks).reduce((a, b) => a + b, 0);
    if (chunks && chunks.read < total) {
      words.push(`loading: ${(chunks.read / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`);
    }
    if (header.numLevels > 1 && renderer.finest < header.numLevels - 1) {
      words.push(`${Math.max(renderer.finest + 1, 0)} of ${header.numLevels} levels`);
    }
    if (header.levelsLeftOut) {
      const all = header.numLevels + header.levelsLeftOut;
      words.push(`a coarser scene: the ${header.levelsLeftOut} finest of ${all} levels were left ` +
        "out to keep the file small");
    }
    if (renderer.base) {
      const {width, height} = renderer.base;
      words.push(renderer.work ? `${width} × ${height}, refining`
        : `${width} × ${height} in ${Math.round(renderer.pictureMs)} ms`);
      words.push(this.device.name);
    }
    element("status").textContent = words.join(" · ");
  }
}

// Least and greatest level of every cell: no least is above its greatest in any shader.
function everyLevel([width, height, layers]) {
  return new Uint8Array(2 * width * height * layers).map((_, i) => i % 2 ? 0 : 255).buffer;
}

function say(words) {
  element("words").textContent = words;
  element("words").hidden = false;
}

function fail(error) {
  if (error instanceof NoDevice) {
    say(error.message);
    return;
  }
  say(`The scene cannot be shown: ${error.message}. ${OTHERWISE[app?.device.name] ?? ""}`);
  if (header.folder && location.protocol === "file:") {
    say("The files of this scene are loaded one by one, which browsers do not do from a disk. " +
      "Serve the folder, with `python -m http.server` for example, or export one file.");
  }
}

const header = JSON.parse(element("header").textContent);
const chunks = new Chunks(header);
let app = null;
const started = (async () => {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser is older than 2023 and cannot unpack the file");
  }
  if (header.folder) chunks.load();
  else document.addEventListener("DOMContentLoaded", () => chunks.ended());
  app = new App(header, await openDevice(element("canvas")));
  await app.start(chunks);
})();
started.catch(fail);

// For scripts that use the page: pictures of cameras of their own, and what these cost.
window.pynerf = {
  header,
  started,
  get app() {
    return app;
  },
  async picture({c2w, fx, fy, cx, cy, width, height}, options = {}) {
    await started;
    const column = (j) => [c2w[0][j], c2w[1][j], c2w[2][j]];
    const pinhole = {
      eye: column(3), axes: [column(0), column(1), column(2)], lens: [fx, fy, cx, cy],
      width, height,
    };
    const {colors, facts, ms} = await app.renderer.picture(pinhole, options);
    const count = width * height, last = Math.max(header.numLevels - 1, 1);
    const at = (act) => Array.from({length: count}, (_, i) => act(4 * i));
    return {
      ms,
      rgb: at((i) => [0, 1, 2].map(
        (c) => colors[i + c] + (255 - colors[i + 3]) * header.background[c])),
      acc: at((i) => colors[i + 3] / 255),
      level: at((i) => last * twoBytes(facts, i)),
      depth: at((i) => {
        const code = twoBytes(facts, i + 2);
        return header.size * code / Math.max(1 - code, 1e-6);
      }),
    };
  },
  // Means over the pixels of a picture: samples, colours, look-ups of levels, multiplications.
  async cost(camera, options = {}) {
    await started;
    const {width, height, angle} = camera;
    const pinhole = app.camera.with({angle: angle || app.camera.angle}).pinhole(width, height);
    const {colors, facts} = await app.renderer.picture(pinhole, {...options, counts: true});
    const mean = (bytes, offset) => {
      let sum = 0;
      for (let i = offset; i < bytes.length; i += 4) sum += 65535 * twoBytes(bytes, i);
      return sum / (width * height);
    };
    const found = {
      samples: mean(colors, 0), colors: mean(colors, 2),
      levels: mean(facts, 0), small: mean(facts, 2),
    };
    const {cost} = header, small = found.small * cost.smallLevels;
    const quads = (features) => Math.ceil(features / 4);
    found.multiplications = found.samples * 2 * cost.head + found.colors * cost.color
      + found.small * cost.small
      + 8 * (found.levels * cost.features + small * cost.smallFeatures);
    found.texels = 8
      * (found.levels * quads(cost.features) + small * quads(cost.smallFeatures));
    return found;
  },
};
