// Changes the responses of a server on their way: what a mutant does, to live traffic or to recorded one.
import { ResponseReader, parseRequest } from "./http.mjs";

// The requests that were sent on one connection at once.
function requestsOf(bytes) {
  const requests = [];
  while (bytes.length) {
    const request = parseRequest(bytes);
    const length = Number(request.headers.find(([name]) => name === "content-length")?.[1] ?? 0);
    const head = bytes.length - request.body.length;
    requests.push({ ...request, body: request.body.subarray(0, length) });
    if (head + length >= bytes.length || !(length >= 0) || request.headers.some(([name]) => name === "transfer-encoding")) break;
    bytes = bytes.subarray(head + length);
  }
  return requests;
}

const headOf = ({ version, status, headers }) => Buffer.from(`${version} ${status} ${status < 400 ? "OK" : "Refused"}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`, "latin1");
const chunkOf = (text) => (text ? [Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)] : []);

function parseJson(body) {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}

// Gives `x` its `json`, parsed when it is first looked at and written again only then.
function lazyJson(x) {
  let [value, seen] = [undefined, false];
  const read = () => {
    if (!seen) [value, seen] = [parseJson(x.body), true];
    return value;
  };
  const write = (other) => void ([value, seen] = [other, true]);
  Object.defineProperty(x, "json", { get: read, set: write, enumerable: true });
  x.changedJson = () => (seen ? value : undefined);
}

// Carries one connection's responses through a mutant {reply?(x), frame?(text, x), cut?}. `x` is one response with its
// request: {method, path, query, requestHeaders, requestBody, status, headers, json, body}; a mutant changes it in place.
// frame() gives the new text of a frame of an event stream, a list of them, or null for none.
export class Rewriter {
  constructor(sent, mutant) {
    this.requests = requestsOf(sent);
    this.mutant = mutant;
    this.next();
  }

  next() {
    this.request = this.requests.shift() ?? this.request ?? parseRequest(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    this.reader = new ResponseReader(this.request.method);
    this.x = null;
    this.taken = 0;
    this.text = "";
  }

  push(bytes) {
    const out = [];
    for (let input = bytes; input; ) {
      this.reader.push(input);
      out.push(...this.step());
      if (!this.reader.done) break;
      input = this.reader.buffer.length ? this.reader.buffer : null;
      this.next();
    }
    return out;
  }

  // The server has closed.
  end() {
    this.reader.end();
    return this.reader.done && this.reader.head ? this.whole() : [];
  }

  step() {
    if (!this.reader.head) return [];
    const stream = this.reader.chunked && /event-stream/.test(this.reader.header("content-type") ?? "");
    if (stream) return this.stream();
    return this.reader.done ? this.whole() : [];
  }

  view() {
    const { method, path, query, headers, body } = this.request;
    const { version, status, headers: replied } = this.reader.head;
    return { method, path, query, requestHeaders: headers, requestBody: body, version, status, headers: replied.map((pair) => [...pair]) };
  }

  whole() {
    const x = this.view();
    x.body = this.reader.body;
    if (/event-stream/.test(this.reader.header("content-type") ?? "")) {
      x.body = Buffer.from(this.frames(x.body.toString("utf8"), x).join(""));
    } else if (/json/.test(this.reader.header("content-type") ?? "") && (x.status >= 400 || !/\/download$/.test(x.path))) {
      lazyJson(x);
    }
    this.mutant.reply?.(x);
    const changed = x.changedJson?.();
    if (changed !== undefined) x.body = Buffer.from(JSON.stringify(changed));
    const length = x.headers.find(([name]) => name.toLowerCase() === "content-length");
    if (length && x.method !== "HEAD" && !x.keepLength) length[1] = String(x.body.length);
    const chunked = x.headers.some(([name]) => name.toLowerCase() === "transfer-encoding");
    const body = chunked ? Buffer.concat([...chunkOf(x.body.toString("latin1")), Buffer.from("0\r\n\r\n")]) : x.body;
    return [headOf(x), x.method === "HEAD" && !x.bodyOnHead ? Buffer.alloc(0) : body];
  }

  frames(text, x) {
    const parts = text.split("\n\n");
    this.rest = parts.pop();
    const out = [];
    for (const part of parts) {
      const changed = this.mutant.frame ? this.mutant.frame(part, x) : part;
      for (const one of Array.isArray(changed) ? changed : changed === null ? [] : [changed]) out.push(one + (x.separator ?? "\n\n"));
    }
    return out;
  }

  stream() {
    const out = [];
    if (!this.x) {
      this.x = { ...this.view(), live: true };
      this.mutant.reply?.(this.x);
      out.push(headOf(this.x));
    }
    while (this.taken < this.reader.pieces.length) this.text += this.reader.pieces[this.taken++].toString("utf8");
    const text = this.frames(this.text, this.x).join("");
    this.text = this.rest;
    out.push(...chunkOf(text));
    if (this.reader.done) {
      out.push(...chunkOf(this.text));
      if (!this.mutant.cut) out.push(Buffer.from("0\r\n\r\n"));
    }
    return out;
  }
}

// A recorded connection as the mutant would have answered it.
export function rewriteRecorded(mutant) {
  return (request, pieces, ended) => {
    const rewriter = new Rewriter(request, mutant);
    const out = [];
    for (const { bytes, at } of pieces) for (const piece of rewriter.push(bytes)) out.push({ bytes: piece, at });
    if (ended) for (const piece of rewriter.end()) out.push({ bytes: piece, at: pieces.at(-1)?.at ?? 0 });
    return out;
  };
}
