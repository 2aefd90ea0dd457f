import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentRouterError, agentrouter } from "../../dist/index.js";
import { collect, event, RUN, run, serve, session } from "../support/server.mjs";

/** Header names in the order sent, without those of fetch itself. */
const ours = (request, names) => request.rawHeaders.filter((_, n) => n % 2 === 0).map((name) => name.toLowerCase()).filter((name) => names.includes(name));

test("each method sends the request of the contract", async (t) => {
  const server = await serve(t, () => ({ items: [], reclaimed: true }));
  const client = agentrouter({ apiKey: "k", baseUrl: `${server.url}///` });
  const decision = { runId: "r/1", actionId: "a b", actionDigest: "sha256:12345678" };
  const calls = [
    [() => client.createRun({ task: "t", metadata: { a: 1 } }), "POST /v1/runs", { task: "t", metadata: { a: 1 } }],
    [() => client.listRuns(), "GET /v1/runs"],
    [() => client.listRuns({ status: "active", limit: 5 }), "GET /v1/runs?status=active&limit=5"],
    [() => client.listRuns({ limit: 0 }), "GET /v1/runs"],
    [() => client.listRuns({ cursor: "c=", runtime: "codex", q: "a b", tags: { team: "x" } }), "GET /v1/runs?cursor=c%3D&runtime=codex&q=a%20b&tag.team=x"],
    [() => client.getRun("r/1"), "GET /v1/runs/r%2F1"],
    [() => client.getRunSession("r"), "GET /v1/runs/r/session"],
    [() => client.getRunRecord("r"), "GET /v1/runs/r/record"],
    [() => client.listRunEvents("r"), "GET /v1/runs/r/events"],
    [() => client.listRunEvents("r", { afterSeq: 0, limit: 500 }), "GET /v1/runs/r/events?afterSeq=0&limit=500"],
    [() => client.cancelRun("r"), "POST /v1/runs/r/cancel", {}],
    [() => client.listRunArtifacts("r"), "GET /v1/runs/r/artifacts"],
    [() => client.downloadArtifact("r", "a?"), "GET /v1/runs/r/artifacts/a%3F/download"],
    [() => client.approveRunAction(decision), "POST /v1/runs/r%2F1/actions/a%20b/approve", { actionDigest: "sha256:12345678" }],
    [() => client.denyRunAction({ ...decision, reason: "no" }), "POST /v1/runs/r%2F1/actions/a%20b/deny", { actionDigest: "sha256:12345678", reason: "no" }],
    [() => client.continueRun("r", "more"), "POST /v1/runs/r/messages", { message: "more" }],
    [() => client.continueRun("r", "more", { approvalMode: "block" }), "POST /v1/runs/r/messages", { message: "more", approvalMode: "block" }],
    [() => client.getRunTurns("r"), "GET /v1/runs/r/turns"],
    [() => client.closeRun("r"), "POST /v1/runs/r/close", {}],
    [() => client.deleteRun("r/1"), "DELETE /v1/runs/r%2F1"],
    [() => client.forkRun("r", { message: "m", atTurn: 2 }), "POST /v1/runs/r/fork", { message: "m", atTurn: 2 }],
    [() => client.listRunFiles("r"), "GET /v1/runs/r/files"],
    [() => client.listRunFiles("r", { prefix: "a b", recursive: true, limit: 2, cursor: "c" }), "GET /v1/runs/r/files?prefix=a%20b&recursive=true&limit=2&cursor=c"],
    [() => client.readRunFile("r", "src/a b.ts"), "GET /v1/runs/r/files/src/a%20b.ts"],
    [() => client.readRunLog("r", "stderr"), "GET /v1/runs/r/logs/stderr"],
    [() => client.readRunLog("r", "stdout", { offset: 12 }), "GET /v1/runs/r/logs/stdout?offset=12"],
    [() => client.readRunFile("r", "a\\xff", { encoding: "escaped" }), "GET /v1/runs/r/files/a%5Cxff?encoding=escaped"],
    [() => client.downloadWorkspace("r"), "GET /v1/runs/r/archive"],
    [() => client.downloadWorkspace("r", { format: "tar.zst", changes: true }), "GET /v1/runs/r/archive?format=tar.zst&changes=true"],
    [() => client.pushRun("r", { branch: "b", message: "m" }), "POST /v1/runs/r/push", { branch: "b", message: "m" }]
  ];
  for (const [call, line, body] of calls) {
    await call();
    const sent = server.requests[server.requests.length - 1];
    assert.equal(`${sent.method} ${sent.url}`, line);
    assert.deepEqual(sent.json, body, line);
    assert.equal(sent.headers["content-type"], body === undefined ? undefined : "application/json", line);
    assert.equal(sent.headers.accept, "*/*", line);
  }
  assert.equal(server.requests.length, calls.length);
});

