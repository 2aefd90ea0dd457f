import assert from "node:assert/strict";
import { test } from "node:test";
import { agentrouter, codex, runAgent, streamAgent } from "../../dist/index.js";
import { collect, event, fastTime, history, RUN, run, serve, serveLive, session } from "../support/server.mjs";

const SECOND = "run_00000000-0000-4000-8000-000000000002";

test("runAgent sends the whole request but the client and how to wait", async (t) => {
  const server = await serveLive(t, history(2));
  const request = { task: "t", runtime: codex({ mode: "full_access" }), approvalMode: "auto", metadata: { a: 1 }, tags: { team: "x" }, limits: { maxTokens: 5 }, workspace: { path: "/w" } };
  const seen = [];
  const result = await runAgent({
    client: agentrouter({ apiKey: "k", baseUrl: server.url }),
    ...request,
    surprise: true,
    idempotencyKey: "x",
    pollIntervalMs: 5,
    maxWaitMs: 10_000,
    signal: new AbortController().signal,
    onEvent: (item) => seen.push(item.sequence)
  });
  assert.deepEqual(server.requests[0].json, { ...request, surprise: true });
  assert.equal(server.requests[0].headers["idempotency-key"], "x");
  assert.deepEqual(seen, [1, 2]);
  const finished = run("completed", 2);
  assert.deepEqual(result, {
    id: RUN, status: "completed", text: "Done.", response: session(finished).response, run: finished, session: session(finished),
    eventCursor: { lastEventSeq: 2 }, artifactManifest: { status: "missing" }, artifacts: { items: [] }
  });
});

test("a run without an answer has an empty text", async (t) => {
  const ended = run("failed", 1, { failure: { code: "worker_failed" } });
  const server = await serveLive(t, [event(1, "run.failed")], {
    answer: (request) => (request.path.endsWith("/session") ? { ...session(ended), response: null } : undefined)
  });
  const result = await runAgent({ client: agentrouter({ apiKey: "k", baseUrl: server.url }), task: "t" });
  assert.deepEqual([result.status, result.text, result.response, result.run.failure.code], ["failed", "", null, "worker_failed"]);
});

test("streamAgent drops what it does not know", async (t) => {
  const server = await serveLive(t, history(2));
  const known = { task: "t", runtime: codex(), approvalMode: "manual", metadata: {}, approvalTimeoutSeconds: 60, tags: { a: "b" } };
  await streamAgent({ client: agentrouter({ apiKey: "k", baseUrl: server.url }), ...known, tools: [], onEvent: () => {}, afterSeq: 3, idempotencyKey: "x", pollIntervalMs: 1 });
  assert.deepEqual(server.requests[0].json, known);
  assert.equal(server.requests[0].headers["idempotency-key"], "x");
});

async function conversation(t) {
  const events = history(3).map((item) => ({ ...item, runId: SECOND }));
  const second = run("completed", 3, { id: SECOND });
  return serve(t, (request) => {
    if (request.path.endsWith("/messages")) return [202, { runId: SECOND, turnNumber: 2, conversationId: RUN }];
    if (request.path.endsWith("/events")) return { items: events.slice(Number(request.query.get("afterSeq"))), nextAfterSeq: 3 };
    return request.path.endsWith("/session") ? session(second) : second;
  });
}

test("runAgent continues a conversation when it has a run and a message, whatever else is there", async (t) => {
  const server = await conversation(t);
  const seen = [];
  const result = await runAgent({
    client: agentrouter({ apiKey: "k", baseUrl: server.url, live: false }),
    task: "ignored", continueRun: RUN, message: "more", afterSeq: 1, approvalMode: "manual", idempotencyKey: "x", onEvent: (item) => void seen.push(item.sequence)
  });
  assert.equal(result.id, SECOND);
  assert.deepEqual(seen, [2, 3]);
  assert.deepEqual(server.requests[0].json, { message: "more", approvalMode: "manual" });
  assert.equal(server.requests[0].headers["idempotency-key"], "x");
  assert.deepEqual(server.lines(), [
    `POST /v1/runs/${RUN}/messages`,
    `GET /v1/runs/${SECOND}/events?afterSeq=1&limit=500`,
    `GET /v1/runs/${SECOND}`,
    `GET /v1/runs/${SECOND}/session`
  ]);
});

test("streamAgent continues a conversation and tells the turn", async (t) => {
  const server = await conversation(t);
  const stream = await streamAgent({ client: agentrouter({ apiKey: "k", baseUrl: server.url, live: false }), continueRun: RUN, message: "more" });
  assert.deepEqual([stream.run.id, stream.conversationId, stream.turnNumber], [SECOND, RUN, 2]);
  assert.deepEqual(server.lines(), [`POST /v1/runs/${RUN}/messages`, `GET /v1/runs/${SECOND}`]);
  assert.deepEqual(server.requests[0].json, { message: "more" });
  assert.equal((await collect(stream.events)).length, 3);
  assert.equal((await stream.finalResult).id, SECOND);
});

for (const request of [{}, { task: 7 }, { continueRun: RUN }, { message: "m" }, { continueRun: "", message: "m" }, { continueRun: RUN, message: 7 }]) {
  test(`a request of ${JSON.stringify(request)} is neither a task nor a continuation`, async () => {
    const client = agentrouter({ apiKey: "k", fetchImpl: () => assert.fail("nothing is sent") });
    await assert.rejects(runAgent({ client, ...request }), { code: "invalid_run_agent_request", statusCode: undefined });
    await assert.rejects(streamAgent({ client, ...request }), { code: "invalid_stream_agent_request", statusCode: undefined });
  });
}

test("an empty continueRun beside a task creates a run", async (t) => {
  const server = await serveLive(t, history(1));
  await streamAgent({ client: agentrouter({ apiKey: "k", baseUrl: server.url }), task: "t", continueRun: "", message: "m" });
  assert.deepEqual([server.lines(), server.requests[0].json], [["POST /v1/runs"], { task: "t" }]);
});

test("waiting ends with wait_timeout and the status", async (t) => {
  fastTime(t, 10);
  const server = await serve(t, (request) => {
    if (request.method === "POST") return [201, run("queued", 0)];
    return request.path.endsWith("/events") ? { items: [], nextAfterSeq: 0 } : run("running", 0);
  });
  const client = agentrouter({ apiKey: "k", baseUrl: server.url, live: false });
  const expected = { code: "wait_timeout", details: { runId: RUN, status: "running" }, statusCode: undefined };
  await assert.rejects(runAgent({ client, task: "t", maxWaitMs: 3000, pollIntervalMs: 1000 }), expected);
  const looks = server.lines().filter((line) => line.includes("/events")).length;
  assert.ok(looks >= 1 && looks <= 5, `${looks} looks`);
  await assert.rejects(client.createRunAndWait({ task: "t", maxWaitMs: 0 }), expected);
});

test("what the caller's onEvent throws ends the waiting", async (t) => {
  const server = await serveLive(t, [event(1)]);
  const own = new Error("own");
  const client = agentrouter({ apiKey: "k", baseUrl: server.url });
  await assert.rejects(runAgent({ client, task: "t", onEvent: () => { throw own; } }), (error) => error === own);
  await assert.rejects(runAgent({ client, task: "t", onEvent: async () => { throw own; } }), (error) => error === own);
});
