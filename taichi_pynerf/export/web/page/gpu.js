// The scene on the graphics card: textures, programs, targets.

const TRIANGLE = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

class Gpu {
  constructor(canvas, header) {
    this.header = header;
    const gl = this.gl = canvas.getContext("webgl2", {
      alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true,
      powerPreference: "high-performance",
    });
    if (!gl) throw new NoWebGL2();
    const kinds = this.kinds = {
      // Halves are unpacked: software reads them in about half of the time then.
      half4: [gl.RGBA32F, gl.RGBA, gl.FLOAT, Halves, 4],
      word: [gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT, Uint32Array, 1],
      byte2: [gl.RG8UI, gl.RG_INTEGER, gl.UNSIGNED_BYTE, Uint8Array, 2],
      code8: [gl.RGBA8I, gl.RGBA_INTEGER, gl.BYTE, Int8Array, 4],
      code16: [gl.RGBA16I, gl.RGBA_INTEGER, gl.SHORT, Int16Array, 4],
    };
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.pixelStorei(gl.PACK_ALIGNMENT, 1);
    this.textures = {};
    const table = header.table;
    const sizes = [...header.textures, {
      name: "table", kind: `code${table.bits}`, size: [table.width, table.height, table.layers]}];
    for (const {name, kind, size: [width, height, layers]} of sizes) {
      const most = gl.getParameter(layers ? gl.MAX_ARRAY_TEXTURE_LAYERS : gl.MAX_TEXTURE_SIZE);
      const asked = layers || Math.max(width, height);
      if (asked > most) throw new Error(`this graphics card holds ${most} of the ${asked} rows or ` +
        `layers that the scene needs (${name})`);
      const target = layers ? gl.TEXTURE_2D_ARRAY : gl.TEXTURE_2D;
      const texture = this.textures[name] = {target, kind, width, height, layers,
        id: gl.createTexture(), unit: Object.keys(this.textures).length};
      this.bind(texture);
      if (layers) gl.texStorage3D(target, 1, kinds[kind][0], width, height, layers);
      else gl.texStorage2D(target, 1, kinds[kind][0], width, height);
      this.filter(target, gl.NEAREST);
    }
    this.freeUnit = Object.keys(this.textures).length;
  }

  bind(texture) {
    this.gl.activeTexture(this.gl.TEXTURE0 + texture.unit);
    this.gl.bindTexture(texture.target, texture.id);
  }

  filter(target, filter) {
    const gl = this.gl;
    for (const which of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(target, which, filter);
    }
    for (const which of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
      gl.texParameteri(target, which, gl.CLAMP_TO_EDGE);
    }
  }

  fill(name, buffer) {
    const gl = this.gl, texture = this.textures[name];
    const [, format, type, Kind] = this.kinds[texture.kind];
    const {target, width, height, layers} = texture;
    this.bind(texture);
    const data = new Kind(buffer);
    if (layers) {
      gl.texSubImage3D(target, 0, 0, 0, 0, width, height, layers, format, type, data);
    } else {
      gl.texSubImage2D(target, 0, 0, 0, width, height, format, type, data);
    }
  }

  // Put a level's numbers, which come feature by feature, into the table.
  fillLevel(level, buffer) {
    const gl = this.gl, texture = this.textures.table;
    const {width, height} = this.header.table;
    const {entries, features} = level, texels = Math.ceil(features / 4);
    const [, format, type, Kind] = this.kinds[texture.kind];
    const codes = new Kind(buffer), stride = 4 * texels;
    const rows = Math.ceil(entries * texels / width);
    const data = new Kind(rows * width * 4);
    for (let f = 0; f < features; f++) {
      for (let e = 0, from = f * entries; e < entries; e++) data[e * stride + f] = codes[from + e];
    }
    this.bind(texture);
    for (let done = 0; done < rows;) {  // a layer at a time
      const row = (level.row + done) % height, layer = Math.floor((level.row + done) / height);
      const count = Math.min(rows - done, height - row);
      gl.texSubImage3D(texture.target, 0, 0, row, layer, width, count, 1, format, type,
        data.subarray(done * width * 4, (done + count) * width * 4));
      done += count;
    }
  }

  // A program that draws one triangle over everything; compiled beside other work where it can be.
  async program(fragment) {
    const gl = this.gl, program = gl.createProgram();
    const parallel = gl.getExtension("KHR_parallel_shader_compile");
    const shaders = [[gl.VERTEX_SHADER, TRIANGLE], [gl.FRAGMENT_SHADER, fragment]].map(
      ([kind, text]) => {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, text);
        gl.compileShader(shader);
        gl.attachShader(program, shader);
        return shader;
      });
    gl.linkProgram(program);
    while (parallel && !gl.isContextLost()
           && !gl.getProgramParameter(program, parallel.COMPLETION_STATUS_KHR)) {
      await pause(10);
    }
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      const log = shaders.map((shader) => gl.getShaderInfoLog(shader)).join("\n");
      throw new Error(`the graphics driver refuses the program: ${
        (log + gl.getProgramInfoLog(program)).trim().slice(0, 500)}`);
    }
    const places = {};
    const count = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS);
    for (let i = 0; i < count; i++) {
      const {name} = gl.getActiveUniform(program, i);
      places[name] = gl.getUniformLocation(program, name);
    }
    return {program, places};
  }

  // Where pictures are drawn: colours with opacity, and levels with depths.
  target(width, height) {
    const gl = this.gl, frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    const [colors, facts] = [gl.LINEAR, gl.NEAREST].map((filter, i) => {
      const texture = {target: gl.TEXTURE_2D, id: gl.createTexture(), unit: this.freeUnit + i};
      this.bind(texture);
      gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
      this.filter(gl.TEXTURE_2D, filter);
      gl.framebufferTexture2D(
        gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + i, gl.TEXTURE_2D, texture.id, 0);
      return texture;
    });
    gl.drawBuffers([gl.COLOR_ATTACHMENT0, gl.COLOR_ATTACHMENT1]);
    return {frame, colors, facts, width, height};
  }

  release(target) {
    this.gl.deleteFramebuffer(target.frame);
    this.gl.deleteTexture(target.colors.id);
    this.gl.deleteTexture(target.facts.id);
  }

  // The bytes of a target, rows from the bottom: [colours, facts].
  pixels(target) {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
    return [0, 1].map((i) => {
      const bytes = new Uint8Array(4 * target.width * target.height);
      gl.readBuffer(gl.COLOR_ATTACHMENT0 + i);
      gl.readPixels(0, 0, target.width, target.height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
      return bytes;
    });
  }

  // Until all that was asked for has been drawn.
  async finished() {
    const gl = this.gl, sync = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    while (!gl.isContextLost() && gl.clientWaitSync(sync, 0, 0) === gl.TIMEOUT_EXPIRED) {
      await pause(1);
    }
    gl.deleteSync(sync);
  }
}

// Numbers of 16 bits as those of 32.
class Halves extends Float32Array {
  constructor(buffer) {
    super(Array.from(new Uint16Array(buffer), (bits) => {
      const exponent = bits >> 10 & 31, fraction = bits & 1023, sign = bits & 32768 ? -1 : 1;
      return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
    }));
  }
}

class NoWebGL2 extends Error {}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
