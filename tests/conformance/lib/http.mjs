// HTTP/1.1 as bytes: what goes over the wire is what a check sees. Nothing is inflated, followed or normalised.

const crlf2 = Buffer.from("\r\n\r\n");

// A request as bytes, exactly in this order of headers.
export function requestBytes({ method, path, headers = [], body }) {
  const lines = [`${method} ${path} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`)];
  return Buffer.concat([Buffer.from(lines.join("\r\n") + "\r\n\r\n", "latin1"), body ?? Buffer.alloc(0)]);
}

// The parts of a request that was made by requestBytes.
export function parseRequest(bytes) {
  const at = bytes.indexOf(crlf2);
  const [first = "", ...lines] = bytes.subarray(0, at < 0 ? bytes.length : at).toString("latin1").split("\r\n");
  const [method = "", target = ""] = first.split(" ");
  const [path, query = ""] = target.split("?");
  const headers = lines.map((line) => [line.split(":")[0].toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]);
  return { method, path, query, headers, body: at < 0 ? Buffer.alloc(0) : bytes.subarray(at + 4) };
}

// Reads one response from pieces of bytes. `pieces` holds the body as it came, without the framing.
export class ResponseReader {
  constructor(method) {
    this.method = method;
    this.buffer = Buffer.alloc(0);
    this.head = null;
    this.pieces = [];
    this.done = false;
    this.left = 0;
  }

  push(bytes) {
    this.buffer = Buffer.concat([this.buffer, bytes]);
    if (!this.head && !this.readHead()) return;
    if (this.done) return;
    if (this.chunked) this.readChunks();
    else this.readPlain();
  }

  // The peer has closed. A response without a length ends here.
  end() {
    if (this.head && !this.chunked && this.length === undefined) this.done = true;
  }

  get body() {
    return Buffer.concat(this.pieces);
  }

  readHead() {
    const at = this.buffer.indexOf(crlf2);
    if (at < 0) return false;
    const [first, ...lines] = this.buffer.subarray(0, at).toString("latin1").split("\r\n");
    this.buffer = this.buffer.subarray(at + 4);
    const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
    this.head = { version: first.split(" ")[0], status: Number(first.split(" ")[1]), reason: first.split(" ").slice(2).join(" "), headers };
    const length = this.header("content-length");
    this.chunked = /chunked/i.test(this.header("transfer-encoding") ?? "");
    this.length = length === undefined ? undefined : Number(length);
    const status = this.head.status;
    this.done = this.method === "HEAD" || status === 204 || status === 304 || this.length === 0;
    return true;
  }

  header(name) {
    const found = this.head.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
    return found.length ? found.join(", ") : undefined;
  }

  readPlain() {
    const most = this.length === undefined ? this.buffer.length : this.length - this.left;
    const piece = this.buffer.subarray(0, most);
    this.buffer = this.buffer.subarray(piece.length);
    this.left += piece.length;
    if (piece.length) this.pieces.push(piece);
    if (this.left === this.length) this.done = true;
  }

  readChunks() {
    for (;;) {
      const at = this.buffer.indexOf("\r\n");
      if (at < 0) return;
      const size = parseInt(this.buffer.subarray(0, at).toString("latin1"), 16);
      if (!(size >= 0)) throw new Error("the chunk framing of the response is broken");
      if (this.buffer.length < at + 2 + size + 2) return;
      if (size > 0) this.pieces.push(this.buffer.subarray(at + 2, at + 2 + size));
      this.buffer = this.buffer.subarray(at + 2 + size + 2);
      if (size === 0) {
        this.done = true;
        return;
      }
    }
  }
}

// One frame of an event stream: {id?, event?, data?, comment?, retry?, text}.
export function parseFrame(text) {
  const frame = { text, data: undefined };
  for (const line of text.split("\n")) {
    if (line.startsWith(":")) frame.comment = line.slice(1).trim();
    else if (line.startsWith("data:")) frame.data = (frame.data ?? "") + line.slice(5).trim();
    else if (/^(id|event|retry):/.test(line)) frame[line.split(":")[0]] = line.slice(line.indexOf(":") + 1).trim();
  }
  return frame;
}

export function splitFrames(text) {
  const parts = text.split("\n\n");
  const rest = parts.pop();
  return { frames: parts.map(parseFrame), rest };
}
