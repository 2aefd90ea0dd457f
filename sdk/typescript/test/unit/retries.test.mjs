import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentRouterError, agentrouter } from "../../dist/index.js";
import { fastTime, RUN, run, serve, virtualTime } from "../support/server.mjs";

/** A server that answers with `statuses` in turn, then well. */
async function failing(t, statuses, headers = {}) {
  const left = [...statuses];
  return serve(t, (request, response) => {
    const status = left.shift();
    if (status === undefined) return run("queued", 0);
    if (status === "cut") return void request.socket.destroy();
    return void response.writeHead(status, headers).end('{"error":{"code":"unavailable","message":"later"}}');
  });
}

for (const status of [408, 429, 502, 503, 504, "cut"]) {
  test(`a GET is repeated after ${status}`, async (t) => {
    fastTime(t, 50);
    const server = await failing(t, [status, status]);
    assert.equal((await agentrouter({ apiKey: "k", baseUrl: server.url }).getRun(RUN)).id, RUN);
    assert.equal(server.requests.length, 3);
  });
}

for (const status of [400, 401, 404, 409, 500, 501]) {
  test(`a GET is not repeated after ${status}`, async (t) => {
    const server = await failing(t, [status]);
    await assert.rejects(agentrouter({ apiKey: "k", baseUrl: server.url }).getRun(RUN), { statusCode: status });
    assert.equal(server.requests.length, 1);
  });
}

test("repeating is bounded, and the last answer is thrown", async (t) => {
  fastTime(t, 50);
  const server = await failing(t, Array(20).fill(503));
  await assert.rejects(agentrouter({ apiKey: "k", baseUrl: server.url }).getRun(RUN), { code: "unavailable", statusCode: 503 });
  assert.equal(server.requests.length, 4);
  await assert.rejects(agentrouter({ apiKey: "k", baseUrl: server.url, maxRetries: 0 }).getRun(RUN), { statusCode: 503 });
  assert.equal(server.requests.length, 5);
});

test("a network failure surfaces as fetch's own error", async () => {
  let calls = 0;
  const own = new TypeError("fetch failed");
  const fetchImpl = async () => {
    calls++;
    throw own;
  };
  await assert.rejects(agentrouter({ apiKey: "k", fetchImpl, maxRetries: 0 }).getRun(RUN), (error) => error === own);
  assert.equal(calls, 1);
});

test("POSTs are repeated only with an idempotency key", async (t) => {
  fastTime(t, 50);
  const decision = { runId: RUN, actionId: "a", actionDigest: "sha256:12345678" };
  const calls = [
    [(client) => client.createRun({ task: "t" }), 1],
    [(client) => client.createRun({ task: "t", idempotencyKey: "x" }), 2],
    [(client) => client.cancelRun(RUN), 1],
    [(client) => client.closeRun(RUN), 1],
    [(client) => client.deleteRun(RUN), 2],
    [(client) => client.continueRun(RUN, "m"), 1],
    [(client) => client.continueRun(RUN, "m", { idempotencyKey: "x" }), 2],
    [(client) => client.approveRunAction(decision), 1],
    [(client) => client.denyRunAction({ ...decision, idempotencyKey: "x" }), 2]
  ];
  for (const [call, expected] of calls) {
    const server = await failing(t, [503]);
    await call(agentrouter({ apiKey: "k", baseUrl: server.url })).catch((error) => assert.equal(error.statusCode, 503));
    assert.equal(server.requests.length, expected, String(call));
    assert.equal(new Set(server.requests.map((request) => request.text)).size, 1);
    assert.equal(new Set(server.requests.map((request) => request.headers["idempotency-key"])).size, 1);
  }
});

/** The pauses that a client makes, in ms, without making them. */
async function pauses(t, headers, tries) {
  const made = virtualTime(t);
  const left = Array(tries).fill(429);
  const fetchImpl = async () => (left.pop() ? new Response("{}", { status: 429, headers }) : new Response("{}"));
  await agentrouter({ apiKey: "k", fetchImpl, maxRetries: tries }).getRun(RUN);
  return made;
}

test("pauses grow, are jittered and bounded", async (t) => {
  const made = await pauses(t, {}, 8);
  made.forEach((pause, n) => {
    const whole = Math.min(250 * 2 ** n, 8000);
    assert.ok(pause >= whole / 2 && pause <= whole, `${n}: ${pause}`);
  });
  assert.equal(new Set(made).size, 8);
});

test("Retry-After in seconds is respected, up to a minute", async (t) => {
  assert.deepEqual(await pauses(t, { "retry-after": "3" }, 2), [3000, 3000]);
  assert.deepEqual(await pauses(t, { "retry-after": "60" }, 1), [60_000]);
});

test("what asks for more than a minute is thrown at once, also for a request with a key", async (t) => {
  const made = virtualTime(t);
  let asked = 0;
  const refusal = JSON.stringify({ error: { code: "budget_exhausted", message: "m", details: {} } });
  const fetchImpl = async () => {
    asked++;
    return new Response(refusal, { status: 429, headers: { "retry-after": "86400" } });
  };
  const client = agentrouter({ apiKey: "k", fetchImpl });
  await assert.rejects(client.createRun({ task: "t", idempotencyKey: "once" }), { code: "budget_exhausted", statusCode: 429 });
  await assert.rejects(client.getRun(RUN), { code: "budget_exhausted" });
  assert.deepEqual([asked, made], [2, []]);
});

