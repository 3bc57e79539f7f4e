// The scene's textures: how its numbers lie in them, whatever device holds them.

// Numbers of 16 bits as those of 32.
class Halves extends Float32Array {
  constructor(buffer) {
    super(Array.from(new Uint16Array(buffer), (bits) => {
      const exponent = bits >> 10 & 31, fraction = bits & 1023, sign = bits & 32768 ? -1 : 1;
      return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
    }));
  }
}

// Per kind of texture an array of its numbers. Halves are unpacked: software reads them in about
// half of the time then.
const NUMBERS = {
  half4: Halves, word: Uint32Array, byte2: Uint8Array, code8: Int8Array, code16: Int16Array,
};

class Textures {
  constructor(device, header) {
    this.device = device;
    this.table = header.table;
    this.kinds = {};
    const {width, height, layers, bits} = header.table;
    const all = [...header.textures, {
      name: "table", kind: `code${bits}`, size: [width, height, layers]}];
    for (const {name, kind, size: [width, height, layers]} of all) {
      const {side, depth} = device.most;
      const asked = layers || Math.max(width, height), most = layers ? depth : side;
      if (asked > most) throw new Error(`this graphics card holds ${most} of the ${asked} rows or ` +
        `layers that the scene needs (${name})`);
      this.kinds[name] = kind;
      device.addTexture(name, kind, {width, height, layers});
    }
  }

  fill(name, buffer) {
    this.device.write(name, new NUMBERS[this.kinds[name]](buffer));
  }

  // Put a level's numbers, which come feature by feature, into the table.
  fillLevel(level, buffer) {
    const {width, height} = this.table;
    const {entries, features} = level, texels = Math.ceil(features / 4);
    const Kind = NUMBERS[this.kinds.table];
    const codes = new Kind(buffer), stride = 4 * texels;
    const rows = Math.ceil(entries * texels / width);
    const data = new Kind(rows * width * 4);
    for (let f = 0; f < features; f++) {
      for (let e = 0, from = f * entries; e < entries; e++) data[e * stride + f] = codes[from + e];
    }
    for (let done = 0; done < rows;) {  // a layer at a time
      const row = (level.row + done) % height, layer = Math.floor((level.row + done) / height);
      const count = Math.min(rows - done, height - row);
      const part = data.subarray(done * width * 4, (done + count) * width * 4);
      this.device.write("table", part, {row, layer, rows: count, layers: 1});
      done += count;
    }
  }
}
