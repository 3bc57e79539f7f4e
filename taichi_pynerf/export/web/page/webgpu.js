// Drawing with WebGPU.

class WebGpu {
  static async open(canvas) {
    const adapter = await navigator.gpu?.requestAdapter({powerPreference: "high-performance"});
    if (!adapter) return null;
    const {maxTextureDimension2D, maxTextureArrayLayers} = adapter.limits;
    try {
      const device = await adapter.requestDevice({
        requiredLimits: {maxTextureDimension2D, maxTextureArrayLayers}});
      return new WebGpu(canvas, device, canvas.getContext("webgpu"));
    } catch (error) {
      console.warn(`no WebGPU: ${error.message}`);
      return null;
    }
  }

  constructor(canvas, device, context) {
    Object.assign(this, {name: "WebGPU", canvas, device, context, textures: {}, onFault: () => {}});
    const {maxTextureDimension2D, maxTextureArrayLayers} = device.limits;
    this.most = {side: maxTextureDimension2D, depth: maxTextureArrayLayers};
    // Format, bytes of a texel, and how a shader sees it.
    this.formats = {
      half4: ["rgba32float", 16, "unfilterable-float"], word: ["r32uint", 4, "uint"],
      byte2: ["rg8uint", 2, "uint"], code8: ["rgba8sint", 4, "sint"],
      code16: ["rgba16sint", 8, "sint"],
    };
    this.screenFormat = navigator.gpu.getPreferredCanvasFormat();
    context.configure({device, format: this.screenFormat, alphaMode: "opaque",
      usage: GPUTextureUsage.COPY_DST | GPUTextureUsage.RENDER_ATTACHMENT});
    this.smoothly = device.createSampler({magFilter: "linear", minFilter: "linear"});
    device.lost.then(() => this.onFault("has stopped drawing this page"));
    device.addEventListener("uncapturederror", 
      ({error}) => this.onFault(`reports: ${error.message.slice(0, 300)}`));
  }

  addTexture(name, kind, {width, height, layers}) {
    const [format, texelBytes, sampleType] = this.formats[kind];
    const texture = this.device.createTexture({
      size: [width, height, layers || 1], format,
      usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST});
    const viewDimension = layers ? "2d-array" : "2d";
    this.textures[name] = {
      texture, width, height, layers: layers || 1, texelBytes,
      layout: {sampleType, viewDimension}, view: texture.createView({dimension: viewDimension})};
  }

  write(name, data, part = {}) {
    const {texture, width, height, layers: all, texelBytes} = this.textures[name];
    const {row, layer, rows, layers} = {row: 0, layer: 0, rows: height, layers: all, ...part};
    this.device.queue.writeTexture(
      {texture, origin: [0, row, layer]}, data,
      {bytesPerRow: width * texelBytes, rowsPerImage: rows}, [width, rows, layers]);
  }

  async start({scene, display}) {
    const seen = Object.values(this.textures), pictures = ["rgba8unorm", "rgba8unorm"];
    const picture = {sampleType: "float", viewDimension: "2d"};
    [this.scene, this.display] = await Promise.all([
      this.program(scene, seen.map(({layout}) => ({texture: layout})), pictures),
      this.program(display, [{texture: picture}, {texture: picture}, {sampler: {}}],
        [this.screenFormat]),
    ]);
    this.sceneGroup = this.group(this.scene, seen.map(({view}) => view));
  }