test("Retry-After as a date is respected, and nonsense is not", async (t) => {
  t.mock.method(Date, "now", () => Date.parse("2026-01-01T00:00:00Z"));
  assert.deepEqual(await pauses(t, { "retry-after": "Thu, 01 Jan 2026 00:00:07 GMT" }, 1), [7000]);
  const [pause] = await pauses(t, { "retry-after": "soon" }, 1);
  assert.ok(pause <= 250);
});

test("what is refused with a Retry-After is asked again when it may be, and what has none is not", async (t) => {
  const made = virtualTime(t);
  const refused = JSON.stringify({ error: { code: "run_not_ended", message: "m", details: {} } });
  const answers = [new Response(refused, { status: 409, headers: { "retry-after": "1" } }), new Response(null, { status: 204 }), new Response(refused, { status: 409 })];
  const client = agentrouter({ apiKey: "k", fetchImpl: async () => answers.shift() });
  assert.equal(await client.deleteRun(RUN), undefined);
  assert.deepEqual(made, [1000]);
  await assert.rejects(client.deleteRun(RUN), { code: "run_not_ended" });
  assert.deepEqual(answers, []);
});

test("a request that takes too long throws request_timeout", async (t) => {
  const server = await serve(t, () => undefined);
  const client = agentrouter({ apiKey: "k", baseUrl: server.url, timeoutMs: 20, maxRetries: 0 });
  await assert.rejects(client.getRun(RUN), (error) => {
    assert.ok(error instanceof AgentRouterError);
    assert.deepEqual([error.code, error.details, error.statusCode], ["request_timeout", { timeoutMs: 20 }, undefined]);
    return true;
  });
  await assert.rejects(client.cancelRun(RUN, { timeoutMs: 10 }), { code: "request_timeout", details: { timeoutMs: 10 } });
});

test("a reply that stops in the middle of its body is a timeout, and a GET is repeated", async (t) => {
  let first = true;
  const server = await serve(t, (_, response) => {
    if (!first) return run("queued", 0);
    first = false;
    response.writeHead(200, { "content-type": "application/json" });
    return void response.write('{"id":');
  });
  assert.equal((await agentrouter({ apiKey: "k", baseUrl: server.url, timeoutMs: 200 }).getRun(RUN)).id, RUN);
});

test("a download is bounded by its silences, not by its length", async (t) => {
  const server = await serve(t, (_, response) => {
    response.writeHead(200);
    let sent = 0;
    const timer = setInterval(() => {
      response.write("x");
      if (++sent < 12) return;
      clearInterval(timer);
      response.end();
    }, 25);
  });
  const client = agentrouter({ apiKey: "k", baseUrl: server.url, timeoutMs: 200, maxRetries: 0 });
  assert.equal((await client.downloadArtifact(RUN, "a")).byteLength, 12);
});

test("a fetch that knows nothing of signals cannot hold a call", async () => {
  const client = agentrouter({ apiKey: "k", fetchImpl: () => new Promise(() => {}), timeoutMs: 10, maxRetries: 0 });
  await assert.rejects(client.getRun(RUN), { code: "request_timeout" });
});

test("a signal ends a request, a pause and a call that has not begun", async (t) => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const waiting = await serve(t, () => void controller.abort(reason));
  const client = agentrouter({ apiKey: "k", baseUrl: waiting.url });
  await assert.rejects(client.getRun(RUN, { signal: controller.signal }), (error) => error === reason);
  await assert.rejects(client.getRun(RUN, { signal: controller.signal }), (error) => error === reason);
  assert.equal(waiting.requests.length, 1);

  const pausing = new AbortController();
  const busy = await serve(t, (_, response) => {
    response.writeHead(503, { "retry-after": "50" }).end();
    setTimeout(() => pausing.abort(reason), 5);
    return undefined;
  });
  const call = agentrouter({ apiKey: "k", baseUrl: busy.url }).getRun(RUN, { signal: pausing.signal });
  await assert.rejects(call, (error) => error === reason);
});

test("every method takes a signal", async (t) => {
  const server = await serve(t, () => ({}));
  const client = agentrouter({ apiKey: "k", baseUrl: server.url });
  const signal = AbortSignal.abort();
  const decision = { runId: RUN, actionId: "a", actionDigest: "sha256:12345678" };
  const calls = [
    client.createRun({ task: "t" }, { signal }),
    client.createRunAndWait({ task: "t", signal }),
    client.listRuns({ signal }),
    client.iterateRuns({ signal }).next(),
    client.getRun(RUN, { signal }),
    client.getRunSession(RUN, { signal }),
    client.getRunRecord(RUN, { signal }),
    client.listRunEvents(RUN, { signal }),
    client.streamRun(RUN, { signal }).next(),
    client.streamRun(RUN, { signal, follow: false }).next(),
    client.cancelRun(RUN, { signal }),
    client.listRunArtifacts(RUN, { signal }),
    client.downloadArtifact(RUN, "a", { signal }),
    client.approveRunAction(decision, { signal }),
    client.denyRunAction(decision, { signal }),
    client.continueRun(RUN, "m", { signal }),
    client.getRunTurns(RUN, { signal }),
    client.closeRun(RUN, { signal }),
    client.forkRun(RUN, { message: "m" }, { signal }),
    client.listRunFiles(RUN, { signal }),
    client.readRunFile(RUN, "a", { signal })
  ];
  for (const call of calls) await assert.rejects(call, { name: "AbortError" });
  assert.equal(server.requests.length, 0);
});
