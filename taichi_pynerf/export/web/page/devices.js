// What draws the page. Each device has, besides its name and `most` (side and layers of a texture):
//   open(canvas): a device, or null where the browser has none
//   addTexture(name, kind, size), write(name, data, part): the scene's, of a part or the whole
//   start(shaders): compile {scene, display}; target(width, height), release(target)
//   draw(target, tile, numbers): render a tile of a target; numbers are view.glsl's
//   show(target, tile, numbers): put it on the screen; numbers are look.glsl's
//   present(): what is on the screen can be read from the canvas until the script pauses
//   pixels(target): its bytes, [colours, facts]; finished(): all that was asked for is drawn
//   onFault(words): called when it draws no more, or something went wrong
// Rows are counted from the top.

const DEVICES = {webgpu: WebGpu, webgl2: WebGl2};
const LANGUAGES = {webgpu: "wgsl", webgl2: "glsl"};

class NoDevice extends Error {}

// The device that the address asks for, or the first that there is.
async function openDevice(canvas) {
  const asked = new URLSearchParams(location.search).get("device");
  if (asked !== null && !Object.hasOwn(DEVICES, asked)) {
    throw new Error(`?device=${asked}: give webgpu or webgl2`);
  }
  for (const name of asked === null ? Object.keys(DEVICES) : [asked]) {
    const device = await DEVICES[name].open(canvas);
    if (device) {
      device.shaders = Object.fromEntries(["scene", "display"].map(
        (part) => [part, document.getElementById(`${part}-${LANGUAGES[name]}`).textContent]));
      return device;
    }
  }
  throw new NoDevice(asked === null
    ? "This page draws a scene with WebGPU or WebGL2, which this browser lacks or has turned off. " +
      "Open it in a newer browser, or allow hardware acceleration in this one's settings."
    : `This browser lacks what ?device=${asked} asks for, or has turned it off. Without these words ` +
      "in its address the page draws with what there is.");
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
