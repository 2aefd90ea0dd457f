// Where the bytes of a check go: to a server, or to what a server answered before.
import net from "node:net";

export class Timeout extends Error {}
// A replay was asked for something that was never recorded.
export class Diverged extends Error {}

// A connection on which everything is sent at once and then read. `next` gives a piece, or null at the end.
class LiveConnection {
  constructor(host, port, bytes, record) {
    this.queue = [];
    this.record = record;
    this.started = Date.now();
    this.socket = net.connect({ host, port, noDelay: true });
    this.socket.on("data", (piece) => this.add(piece));
    this.socket.on("end", () => this.add(null));
    this.socket.on("error", (error) => this.add(error));
    this.socket.write(bytes);
  }

  add(piece) {
    this.queue.push(piece);
    if (this.record) {
      if (Buffer.isBuffer(piece)) this.record.pieces.push({ bytes: piece, at: Date.now() - this.started });
      else this.record.ended = true;
    }
    this.wake?.();
  }

  async next(seconds) {
    if (this.queue.length === 0) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, seconds * 1000);
        this.wake = () => (clearTimeout(timer), resolve());
      });
      this.wake = undefined;
    }
    if (this.queue.length === 0) throw new Timeout(`nothing came for ${seconds} s`);
    const piece = this.queue[0];
    if (Buffer.isBuffer(piece)) return this.queue.shift();
    return null;
  }

  elapsed() {
    return Date.now() - this.started;
  }

  close() {
    this.socket.destroy();
  }
}

export class LiveTransport {
  constructor(url, recording) {
    const { hostname, port } = new URL(url);
    this.host = hostname.replace(/^\[|\]$/g, "");
    this.port = Number(port || 80);
    this.authority = new URL(url).host;
    this.recording = recording;
  }

  open(owner, bytes) {
    return new LiveConnection(this.host, this.port, bytes, this.recording?.add(owner, bytes));
  }

  pause(milliseconds) {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
}

const most = 4096;

// The same for the same request of the same asker. Of a long body the ends and the length count.
function keyOf(owner, bytes) {
  if (bytes.length <= 2 * most) return `${owner}\n${bytes.toString("latin1")}`;
  return `${owner}\n${bytes.length}\n${bytes.subarray(0, most).toString("latin1")}${bytes.subarray(-most).toString("latin1")}`;
}

// What was asked and answered, by who asked. Can be kept as text.
export class Recording {
  constructor(entries = new Map()) {
    this.entries = entries;
  }

  toJSON() {
    const base64 = (bytes) => bytes.toString("base64");
    const entry = ({ request, pieces, ended }) => ({ request: base64(request), ended, pieces: pieces.map(({ bytes, at }) => [base64(bytes), at]) });
    return [...this.entries].map(([key, list]) => [key, list.map(entry)]);
  }

  static from(value) {
    const bytes = (text) => Buffer.from(text, "base64");
    const entry = ({ request, pieces, ended }) => ({ request: bytes(request), ended, pieces: pieces.map(([text, at]) => ({ bytes: bytes(text), at })) });
    return new Recording(new Map(value.map(([key, list]) => [key, list.map(entry)])));
  }

  add(owner, bytes) {
    const key = keyOf(owner, bytes);
    const entry = { request: bytes, pieces: [], ended: false };
    if (!this.entries.has(key)) this.entries.set(key, []);
    this.entries.get(key).push(entry);
    return entry;
  }
}

class ReplayConnection {
  constructor(pieces, ended) {
    this.pieces = pieces;
    this.ended = ended;
    this.index = 0;
    this.last = 0;
  }

  async next(seconds) {
    if (this.index < this.pieces.length) {
      const piece = this.pieces[this.index++];
      this.last = piece.at;
      return piece.bytes;
    }
    if (this.ended) return null;
    throw new Timeout(`nothing came for ${seconds} s`);
  }

  elapsed() {
    return this.last;
  }

  close() {}
}

const repeats = 3;

// Answers from a recording, each response changed by `rewrite(request, pieces, ended)`.
export class ReplayTransport {
  constructor(recording, authority, rewrite) {
    this.recording = recording;
    this.authority = authority;
    this.rewrite = rewrite;
    this.used = new Map();
  }

  open(owner, bytes) {
    const key = keyOf(owner, bytes);
    const entries = this.recording.entries.get(key);
    if (!entries) throw new Diverged(`never asked before: ${bytes.toString("latin1").split("\r\n")[0]}`);
    const index = this.used.get(key) ?? 0;
    this.used.set(key, index + 1);
    if (index >= entries.length + repeats) throw new Timeout("the same answer again and again");
    const entry = entries[Math.min(index, entries.length - 1)];
    return new ReplayConnection(this.rewrite(entry.request, entry.pieces, entry.ended), entry.ended);
  }

  async pause() {}
}
