// Mouse, touch and keys.

const TURN = 0.008;  // radians a pixel
const KEY_TURN = 0.1, KEY_MOVE = 0.05, KEY_ZOOM = 1.1;

class Controls {
  constructor(canvas, app) {
    this.app = app;
    this.pointers = new Map();
    const on = (type, act) => canvas.addEventListener(type, act, {passive: false});
    on("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.focus();
      this.pointers.set(event.pointerId, {x: event.clientX, y: event.clientY});
    });
    for (const type of ["pointerup", "pointercancel"]) {
      on(type, (event) => this.pointers.delete(event.pointerId));
    }
    on("pointermove", (event) => this.drag(event, canvas));
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.zoom(Math.exp(0.0015 * lines * Math.max(-300, Math.min(300, event.deltaY))));
    });
    window.addEventListener("keydown", (event) => this.key(event));
  }

  change(camera) {
    this.app.setCamera(camera);
  }

  zoom(factor) {
    this.change(this.app.camera.zoom(factor, this.app.header.size));
  }

  drag(event, canvas) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = {x: event.clientX, y: event.clientY};
    const dx = now.x - before.x, dy = now.y - before.y;
    this.pointers.set(event.pointerId, now);
    const {camera} = this.app;
    // As far as the target moves with the pointer.
    const pixel = 2 * Math.tan(camera.angle / 2) 
      / Math.min(canvas.clientWidth, canvas.clientHeight);
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const gap = (p) => Math.max(Math.hypot(p.x - other.x, p.y - other.y), 1);
      this.change(camera.move(-dx * pixel / 2, dy * pixel / 2, 0)
        .zoom(gap(before) / gap(now), this.app.header.size));
    } else if (event.buttons & 2 || event.buttons & 4 || event.shiftKey) {
      this.change(camera.move(-dx * pixel, dy * pixel, 0));
    } else {
      this.change(camera.orbit(-dx * TURN, dy * TURN));
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (["SELECT", "INPUT"].includes(event.target.tagName) && event.key.startsWith("Arrow")) return;
    const {app} = this, {camera} = app;
    const move = (...by) => this.change(camera.move(...by.map((x) => x * KEY_MOVE)));
    const keys = {
      w: () => move(0, 0, -1), s: () => move(0, 0, 1), a: () => move(-1, 0, 0),
      d: () => move(1, 0, 0), q: () => move(0, -1, 0), e: () => move(0, 1, 0),
      "+": () => this.zoom(1 / KEY_ZOOM), "=": () => this.zoom(1 / KEY_ZOOM),
      "-": () => this.zoom(KEY_ZOOM),
      arrowup: () => this.change(camera.orbit(0, KEY_TURN)),
      arrowdown: () => this.change(camera.orbit(0, -KEY_TURN)),
      arrowleft: () => event.shiftKey ? this.change(camera.orbit(-KEY_TURN, 0)) : app.step(-1),
      arrowright: () => event.shiftKey ? this.change(camera.orbit(KEY_TURN, 0)) : app.step(1),
      r: () => app.setView(0), m: () => app.nextMode(), l: () => app.toggleLevel(),
      f: () => app.toggleFullscreen(), p: () => app.screenshot(), h: () => app.toggleKeys(),
      c: () => app.toggleFold(), t: () => app.togglePanel(),
    };
    const act = camera && keys[event.key.toLowerCase()];
    if (act) {
      event.preventDefault();
      act();
    }
  }
}
