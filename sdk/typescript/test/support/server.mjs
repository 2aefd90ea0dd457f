// An HTTP server that a test scripts: every request is recorded, and `answer` decides about each.
import { createServer } from "node:http";

export const RUN = "run_00000000-0000-4000-8000-000000000001";

export const run = (status, lastEventSeq, more = {}) => ({
  id: RUN,
  status,
  runtime: { kind: "codex", mode: "default" },
  task: "t",
  input: { task: "t", runtime: { kind: "codex", mode: "default" } },
  lastEventSeq,
  sessionId: null,
  conversationId: RUN,
  queuedAt: "2026-01-01T00:00:00.000Z",
  ...more
});

export const event = (sequence, type = "agent.progress", payload = { summary: `step ${sequence}` }) => ({
  runId: RUN,
  sequence,
  type,
  source: "codex",
  visibility: "public",
  payload,
  isTruncated: false,
  createdAt: "2026-01-01T00:00:00.000Z"
});

/** `count` events, the last of them terminal. */
export const history = (count, end = "run.completed") =>
  Array.from({ length: count }, (_, n) => (n + 1 < count ? event(n + 1) : event(count, end, { message: "completed" })));

export const session = (finished, text = "Done.") => ({
  run: finished,
  eventCursor: { lastEventSeq: finished.lastEventSeq },
  response: { text, parts: [{ type: "text", text }] },
  artifactManifest: { status: "missing" },
  artifacts: { items: [] }
});

export const frame = (item) => `id: ${item.sequence}\nevent: ${item.type}\ndata: ${JSON.stringify(item)}\n\n`;

/**
 * Starts a server for the length of test `t`. `answer(request, response)` gets the request with its body and URL parsed
 * (`path`, `query`, `json`); it may write to `response`, or return a value that is sent as JSON, or [status, value].
 */
export async function serve(t, answer) {
  const requests = [];
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (piece) => (text += piece));
    request.on("end", async () => {
      const url = new URL(request.url, "http://server");
      Object.assign(request, { path: url.pathname, query: url.searchParams, text, json: text ? JSON.parse(text) : undefined });
      requests.push(request);
      const reply = await answer(request, response);
      if (reply === undefined) return;
      const [status, value] = Array.isArray(reply) ? reply : [200, reply];
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const lines = () => requests.map((request) => `${request.method} ${request.url}`);
  return { url: `http://127.0.0.1:${server.address().port}`, requests, lines };
}

/**
 * A run with `events` on a server that streams live as AgentRouter does: `retry:` first, what is there, and the end after
 * the terminal event. `stream(request, response)` may take a connection over; it returns true when it has.
 */
export async function serveLive(t, events, { stream = () => false, answer = () => undefined } = {}) {
  const last = () => events[events.length - 1];
  const ended = () => /^run\.(completed|failed|cancelled)$/.test(last()?.type ?? "");
  const current = () => (ended() ? run(last().type.slice(4), last().sequence) : run("running", last()?.sequence ?? 0));
  return serve(t, async (request, response) => {
    const own = await answer(request, response);
    if (own !== undefined) return own;
    if (request.path === "/v1/runs" && request.method === "POST") return [201, run("queued", 0)];
    const after = Math.max(Number(request.query.get("afterSeq") ?? 0), Number(request.headers["last-event-id"] ?? 0));
    const items = events.filter((item) => item.sequence > after);
    if (request.path === `/v1/runs/${RUN}`) return current();
    if (request.path.endsWith("/session")) return session(current());
    if (request.path.endsWith("/events")) {
      const page = items.slice(0, Number(request.query.get("limit") ?? 100));
      return { items: page, nextAfterSeq: page[page.length - 1]?.sequence ?? after };
    }
    if (!request.path.endsWith("/stream")) return [404, { error: { code: "not_found", message: "no such route" } }];
    if (await stream(request, response)) return undefined;
    if (items.length === 0 && ended()) return void response.writeHead(204).end();
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    response.write(`retry: 1000\n\n${items.map(frame).join("")}`);
    if (ended()) response.end();
    return undefined;
  });
}

/** All that a generator gives. */
export async function collect(generator, limit = Infinity) {
  const all = [];
  for await (const item of generator) if (all.push(item) >= limit) break;
  return all;
}

/** Makes the clock and the timers of test `t` run `factor` times faster. Not for what listens to a live stream. */
export function fastTime(t, factor) {
  const { setTimeout, Date: { now } } = globalThis;
  const start = now();
  globalThis.setTimeout = (work, milliseconds, ...more) => setTimeout(work, milliseconds / factor, ...more);
  Date.now = () => start + (now() - start) * factor;
  t.after(() => {
    globalThis.setTimeout = setTimeout;
    Date.now = now;
  });
}

/**
 * Makes the pauses of the SDK take no time in test `t`, while the clock goes on by them; gives them in ms. Not for what
 * listens to a live stream.
 */
export function virtualTime(t) {
  const { setTimeout, Date: { now } } = globalThis;
  const pauses = [];
  let clock = now();
  // Limits of requests, and the timers of fetch itself, stay as they are.
  globalThis.setTimeout = (work, milliseconds, ...more) => {
    if (!new Error().stack.includes("timing.js")) return setTimeout(work, milliseconds, ...more);
    pauses.push(milliseconds);
    clock += milliseconds;
    return setTimeout(work, 0, ...more);
  };
  Date.now = () => clock;
  t.after(() => {
    globalThis.setTimeout = setTimeout;
    Date.now = now;
  });
  return pauses;
}