test("headers go out in order, and default headers may replace the authorization", async (t) => {
  const names = ["authorization", "x-workspace-id", "content-type", "idempotency-key"];
  let seen;
  const fetchImpl = async (_url, init) => {
    seen = init.headers;
    return new Response("{}");
  };
  const client = agentrouter({ apiKey: "k", defaultHeaders: { "x-workspace-id": "w" }, fetchImpl });
  await client.createRun({ task: "t", idempotencyKey: "once" });
  assert.deepEqual(Object.entries(seen), [
    ["authorization", "Bearer k"],
    ["x-workspace-id", "w"],
    ["content-type", "application/json"],
    ["idempotency-key", "once"]
  ]);
  const server = await serve(t, () => ({}));
  await agentrouter({ apiKey: "k", baseUrl: server.url, defaultHeaders: { Authorization: "Basic x" } }).createRun({ task: "t" });
  assert.equal(server.requests[0].headers.authorization, "Basic x");
  assert.deepEqual(ours(server.requests[0], names), ["authorization", "content-type"]);
});

test("the default address is the local server, and an empty idempotency key is not sent", async () => {
  const calls = [];
  const client = agentrouter({ apiKey: "k", fetchImpl: async (url, init) => (calls.push([url, init]), new Response("{}")) });
  await client.createRun({ task: "t", idempotencyKey: "" });
  assert.equal(calls[0][0], "http://127.0.0.1:8787/v1/runs");
  assert.deepEqual(Object.keys(calls[0][1].headers), ["authorization", "content-type"]);
  assert.equal(calls[0][1].body, '{"task":"t"}');
});

test("a global fetch that is replaced later is used", async (t) => {
  const client = agentrouter({ apiKey: "k" });
  t.mock.method(globalThis, "fetch", async () => new Response('{"id":"other"}'));
  assert.equal((await client.getRun("r")).id, "other");
});

const refused = [
  ["the envelope", 409, '{"error":{"code":"run_busy","message":"busy","details":{"a":1}}}', ["run_busy", "busy", { a: 1 }]],
  ["no details", 400, '{"error":{"code":"bad_request","message":"no"}}', ["bad_request", "no", undefined]],
  ["error null", 500, '{"error":null}', ["api_error", "AgentRouter API error", undefined]],
  ["a body of null", 500, "null", ["api_error", "AgentRouter API error", undefined]],
  ["wrong types", 500, '{"error":{"code":7,"message":[],"details":"x"}}', ["api_error", "AgentRouter API error", undefined]],
  ["a framework's error", 404, '{"message":"Route not found","error":"Not Found","statusCode":404}', ["api_error", "AgentRouter API error", undefined]],
  ["html", 500, "<html>", ["api_error", "AgentRouter API error", undefined]],
  ["nothing", 401, "", ["api_error", "AgentRouter API error", undefined]]
];
for (const [name, status, body, expected] of refused) {
  test(`a refusal with ${name} becomes an AgentRouterError`, async (t) => {
    const server = await serve(t, (_, response) => void response.writeHead(status, { "x-request-id": "req_1" }).end(body));
    await assert.rejects(agentrouter({ apiKey: "k", baseUrl: server.url }).getRun("r"), (error) => {
      assert.ok(error instanceof AgentRouterError);
      assert.deepEqual([error.code, error.message, error.details], expected);
      assert.deepEqual([error.statusCode, error.requestId], [status, "req_1"]);
      return true;
    });
    assert.equal(server.requests.length, 1);
  });
}

