// Mouse, touch and keys.

const TURN = 0.008;  // radians a pixel
const SLACK = 6;  // pixels that a finger moves before it turns the scene: a second one may follow
const KEY_TURN = 0.1, KEY_MOVE = 0.05, KEY_ZOOM = 1.1;

class Controls {
  constructor(canvas, app) {
    this.app = app;
    this.pointers = new Map();
    const on = (type, act) => canvas.addEventListener(type, act, {passive: false});
    on("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.focus();
      for (const held of this.pointers.values()) held.spent = false;
      this.pointers.set(event.pointerId, {
        x: event.clientX, y: event.clientY, turns: event.pointerType !== "touch", spent: false});
    });
    for (const type of ["pointerup", "pointercancel"]) {
      on(type, (event) => this.lift(event.pointerId));
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

  // The finger that is left of two does nothing until it is lifted too.
  lift(id) {
    const several = this.pointers.size > 1;
    this.pointers.delete(id);
    if (several) for (const left of this.pointers.values()) left.spent = true;
  }

  drag(event, canvas) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = {...before, x: event.clientX, y: event.clientY};
    const dx = now.x - before.x, dy = now.y - before.y;
    const alone = this.pointers.size === 1;
    if (alone && !before.turns && !before.spent) {
      if (Math.hypot(dx, dy) < SLACK) return;
      now.turns = true;
      this.pointers.set(event.pointerId, now);
      return;
    }
    this.pointers.set(event.pointerId, now);
    if (before.spent || this.pointers.size > 2) return;
    const {camera} = this.app;
    // As far as the target moves with the pointer.
    const pixel = 2 * Math.tan(camera.angle / 2)
      / Math.min(canvas.clientWidth, canvas.clientHeight);
    if (!alone) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId);
      this.pinch(before, now, other[1], pixel, canvas.getBoundingClientRect());
    } else if (event.buttons & 2 || event.buttons & 4 || event.shiftKey) {
      this.change(camera.move(-dx * pixel, dy * pixel, 0));
    } else {
      this.change(camera.orbit(-dx * TURN, dy * TURN));
    }
  }

  // What lies between two fingers at the target's distance stays between them. So it is the same
  // which of them is told of first.
  pinch(before, now, other, pixel, {left, top, width, height}) {
    const gap = (p) => Math.max(Math.hypot(p.x - other.x, p.y - other.y), 1);
    const middle = (p) => [
      (p.x + other.x) / 2 - left - width / 2, top + height / 2 - (p.y + other.y) / 2];
    const {camera} = this.app;
    const nearer = camera.zoom(gap(before) / gap(now), this.app.header.size);
    const share = nearer.distance / camera.distance;
    const [x, y] = middle(before), [toX, toY] = middle(now);
    // In distances of the nearer camera.
    this.change(nearer.move((x / share - toX) * pixel, (y / share - toY) * pixel, 0));
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
