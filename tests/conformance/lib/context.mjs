// What a check works with: requests, waits, fixtures, expectations.
import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { ResponseReader, requestBytes, splitFrames } from "./http.mjs";
import { Diverged, Timeout } from "./transport.mjs";

export class Expectation extends Error {}
// What the check stands on could not be set up.
export class Blocked extends Error {}

export const terminal = new Set(["completed", "failed", "cancelled"]);
export const terminalEvents = new Set(["run.completed", "run.failed", "run.cancelled"]);
export const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
export const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
export const unknownRun = "run_00000000-0000-4000-8000-000000000000";

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

// Compact JSON with the keys of every object sorted by UTF-16 code unit.
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}
export const digest = (value) => "sha256:" + sha256(Buffer.from(canonical(value)));

const show = (value) => {
  const text = value === undefined ? "undefined" : JSON.stringify(value) ?? String(value);
  return text.length > 300 ? text.slice(0, 300) + "..." : text;
};

// One response. `at` is when its head came, in milliseconds after the request.
export class Reply {
  constructor(head, body, at) {
    Object.assign(this, head);
    this.body = body;
    this.at = at;
    this.text = body.toString("utf8");
  }

  header(name) {
    const found = this.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
    return found.length ? found.join(", ") : undefined;
  }

  get json() {
    try {
      return JSON.parse(this.text);
    } catch {
      throw new Expectation(`the body of a ${this.status} is not JSON: ${show(this.text)}`);
    }
  }

  get frames() {
    return splitFrames(this.text).frames;
  }

  get events() {
    return this.frames.filter((frame) => frame.data && frame.event !== "heartbeat").map((frame) => JSON.parse(frame.data));
  }
}

// A response that goes on: frames as they come.
class Stream {
  constructor(connection, reader, seconds) {
    Object.assign(this, { connection, reader, seconds, text: "", taken: 0, frames: [] });
  }

  // The next frame, or null when the response has ended. `frame.at` is its time after the request in ms.
  async next(seconds = this.seconds) {
    for (;;) {
      while (this.taken < this.reader.pieces.length) this.text += this.reader.pieces[this.taken++].toString("utf8");
      const { frames, rest } = splitFrames(this.text);
      if (frames.length) {
        this.text = frames.slice(1).map((frame) => frame.text + "\n\n").join("") + rest;
        const frame = { ...frames[0], at: this.connection.elapsed() };
        this.frames.push(frame);
        return frame;
      }
      if (this.reader.done) return null;
      const piece = await this.connection.next(seconds);
      if (piece === null) {
        this.cut = !this.reader.done;
        return null;
      }
      this.reader.push(piece);
    }
  }

  // Reads to the end; gives the events.
  async all(seconds = this.seconds) {
    while ((await this.next(seconds)) !== null);
    return this.events();
  }

  // Reads until `accept(frame)`; null when the response ends first.
  async until(accept, seconds = this.seconds) {
    for (let frame; (frame = await this.next(seconds)) !== null; ) if (accept(frame)) return frame;
    return null;
  }

  events() {
    return this.frames.filter((frame) => frame.data && frame.event !== "heartbeat").map((frame) => JSON.parse(frame.data));
  }

  close() {
    this.connection.close();
  }
}

export class Context {
  constructor(owner, session) {
    Object.assign(this, { owner, session, counter: 0, open: [] });
  }

  // Text that no other check and no other call of the tool uses.
  unique(label = "x") {
    return `${this.session.seed}-${this.owner}-${label}-${++this.counter}`;
  }

  fixture(name) {
    return this.session.fixture(name);
  }

  headersOf({ key = this.session.key, headers = {}, body, bare }) {
    const list = [["Host", this.session.transport.authority]];
    if (bare) return list;
    if (key !== null) list.push(["Authorization", `Bearer ${key}`]);
    for (const [name, value] of Object.entries(headers)) list.push([name, value]);
    const has = (name) => list.some(([key]) => key.toLowerCase() === name);
    if (body !== undefined && !has("content-type")) list.push(["Content-Type", "application/json"]);
    if (body !== undefined && !has("transfer-encoding")) list.push(["Content-Length", body.length]);
    if (!has("connection")) list.push(["Connection", "close"]);
    return list;
  }

  bytesOf(method, path, options = {}) {
    let body = options.body;
    if (body !== undefined && !Buffer.isBuffer(body)) body = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
    if (body === undefined && method !== "GET" && method !== "HEAD") body = Buffer.alloc(0);
    return requestBytes({ method, path, headers: this.headersOf({ ...options, body }), body });
  }

  connect(bytes) {
    const connection = this.session.transport.open(this.owner, bytes);
    this.open.push(connection);
    return connection;
  }

