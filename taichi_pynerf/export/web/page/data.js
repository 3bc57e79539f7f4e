// The page's data: compressed arrays that stand in it, or in files beside it.

class Chunks {
  constructor(header) {
    this.header = header;
    this.waiting = {};
    this.read = 0;
    for (const name of Object.keys(header.chunks)) {
      const chunk = this.waiting[name] = {};
      chunk.promise = new Promise((resolve, reject) => Object.assign(chunk, {resolve, reject}));
      chunk.promise.catch(() => {});  // whoever asks for it is told
    }
  }

  // Called from the page as soon as the element with a chunk has been read.
  found(name) {
    const element = document.getElementById(`chunk-${name}`);
    const text = element.textContent;
    element.remove();
    this.take(name, () => inflated(bytesOf(text)));
  }

  // Load the files, one after the other in the header's order.
  async load() {
    for (const name of Object.keys(this.header.chunks)) {
      await this.take(name, async () => {
        const answer = await fetch(`${name}.bin`);
        if (!answer.ok) throw new Error(`${name}.bin: ${answer.status} ${answer.statusText}`);
        return inflated(await answer.arrayBuffer());
      });
    }
  }

  async take(name, read) {
    this.waiting[name].taken = true;
    try {
      this.waiting[name].resolve(await read());
      this.read += this.header.chunks[name];
    } catch (error) {
      this.waiting[name].reject(error);
    }
  }

  // The page has been read to its end: what has not been found is missing.
  ended() {
    for (const [name, chunk] of Object.entries(this.waiting)) {
      if (chunk.taken) continue;
      chunk.reject(new Error(`the page ends before ${name}: it was not saved or loaded whole`));
    }
  }

  get(name) {
    return this.waiting[name].promise;
  }
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

// The content of zlib's format, as an ArrayBuffer.
function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}
