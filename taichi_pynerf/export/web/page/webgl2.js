// Drawing with WebGL2.

const TRIANGLE = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

class WebGl2 {
  static async open(canvas) {
    const gl = canvas.getContext("webgl2", {
      alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true,
      powerPreference: "high-performance",
    });
    return gl && new WebGl2(canvas, gl);
  }

  constructor(canvas, gl) {
    Object.assign(this, {name: "WebGL2", canvas, gl, textures: {}, onFault: () => {}});
    this.most = {
      side: gl.getParameter(gl.MAX_TEXTURE_SIZE),
      depth: gl.getParameter(gl.MAX_ARRAY_TEXTURE_LAYERS),
    };
    this.formats = {
      half4: [gl.RGBA32F, gl.RGBA, gl.FLOAT],
      word: [gl.R32UI, gl.RED_INTEGER, gl.UNSIGNED_INT],
      byte2: [gl.RG8UI, gl.RG_INTEGER, gl.UNSIGNED_BYTE],
      code8: [gl.RGBA8I, gl.RGBA_INTEGER, gl.BYTE],
      code16: [gl.RGBA16I, gl.RGBA_INTEGER, gl.SHORT],
    };
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.pixelStorei(gl.PACK_ALIGNMENT, 1);
    canvas.addEventListener("webglcontextlost", () => this.onFault("has stopped drawing this page"));
  }

  addTexture(name, kind, {width, height, layers}) {
    const {gl} = this, target = layers ? gl.TEXTURE_2D_ARRAY : gl.TEXTURE_2D;
    const texture = this.textures[name] = {target, kind, width, height, layers,
      id: gl.createTexture(), unit: Object.keys(this.textures).length};
    this.bind(texture);
    const [format] = this.formats[kind];
    if (layers) gl.texStorage3D(target, 1, format, width, height, layers);
    else gl.texStorage2D(target, 1, format, width, height);
    this.filter(target, gl.NEAREST);
    this.freeUnit = texture.unit + 1;
  }

  bind(texture) {
    this.gl.activeTexture(this.gl.TEXTURE0 + texture.unit);
    this.gl.bindTexture(texture.target, texture.id);
  }

  filter(target, filter) {
    const {gl} = this;
    for (const which of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(target, which, filter);
    }
    for (const which of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
      gl.texParameteri(target, which, gl.CLAMP_TO_EDGE);
    }
  }

  write(name, data, part = {}) {
    const {gl} = this, {target, kind, width, height, layers} = this.textures[name];
    const {row, layer, rows, layers: count} =
      {row: 0, layer: 0, rows: height, layers: layers || 1, ...part};
    const [, format, type] = this.formats[kind];
    this.bind(this.textures[name]);
    if (layers) {
      gl.texSubImage3D(target, 0, 0, row, layer, width, rows, count, format, type, data);
    } else {
      gl.texSubImage2D(target, 0, 0, row, width, rows, format, type, data);
    }
  }

  async start({scene, display}) {
    const {gl} = this;
    [this.scene, this.display] = await Promise.all([this.program(scene), this.program(display)]);
    gl.useProgram(this.scene.program);
    for (const [name, {unit}] of Object.entries(this.textures)) {
      gl.uniform1i(gl.getUniformLocation(this.scene.program, name), unit);
    }
    gl.useProgram(this.display.program);
    for (const [i, name] of ["colors", "facts"].entries()) {
      gl.uniform1i(gl.getUniformLocation(this.display.program, name), this.freeUnit + i);
    }
  }

  // A program that draws one triangle over everything; compiled beside other work where it can be.
  async program(fragment) {
    const {gl} = this, program = gl.createProgram();
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
    const numbers = gl.createBuffer();
    gl.uniformBlockBinding(program, gl.getUniformBlockIndex(program, "Numbers"), 0);
    return {program, numbers};
  }

  use({program, numbers}, values) {
    const {gl} = this;
    gl.useProgram(program);
    gl.bindBufferBase(gl.UNIFORM_BUFFER, 0, numbers);
    gl.bufferData(gl.UNIFORM_BUFFER, values, gl.DYNAMIC_DRAW);
  }

  // Where pictures are drawn: colours with opacity, and levels with depths. Row 0 is the top one.
  target(width, height) {
    const {gl} = this, frame = gl.createFramebuffer();
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

  draw(target, tile, numbers) {
    const {gl} = this;
    for (const texture of Object.values(this.textures)) this.bind(texture);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
    gl.viewport(0, 0, target.width, target.height);
    this.use(this.scene, numbers);
    this.triangle(tile);
  }

  show(target, tile, numbers) {
    const {gl} = this, {width, height} = this.canvas;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, width, height);
    this.bind(target.colors);
    this.bind(target.facts);
    this.use(this.display, numbers);
    this.triangle({...tile, y: height - tile.y - tile.height});  // the screen's rows go upwards
  }

  triangle({x, y, width, height}) {
    const {gl} = this;
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(x, y, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.SCISSOR_TEST);
  }

  present() {}  // the context keeps what it has drawn

  async pixels(target) {
    const {gl} = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
    return [0, 1].map((i) => {
      const bytes = new Uint8Array(4 * target.width * target.height);
      gl.readBuffer(gl.COLOR_ATTACHMENT0 + i);
      gl.readPixels(0, 0, target.width, target.height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
      return bytes;
    });
  }

  async finished() {
    const {gl} = this, sync = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    while (!gl.isContextLost() && gl.clientWaitSync(sync, 0, 0) === gl.TIMEOUT_EXPIRED) {
      await pause(1);
    }
    gl.deleteSync(sync);
  }
}
