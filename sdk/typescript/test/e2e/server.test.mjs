// The SDK, and a client like the published one, against the real server with the scripted agent.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { AgentRouterError, agentrouter, codex, runAgent, streamAgent } from "../../dist/index.js";
import { publishedClient } from "../support/published_client.mjs";
import { collect } from "../support/server.mjs";

const settings = { apiKey: process.env.AGENTROUTER_API_KEY, baseUrl: process.env.AGENTROUTER_API_BASE_URL };
const log = [];
const client = agentrouter({ ...settings, fetchImpl: (url, init) => (log.push(`${init.method} ${new URL(url).pathname.split("/").slice(4).join("/")}`), fetch(url, init)) });
const old = (more) => publishedClient({ ...settings, scale: 20, ...more });
const types = (events) => events.map((event) => event.type);
const upTo = (n) => Array.from({ length: n }, (_, k) => k + 1);
const SUCCESS = ["run.claimed", "action.proposed", "policy.evaluated", "sandbox.created", "credential_boundary.verified", "execution.started",
  "agent.started", "execution.completed", "agent.response", "workspace.file_index_collected", "workspace.patch_collected", "run.completed"];

test("four readers see the same run over one live connection", async () => {
  log.length = 0;
  const stream = await streamAgent({ client, task: "sim: say One.\nsim: sh echo two > two.txt\nsim: reply Three.", runtime: codex({ mode: "full_access" }) });
  const [events, parts, text, final] = await Promise.all([collect(stream.events), collect(stream.fullStream), collect(stream.textStream), stream.finalResult]);
  assert.deepEqual(events.map((event) => event.sequence), upTo(events.length));
  for (const type of SUCCESS) assert.ok(types(events).includes(type), type);
  assert.deepEqual(text, ["Three."]);
  assert.equal(parts[parts.length - 1].type, "done");
  assert.deepEqual([final.status, final.text, final.eventCursor.lastEventSeq], ["completed", "Three.", events.length]);
  assert.equal(final.run.failure, undefined);
  assert.deepEqual(log, ["POST ", "GET stream", "GET ", "GET session"]);
});

test("events arrive while the run is under way", async () => {
  const stream = await streamAgent({ client, task: "sim: say Waiting.\nsim: sleep 600\nsim: reply Never." });
  for await (const part of stream.fullStream) {
    if (part.event.type === "agent.started") break;
  }
  assert.equal((await client.getRun(stream.run.id)).status, "running");
  assert.equal((await client.cancelRun(stream.run.id)).status, "cancelling");
  const final = await stream.finalResult;
  assert.deepEqual([final.status, final.run.failure], ["cancelled", undefined]);
});

test("an approval by digest starts the run, and another digest does not", async () => {
  const stream = await streamAgent({ client, task: "sim: reply Approved.", approvalMode: "manual" });
  const decisions = [];
  for await (const part of stream.fullStream) {
    if (part.type !== "approval_request") continue;
    const decision = { runId: stream.run.id, actionId: part.actionId, actionDigest: part.actionDigest };
    await assert.rejects(client.approveRunAction({ ...decision, actionDigest: `sha256:${"0".repeat(64)}` }), (error) => {
      assert.deepEqual([error.code, error.statusCode, error.details.expected], ["action_digest_mismatch", 409, part.actionDigest]);
      return true;
    });
    decisions.push(await client.approveRunAction({ ...decision, reason: "yes" }), await client.approveRunAction({ ...decision, reason: "again" }));
    await assert.rejects(client.denyRunAction(decision), { code: "approval_already_decided" });
  }
  assert.equal(decisions[0].sequence, decisions[1].sequence);
  assert.equal((await stream.finalResult).text, "Approved.");
});

test("a denied run fails with approval_denied, and ends with an error part", async () => {
  const stream = await streamAgent({ client, task: "sim: reply Never.", approvalMode: "manual" });
  const parts = [];
  for await (const part of stream.fullStream) {
    parts.push(part.type);
    if (part.type === "approval_request") await client.denyRunAction({ runId: stream.run.id, actionId: part.actionId, actionDigest: part.actionDigest });
  }
  assert.equal(parts[parts.length - 1], "error");
  assert.ok(!parts.includes("done"));
  assert.equal((await stream.finalResult).run.failure.code, "approval_denied");
});