  // Sends bytes and reads until the peer closes or `count` responses are there.
  async raw(bytes, { method = "GET", count = 1, seconds = this.session.seconds } = {}) {
    const connection = this.connect(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes, "latin1"));
    const replies = [];
    let reader = new ResponseReader(method);
    while (replies.length < count) {
      const piece = await connection.next(seconds);
      if (piece === null) reader.end();
      else reader.push(piece);
      while (reader.done && replies.length < count) {
        replies.push(new Reply(reader.head, reader.body, connection.elapsed()));
        const rest = reader.buffer;
        reader = new ResponseReader(method);
        if (rest.length) reader.push(rest);
      }
      if (piece === null) break;
    }
    connection.close();
    return replies;
  }

  async request(method, path, options = {}) {
    const bytes = this.bytesOf(method, path, options);
    const [reply] = await this.raw(bytes, { method, seconds: options.seconds });
    if (!reply) throw new Expectation(`${method} ${path}: the connection was closed without a whole answer`);
    return reply;
  }

  get(path, options) {
    return this.request("GET", path, options);
  }

  post(path, body, options) {
    return this.request("POST", path, { body, ...options });
  }

  // Opens a response and gives it before its body has ended.
  async stream(path, { live = true, seconds = this.session.seconds, method = "GET", ...options } = {}) {
    const headers = { ...(live ? { Accept: "text/event-stream" } : {}), ...options.headers };
    const connection = this.connect(this.bytesOf(method, path, { ...options, headers }));
    const reader = new ResponseReader(method);
    while (!reader.head) {
      const piece = await connection.next(seconds);
      if (piece === null) throw new Expectation(`${path}: the connection was closed without an answer`);
      reader.push(piece);
    }
    const stream = new Stream(connection, reader, seconds);
    stream.head = new Reply(reader.head, Buffer.alloc(0), connection.elapsed());
    return stream;
  }

  // Creates a run that the tool cancels in the end when it is still active.
  async create(body, options) {
    const reply = await this.post("/v1/runs", body, options);
    if (reply.status < 300) this.session.created.add(JSON.parse(reply.text).id);
    return reply;
  }

  // Creates a run whose work does not matter and cancels it at once; gives the reply of the creation.
  async createAndCancel(body, options) {
    const reply = await this.create(body, options);
    if (reply.status === 201) await this.post(`/v1/runs/${reply.json.id}/cancel`, {});
    return reply;
  }

  // The state of a run once `accept(run)`.
  async runWhen(id, accept, what) {
    const end = Date.now() + this.session.seconds * 1000;
    for (;;) {
      const run = (await this.get(`/v1/runs/${id}`)).json;
      if (accept(run)) return run;
      if (Date.now() > end) throw new Timeout(`${id} is ${run.status}, not ${what}`);
      await this.session.transport.pause(60);
    }
  }

  finished(id) {
    return this.runWhen(id, (run) => terminal.has(run.status), "ended");
  }

  // All events, by pages.
  async events(id) {
    const items = [];
    for (let after = 0, pages = 0; pages < 50; ++pages) {
      const page = (await this.get(`/v1/runs/${id}/events?afterSeq=${after}&limit=500`)).json.items;
      if (!page.length) break;
      items.push(...page);
      after = page[page.length - 1].sequence;
    }
    return items;
  }

  // The first event of that type, waited for.
  async eventWhen(id, type) {
    const end = Date.now() + this.session.seconds * 1000;
    for (;;) {
      const found = (await this.get(`/v1/runs/${id}/events?limit=500`)).json.items.find((event) => event.type === type);
      if (found) return found;
      if (Date.now() > end) throw new Timeout(`${id} has no ${type}`);
      await this.session.transport.pause(60);
    }
  }

  finish() {
    for (const connection of this.open) connection.close();
  }

  // Expectations.
  ok(value, what) {
    if (!value) throw new Expectation(what);
  }

  equal(got, wanted, what = "value") {
    if (!isDeepStrictEqual(got, wanted)) throw new Expectation(`${what}: ${show(got)} instead of ${show(wanted)}`);
  }

  match(got, pattern, what = "value") {
    if (typeof got !== "string" || !pattern.test(got)) throw new Expectation(`${what}: ${show(got)} does not match ${pattern}`);
  }

  status(reply, wanted) {
    if (reply.status !== wanted) throw new Expectation(`status ${reply.status} instead of ${wanted}: ${show(reply.text)}`);
  }

  // An error in the envelope; gives it.
  error(reply, status, code) {
    this.status(reply, status);
    const error = reply.json?.error;
    this.ok(error && typeof error === "object", `no error envelope: ${show(reply.text)}`);
    this.equal(error.code, code, "error.code");
    this.ok(typeof error.message === "string" && error.message, "error.message is empty");
    return error;
  }

  // A validation error about `field` (or about anything); gives its issues.
  invalid(reply, field) {
    const issues = this.error(reply, 400, "validation_error").details?.issues;
    this.ok(Array.isArray(issues) && issues.length, "details.issues is missing");
    for (const issue of issues) {
      this.ok(typeof issue.code === "string" && issue.code && typeof issue.message === "string", `an issue lacks code or message: ${show(issue)}`);
      this.ok(Array.isArray(issue.path), `an issue lacks its path: ${show(issue)}`);
    }
    if (field) this.ok(issues.some((issue) => issue.path[0] === field), `no issue is about ${field}: ${show(issues)}`);
    return issues;
  }
}

export { Diverged, Timeout };