  // What draws one triangle over everything, into textures of such formats.
  async program(code, bound, formats) {
    const {device} = this, module = device.createShaderModule({code});
    const numbers = device.createBuffer({
      size: NUMBERS_BYTES, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST});
    const layout = device.createBindGroupLayout({entries: [{buffer: {}}, ...bound].map(
      (entry, binding) => ({binding, visibility: GPUShaderStage.FRAGMENT, ...entry}))});
    try {
      const pipeline = await device.createRenderPipelineAsync({
        layout: device.createPipelineLayout({bindGroupLayouts: [layout]}),
        vertex: {module}, fragment: {module, targets: formats.map((format) => ({format}))},
        primitive: {topology: "triangle-list"}});
      return {pipeline, layout, numbers};
    } catch (error) {
      const {messages} = await module.getCompilationInfo();
      const log = messages.map(({lineNum, message}) => `line ${lineNum}: ${message}`).join("\n");
      throw new Error(
        `the graphics driver refuses the program: ${(log || error.message).slice(0, 500)}`);
    }
  }

  group({layout, numbers}, resources) {
    return this.device.createBindGroup({layout, entries: [{buffer: numbers}, ...resources].map(
      (resource, binding) => ({binding, resource}))});
  }

  picture(width, height, format, usage) {
    return this.device.createTexture({
      size: [width, height], format, usage: GPUTextureUsage.RENDER_ATTACHMENT | usage});
  }

  // Where pictures are drawn: colours with opacity, and levels with depths.
  target(width, height) {
    const usage = GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_SRC;
    const textures = [0, 1].map(() => this.picture(width, height, "rgba8unorm", usage));
    const views = textures.map((texture) => texture.createView());
    return {textures, views, width, height, group: this.group(
      this.display, [...views, this.smoothly])};
  }

  release(target) {
    for (const texture of target.textures) texture.destroy();
  }

  draw(target, tile, numbers) {
    this.triangle(this.scene, this.sceneGroup, target.views, tile, numbers);
  }

  show(target, tile, numbers) {
    const {width, height} = this.canvas;
    if (this.screen?.width !== width || this.screen?.height !== height) {
      this.screen?.destroy();
      this.screen = this.picture(width, height, this.screenFormat, GPUTextureUsage.COPY_SRC);
    }
    this.triangle(this.display, target.group, [this.screen.createView()], tile, numbers);
    this.present();
  }

  triangle({pipeline, numbers: buffer}, group, views, {x, y, width, height}, numbers) {
    const {queue} = this.device, encoder = this.device.createCommandEncoder();
    queue.writeBuffer(buffer, 0, numbers);
    const pass = encoder.beginRenderPass({colorAttachments: views.map(
      (view) => ({view, loadOp: "load", storeOp: "store"}))});
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.setScissorRect(x, y, width, height);
    pass.draw(3);
    pass.end();
    queue.submit([encoder.finish()]);
  }

  // A canvas forgets what it has shown: the screen's own texture keeps it.
  present() {
    if (!this.screen) return;  // nothing has been shown
    const encoder = this.device.createCommandEncoder();
    const texture = this.context.getCurrentTexture(), {screen} = this;
    encoder.copyTextureToTexture({texture: screen}, {texture}, [
      Math.min(screen.width, texture.width), Math.min(screen.height, texture.height)]);
    this.device.queue.submit([encoder.finish()]);
  }

  async pixels({textures, width, height}) {
    const bytesPerRow = 256 * Math.ceil(width / 64);  // as the standard asks for
    return Promise.all(textures.map(async (texture) => {
      const buffer = this.device.createBuffer({
        size: bytesPerRow * height, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST});
      const encoder = this.device.createCommandEncoder();
      encoder.copyTextureToBuffer({texture}, {buffer, bytesPerRow}, [width, height]);
      this.device.queue.submit([encoder.finish()]);
      await buffer.mapAsync(GPUMapMode.READ);
      const rows = new Uint8Array(buffer.getMappedRange()), bytes = new Uint8Array(4 * width * height);
      for (let y = 0; y < height; y++) {
        bytes.set(rows.subarray(y * bytesPerRow, y * bytesPerRow + 4 * width), 4 * width * y);
      }
      buffer.destroy();
      return bytes;
    }));
  }

  finished() {
    return this.device.queue.onSubmittedWorkDone();
  }
}

const NUMBERS_BYTES = 128;  // room for those of either program