test("artifacts are what their digests say, and logs are gzip", async () => {
  const result = await runAgent({ client, task: "sim: write a.txt hello\nsim: reply Written.", runtime: codex({ mode: "full_access" }) });
  const kinds = ["session_events", "session_manifest", "stderr_log", "stdout_log", "workspace_file_index", "workspace_patch"];
  assert.deepEqual(result.artifacts.items.map((item) => item.kind).sort(), kinds);
  for (const artifact of (await client.listRunArtifacts(result.id)).items) {
    const bytes = Buffer.from(await client.downloadArtifact(result.id, artifact.id));
    assert.equal(bytes.length, artifact.sizeBytes);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), artifact.sha256);
    if (artifact.kind === "stdout_log") assert.ok(gunzipSync(bytes).length > 0);
    if (artifact.kind === "workspace_patch") assert.match(String(bytes), /^\+hello$/m);
  }
});

test("one idempotency key makes one run", async () => {
  const request = { task: "sim: reply Once.", idempotencyKey: `key-${Date.now()}-${Math.random()}` };
  const runs = await Promise.all(upTo(8).map(() => client.createRun(request)));
  assert.equal(new Set(runs.map((run) => run.id)).size, 1);
  await assert.rejects(client.createRun({ ...request, task: "sim: reply Other." }), { code: "idempotency_conflict", statusCode: 409 });
  await collect(client.streamRun(runs[0].id));
});

test("refusals keep the server's code and details", async () => {
  await assert.rejects(client.createRun({ task: "t", tools: [] }), { code: "unsupported_tool_configuration", statusCode: 400 });
  await assert.rejects(client.createRun({ task: "t", repoUrl: "x" }), { code: "unsupported_workspace_attachment", statusCode: 400 });
  await assert.rejects(runAgent({ client, task: "t", surprise: 1 }), (error) => {
    assert.ok(error instanceof AgentRouterError);
    assert.ok(Array.isArray(error.details.issues));
    assert.match(error.requestId, /./);
    return error.code === "validation_error";
  });
  await assert.rejects(client.streamRun("run_00000000-0000-4000-8000-000000000000").next(), { code: "run_not_found", statusCode: 404 });
});

test("listRuns filters by status", async () => {
  const { items } = await client.listRuns({ status: "completed", limit: 2 });
  assert.ok(items.length > 0 && items.length <= 2);
  for (const run of items) assert.equal(run.status, "completed");
});

test("a client like the published one runs a task, by polling, and sees every event", async () => {
  const polling = old();
  const run = await polling.createRun({ task: "sim: sh echo hi\nsim: reply Polled.", idempotencyKey: `old-${Date.now()}` });
  assert.equal(run.status, "queued");
  const { events, session } = await polling.wait(run.id);
  assert.deepEqual(events.map((event) => event.sequence), upTo(session.eventCursor.lastEventSeq));
  for (const type of SUCCESS) assert.ok(types(events).includes(type), type);
  assert.deepEqual([session.run.status, session.response.text], ["completed", "Polled."]);
  assert.deepEqual(polling.log.slice(0, 3), ["POST /v1/runs", `GET /v1/runs/${run.id}/events?afterSeq=0&limit=500`, `GET /v1/runs/${run.id}`]);
  assert.equal(polling.log[polling.log.length - 1], `GET /v1/runs/${run.id}/session`);
  assert.deepEqual(await polling.streamRun(run.id), events);
  assert.deepEqual(await polling.streamRun(run.id, events.length), []);
  const { items } = await polling.listRunArtifacts(run.id);
  for (const artifact of items) assert.equal((await polling.downloadArtifact(run.id, artifact.id)).byteLength, artifact.sizeBytes);
  assert.equal((await polling.cancelRun(run.id)).status, "completed");
});

