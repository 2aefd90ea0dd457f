// A client that asks like the published package, written from the wire contract alone: no Accept, a body read whole before its
// first event, polling, two back-offs. `scale` divides its pauses.
export class PublishedError extends Error {
  constructor(code, message, details, statusCode) {
    super(message);
    Object.assign(this, { code, details, statusCode });
  }
}

const TERMINAL = ["completed", "failed", "cancelled"];

export function publishedClient({ apiKey, baseUrl, scale = 1, log = [] }) {
  const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds / scale));
  const elapsed = (since) => (Date.now() - since) * scale;

  async function send(method, path, body, headers = {}) {
    log.push(`${method} ${path}`);
    const sent = { authorization: `Bearer ${apiKey}`, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers };
    const response = await fetch(baseUrl + path, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body) });
    if (response.ok) return response;
    const { error } = await response.json();
    const { code = "api_error", message = "AgentRouter API error", details } = error;
    throw new PublishedError(code, message, details, response.status);
  }
  const json = async (...call) => (await send(...call)).json();
  const of = (runId, rest = "") => `/v1/runs/${encodeURIComponent(runId)}${rest}`;

  const client = {
    log,
    createRun: ({ idempotencyKey, ...body }) => json("POST", "/v1/runs", body, idempotencyKey ? { "idempotency-key": idempotencyKey } : {}),
    listRuns: () => json("GET", "/v1/runs"),
    getRun: (runId) => json("GET", of(runId)),
    getRunSession: (runId) => json("GET", of(runId, "/session")),
    listRunEvents: (runId, afterSeq, limit) => json("GET", of(runId, `/events?afterSeq=${afterSeq}&limit=${limit}`)),
    cancelRun: (runId) => json("POST", of(runId, "/cancel"), {}),
    listRunArtifacts: (runId) => json("GET", of(runId, "/artifacts")),
    downloadArtifact: async (runId, id) => (await send("GET", of(runId, `/artifacts/${id}/download`))).arrayBuffer(),
    decide: (verb, { runId, actionId, ...body }) => json("POST", of(runId, `/actions/${encodeURIComponent(actionId)}/${verb}`), body),
    getRunTurns: (runId) => json("GET", of(runId, "/turns")),

    /** The whole body, split on LF LF; only heartbeats are skipped, and data that is no event throws. */
    async streamRun(runId, afterSeq = 0) {
      const text = await (await send("GET", of(runId, `/stream?afterSeq=${afterSeq}`))).text();
      const events = [];
      for (const part of text.split("\n\n")) {
        const lines = part.split("\n");
        const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("");
        if (data && !lines.includes("event: heartbeat")) events.push(JSON.parse(data));
      }
      return events;
    },

    async continueRun(runId, message) {
      for (let n = 0, since = Date.now(); ; n++) {
        try {
          return await json("POST", of(runId, "/messages"), { message });
        } catch (error) {
          if (error.code !== "run_not_continuable" || elapsed(since) >= 8000) throw error;
        }
        await sleep(Math.min(250 * (n + 1), 1000));
      }
    },

    async closeRun(runId) {
      for (let n = 0, since = Date.now(); ; n++) {
        const result = await json("POST", of(runId, "/close"), {});
        if (result.reclaimed) return result;
        const { status, runtime } = await client.getRun(runId);
        const waits = status === "completed" && runtime.kind === "codex" && ["default", "read_only", "full_access"].includes(runtime.mode);
        if (!waits || elapsed(since) >= 30_000) return result;
        await sleep(Math.min(250 * (n + 1), 1000));
      }
    },

    /** Events, then the run; the end when its status is terminal and everything up to lastEventSeq was seen. */
    async *poll(runId, { afterSeq = 0, pollIntervalMs = 1000, maxWaitMs = 600_000 } = {}) {
      for (const since = Date.now(); ; ) {
        const { items } = await client.listRunEvents(runId, afterSeq, 500);
        yield* items;
        afterSeq = items[items.length - 1]?.sequence ?? afterSeq;
        const run = await client.getRun(runId);
        const terminal = TERMINAL.includes(run.status);
        if (terminal && afterSeq >= run.lastEventSeq) return;
        if (!terminal && elapsed(since) >= maxWaitMs) throw new PublishedError("wait_timeout", "timeout", { runId, status: run.status });
        if (!terminal || items.length === 0) await sleep(pollIntervalMs);
      }
    },

    async wait(runId, options) {
      const events = [];
      for await (const event of client.poll(runId, options)) events.push(event);
      return { events, session: await client.getRunSession(runId) };
    }
  };
  return client;
}
