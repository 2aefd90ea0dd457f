// A server that behaves as the published one does, as far as a client can see: streams are one batch and end, the run
// reports its end before its last events can be read, and a conversation becomes continuable only later.
import { RUN, event, frame, run, serve, session } from "./server.mjs";

/**
 * Each look at the run lets it make one more step of `timeline` (events; the status changes with them). `promotedAfter`
 * is how long after the first refusal a conversation exists, in ms of Date.now().
 */
export async function publishedServer(t, timeline, { promotedAfter = 8000, trailing = [] } = {}) {
  const events = [];
  let status = "queued";
  let promotesAt;
  const terminal = () => ["completed", "failed", "cancelled"].includes(status);
  const step = () => {
    const next = timeline.shift() ?? trailing.shift();
    if (!next) return;
    events.push(next);
    if (/^run\.(completed|failed|cancelled)$/.test(next.type)) status = next.type.slice(4);
    else if (!terminal()) status = "running";
  };
  const promoted = () => {
    promotesAt ??= Date.now() + promotedAfter;
    return Date.now() >= promotesAt;
  };
  const refusal = (code) => [409, { error: { code, message: code, details: {} } }];

  const server = await serve(t, (request, response) => {
    const after = Number(request.query.get("afterSeq") ?? 0);
    const items = events.filter((item) => item.sequence > after);
    const route = `${request.method} ${request.path.replace(`/v1/runs/${RUN}`, "") || "run"}`;
    switch (route) {
      case "POST /v1/runs":
        return [201, run("queued", 0)];
      case "GET run":
        step();
        return run(status, events.length + (terminal() ? trailing.length : 0));
      case "GET /events": {
        if (terminal()) step();
        const page = items.slice(0, Number(request.query.get("limit") ?? 100));
        return { items: page, nextAfterSeq: page[page.length - 1]?.sequence ?? after };
      }
      case "GET /stream":
        response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache, no-transform" });
        return void response.end(items.length ? items.slice(0, 500).map(frame).join("") : "event: heartbeat\ndata: {}\n\n");
      case "GET /session":
        return session(run(status, events.length));
      case "POST /messages":
        return promoted() ? [202, { runId: RUN, turnNumber: 2, conversationId: RUN }] : refusal("run_not_continuable");
      case "POST /close":
        return { closed: true, conversationId: RUN, reclaimed: promoted() };
      default:
        return [404, { message: `Route ${request.method}:${request.url} not found`, error: "Not Found", statusCode: 404 }];
    }
  });
  return { ...server, setStatus: (value) => (status = value) };
}

/** A run as the published server tells it, `extra` events of the agent in it. */
export function publishedRun(extra = 3) {
  const types = ["run.claimed", "sandbox.created", "agent.started", ...Array(extra).fill("agent.progress"), "agent.response", "run.completed"];
  return types.map((type, n) => event(n + 1, type, type === "agent.response" ? { text: "Done." } : { summary: type, message: type }));
}