test("a client like the published one reads a stream of a run under way, and it ends", async () => {
  const polling = old();
  const run = await polling.createRun({ task: "sim: sleep 600\nsim: reply Never." });
  const seen = [];
  for await (const event of polling.poll(run.id)) {
    seen.push(event);
    if (event.type === "agent.started") break;
  }
  const batch = await polling.streamRun(run.id);
  assert.deepEqual(batch.slice(0, seen.length), seen);
  await assert.rejects(polling.wait(run.id, { maxWaitMs: 100 }), { code: "wait_timeout" });
  assert.equal((await polling.cancelRun(run.id)).status, "cancelling");
  assert.equal((await polling.wait(run.id)).session.run.status, "cancelled");
});

test("a client like the published one approves by digest", async () => {
  const polling = old();
  const run = await polling.createRun({ task: "sim: reply Approved.", approvalMode: "manual" });
  const events = [];
  for await (const event of polling.poll(run.id)) {
    events.push(event);
    if (event.type !== "approval.requested") continue;
    const { actionId, actionDigest } = event.payload;
    assert.equal((await polling.decide("approve", { runId: run.id, actionId, actionDigest })).type, "approval.decided");
  }
  assert.equal(events.filter((event) => event.type === "approval.decided").length, 1);
  assert.equal(types(events).pop(), "run.completed");
});

const THREE = "sim: sh touch yes.txt\nsim: sh touch no.txt\nsim: write yes-2.txt hello\nsim: reply Done.";
const refused = (event) => JSON.stringify(event.payload.action.args).includes("no.txt");

// What a run of THREE has left when each question was answered once: two actions ran, one did not.
async function checkThree(runId, events) {
  const count = (type) => types(events).filter((each) => each === type).length;
  assert.deepEqual(["approval.requested", "approval.decided", "execution.started", "execution.completed"].map(count), [4, 4, 3, 3]);
  const { items } = await client.listRunArtifacts(runId);
  const patch = String(Buffer.from(await client.downloadArtifact(runId, items.find((item) => item.kind === "workspace_patch").id)));
  assert.deepEqual(["yes.txt", "no.txt", "yes-2.txt"].map((name) => patch.includes(`b/${name}`)), [true, false, true]);
}

test("each thing that an agent does is approved or denied over the live stream", async () => {
  const stream = await streamAgent({ client, task: THREE, approvalMode: "manual", approvalScope: "action" });
  const [events, parts] = await Promise.all([
    collect(stream.events),
    (async () => {
      const seen = [];
      for await (const part of stream.fullStream) {
        seen.push(part.type);
        if (part.type !== "approval_request") continue;
        const decision = { runId: stream.run.id, actionId: part.actionId, actionDigest: part.actionDigest, reason: "seen" };
        await (refused(part.event) ? client.denyRunAction(decision) : client.approveRunAction(decision));
      }
      return seen;
    })()
  ]);
  assert.deepEqual([parts.filter((type) => type === "approval_request").length, parts[parts.length - 1]], [4, "done"]);
  await checkThree(stream.run.id, events);
});

test("a client like the published one approves and denies each thing, by polling", async () => {
  const polling = old();
  const run = await polling.createRun({ task: THREE, approvalMode: "manual", approvalScope: "action" });
  const events = [];
  for await (const event of polling.poll(run.id)) {
    events.push(event);
    if (event.type !== "approval.requested") continue;
    const { actionId, actionDigest } = event.payload;
    await polling.decide(refused(event) ? "deny" : "approve", { runId: run.id, actionId, actionDigest });
  }
  await checkThree(run.id, events);
});