test("a success that is no JSON is an api_error", async (t) => {
  const server = await serve(t, (_, response) => void response.end("<html>"));
  await assert.rejects(agentrouter({ apiKey: "k", baseUrl: server.url }).getRun("r"), { code: "api_error", statusCode: 200 });
});

test("a download gives the stored bytes", async (t) => {
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, n) => n % 251));
  const server = await serve(t, (_, response) => void response.writeHead(200, { "content-type": "application/x-ndjson" }).end(bytes));
  const got = await agentrouter({ apiKey: "k", baseUrl: server.url }).downloadArtifact("r", "a");
  assert.ok(got instanceof ArrayBuffer);
  assert.ok(Buffer.from(got).equals(bytes));
});

test("iterateRuns goes through every page and stops when left", async (t) => {
  const server = await serve(t, (request) => {
    const from = Number(request.query.get("cursor") ?? 0);
    const items = [from, from + 1].map((n) => run("completed", n, { id: `run_${n}` }));
    return from < 4 ? { items, nextCursor: String(from + 2) } : { items };
  });
  const client = agentrouter({ apiKey: "k", baseUrl: server.url });
  const ids = (await collect(client.iterateRuns({ status: "completed", limit: 2 }))).map((item) => item.id);
  assert.deepEqual(ids, ["run_0", "run_1", "run_2", "run_3", "run_4", "run_5"]);
  const first = "GET /v1/runs?status=completed&limit=2";
  assert.deepEqual(server.lines().map((line) => line.split("&").sort().join("&")), [first, `${first}&cursor=2`, `${first}&cursor=4`].map((line) => line.split("&").sort().join("&")));
  await collect(client.iterateRuns(), 1);
  assert.equal(server.requests.length, 4);
});

test("streamRun without following gives one batch and ends", async (t) => {
  const server = await serve(t, (request, response) => {
    const text = request.query.get("afterSeq") === "2" ? "event: heartbeat\ndata: {}\n\n" : [1, 2].map((n) => `data: ${JSON.stringify(event(n))}\n\n`).join("");
    response.writeHead(200, { "content-type": "text/event-stream" }).end(text);
  });
  const client = agentrouter({ apiKey: "k", baseUrl: server.url });
  assert.deepEqual((await collect(client.streamRun(RUN, { follow: false }))).map((item) => item.sequence), [1, 2]);
  assert.deepEqual(await collect(client.streamRun(RUN, { follow: false, afterSeq: 2 })), []);
  assert.equal(server.requests[0].headers.accept, "*/*");
});

test("createRunAndWait gives the session and tells the events in order", async (t) => {
  const finished = run("completed", 2);
  const server = await serve(t, (request) => {
    if (request.method === "POST") return [201, run("queued", 0)];
    if (request.path.endsWith("/events")) return { items: [event(1), event(2, "run.completed")], nextAfterSeq: 2 };
    return request.path.endsWith("/session") ? session(finished) : finished;
  });
  const client = agentrouter({ apiKey: "k", baseUrl: server.url, live: false });
  const seen = [];
  const result = await client.createRunAndWait({ task: "t", idempotencyKey: "x", onEvent: async (item) => void seen.push(item.sequence) });
  assert.deepEqual(result, session(finished));
  assert.deepEqual(seen, [1, 2]);
  assert.deepEqual(server.requests[0].json, { task: "t" });
  assert.deepEqual(server.lines(), [
    "POST /v1/runs",
    `GET /v1/runs/${RUN}/events?afterSeq=0&limit=500`,
    `GET /v1/runs/${RUN}`,
    `GET /v1/runs/${RUN}/session`
  ]);
});

test("an upload sends bytes as they are", async (t) => {
  const server = await serve(t, () => [201, { upload: { id: "upload_1", bytes: 4 } }]);
  const client = agentrouter({ apiKey: "k", baseUrl: server.url });
  assert.deepEqual(await client.upload(new TextEncoder().encode("1234")), { upload: { id: "upload_1", bytes: 4 } });
  const [sent] = server.requests;
  assert.deepEqual([sent.url, sent.text, sent.headers["content-type"]], ["/v1/uploads", "1234", "application/octet-stream"]);
});
