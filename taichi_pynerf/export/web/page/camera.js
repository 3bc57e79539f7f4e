// A pinhole camera that turns about a point straight ahead of it. Axes are OpenGL's.

const POLE = 0.02;  // least angle to straight above or below, radians

const add = (a, b, k = 1) => [a[0] + k * b[0], a[1] + k * b[1], a[2] + k * b[2]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [
  a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const scaled = (a, k) => [k * a[0], k * a[1], k * a[2]];
const unit = (a) => scaled(a, 1 / Math.max(Math.hypot(...a), 1e-12));

// v turned about an axis of length 1 (Rodrigues' formula).
function turned(v, axis, angle) {
  const c = Math.cos(angle), s = Math.sin(angle);
  return add(add(scaled(v, c), cross(axis, v), s), axis, (1 - c) * dot(axis, v));
}

class Camera {
  constructor(right, up, backward, eye, distance, angle, worldUp) {
    Object.assign(this, {right, up, backward, eye, distance, angle, worldUp});
  }

  // A training view's; its target is straight ahead, at the height of what all look at.
  static ofView(view, scene) {
    const m = view.c2w, column = (j) => [m[j], m[4 + j], m[8 + j]];
    const eye = column(3), backward = unit(column(2));
    const ahead = -dot(add(scene.focus, eye, -1), backward);
    const distance = ahead > 0.05 * scene.size ? ahead : 0.5 * scene.size;
    const right = unit(cross(column(1), backward));
    return new Camera(
      right, cross(backward, right), backward, eye, distance, view.angle, unit(scene.up));
  }

  get target() {
    return add(this.eye, this.backward, -this.distance);
  }

  with(changes) {
    return Object.assign(Object.create(Camera.prototype), this, changes);
  }

  // Turn about the target, radians to the right and upwards; keeps roll, avoids the poles.
  orbit(right, upwards) {
    const across = cross(this.worldUp, this.backward), length = Math.hypot(...across);
    const axis = length > 1e-9 ? scaled(across, 1 / length) : this.right;
    const height = Math.asin(Math.max(-1, Math.min(1, dot(this.backward, this.worldUp))));
    const most = Math.PI / 2 - POLE;
    const to = upwards ? Math.max(-most, Math.min(most, height + upwards)) : height;
    const turn = (v) => turned(turned(v, axis, height - to), this.worldUp, right);
    const backward = unit(turn(this.backward));
    const side = unit(add(turn(this.right), backward, -dot(turn(this.right), backward)));
    return this.with({
      right: side, up: cross(backward, side), backward,
      eye: add(this.target, backward, this.distance),
    });
  }

  // Move with the target; in distances to it.
  move(right, up, backward) {
    let eye = add(this.eye, this.right, right * this.distance);
    eye = add(eye, this.up, up * this.distance);
    return this.with({eye: add(eye, this.backward, backward * this.distance)});
  }

  zoom(factor, size) {
    const distance = Math.max(1e-3 * size, Math.min(1e3 * size, this.distance * factor));
    return this.with({distance, eye: add(this.target, this.backward, distance)});
  }

  // What the shader asks for, of a picture of so many pixels; the angle is that of its lesser side.
  pinhole(width, height) {
    const focal = 0.5 * Math.min(width, height) / Math.tan(0.5 * this.angle);
    return {
      eye: this.eye, axes: [this.right, this.up, this.backward],
      lens: [focal, focal, width / 2, height / 2], width, height,
    };
  }
}