test("a conversation has turns under one handle, and ends when it is closed", async () => {
  const first = await runAgent({ client, task: "sim: write fib.txt 1 1 2 3\nsim: reply First.", runtime: codex({ mode: "full_access" }) });
  log.length = 0;
  const second = await streamAgent({ client, continueRun: first.id, message: "sim: sh cat fib.txt\nsim: reply Second." });
  assert.deepEqual([second.conversationId, second.turnNumber, second.run.conversationId], [first.id, 2, first.id]);
  assert.notEqual(second.run.id, first.id);
  assert.equal(log.filter((line) => line === "POST messages").length, 1);
  const events = await collect(second.events);
  assert.deepEqual(events.map((event) => event.sequence), upTo(events.length));
  assert.equal((await second.finalResult).text, "Second.");
  const third = await runAgent({ client, continueRun: second.run.id, message: "sim: reply Third." });
  assert.deepEqual([third.text, third.run.conversationId], ["Third.", first.id]);
  const { conversationId, items } = await client.getRunTurns(first.id);
  assert.deepEqual([conversationId, items.map((turn) => turn.turnNumber), items.map((turn) => turn.runId)], [first.id, [1, 2, 3], [first.id, second.run.id, third.id]]);
  log.length = 0;
  assert.deepEqual(await client.closeRun(first.id), { closed: true, conversationId: first.id, reclaimed: true });
  assert.deepEqual(log, ["POST close"]);
  await assert.rejects(client.continueRun(first.id, "more"), { code: "session_closed", statusCode: 409 });
});

test("a later turn goes on in the same files and the same thread", async () => {
  const first = await runAgent({ client, task: "sim: sh echo from turn one > one.txt\nsim: reply First." });
  const second = await streamAgent({ client, continueRun: first.id, message: "sim: sh cat one.txt\nsim: recall turn one" });
  const events = await collect(second.events);
  const payload = (list, type) => list.find((event) => event.type === type)?.payload;
  assert.equal(payload(events, "agent.tool_completed").output, "from turn one\n");
  assert.equal((await second.finalResult).text, "seen");
  const { threadId } = payload((await client.listRunEvents(first.id, { limit: 500 })).items, "agent.started");
  assert.ok(threadId);
  assert.equal(payload(events, "agent.started").threadId, threadId);
  assert.ok(types(events).includes("sandbox.resumed"));
  assert.ok(!types(events).includes("sandbox.created"));
  await client.closeRun(first.id);
});

test("a turn is retried safely with a key, and a second turn beside it is refused", async () => {
  const first = await runAgent({ client, task: "sim: reply First." });
  const options = { idempotencyKey: `turn-${Date.now()}` };
  const turn = await client.continueRun(first.id, "sim: sleep 600\nsim: reply Never.", options);
  assert.deepEqual(await client.continueRun(first.id, "sim: sleep 600\nsim: reply Never.", options), turn);
  await assert.rejects(client.continueRun(first.id, "sim: reply Other."), { code: "run_busy", statusCode: 409 });
  await client.cancelRun(turn.runId);
  await collect(client.streamRun(turn.runId));
  await client.closeRun(first.id);
});

test("tags find runs, page by page, and the record tells about them", async () => {
  const tags = { suite: `sdk-${Date.now()}` };
  const made = [];
  for (const n of [1, 2, 3]) made.push((await runAgent({ client, task: `sim: reply Tagged ${n}.`, tags })).id);
  const found = await collect(client.iterateRuns({ tags, limit: 2 }));
  assert.deepEqual(found.map((run) => run.id), made.reverse());
  assert.deepEqual(found[0].tags, tags);
  const record = await client.getRunRecord(made[0]);
  assert.deepEqual([record.run.id, record.state, record.actions.length, record.eventCursor.lastEventSeq], [made[0], "completed", 1, record.run.lastEventSeq]);
  assert.ok(record.operations.includes("continue"));
});

test("a client like the published one continues and closes without waiting", async () => {
  const polling = old();
  const run = await polling.createRun({ task: "sim: reply First." });
  await polling.wait(run.id);
  polling.log.length = 0;
  const turn = await polling.continueRun(run.id, "sim: reply Second.");
  assert.deepEqual([turn.turnNumber, turn.conversationId], [2, run.id]);
  assert.deepEqual(polling.log, [`POST /v1/runs/${run.id}/messages`]);
  assert.equal((await polling.wait(turn.runId)).session.response.text, "Second.");
  assert.equal((await polling.getRunTurns(run.id)).items.length, 2);
  polling.log.length = 0;
  assert.equal((await polling.closeRun(run.id)).reclaimed, true);
  assert.deepEqual(polling.log, [`POST /v1/runs/${run.id}/close`]);
});
