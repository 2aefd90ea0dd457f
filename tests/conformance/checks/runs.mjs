// Run, RunSession, the list, cancelling.
import { check as define } from "../lib/session.mjs";
import { isoTime, terminal, unknownRun, uuid } from "../lib/context.mjs";

const check = (name, sentence, run, options) => define(name, sentence, run, options);
const plain = { sim: false };
const statuses = ["queued", "starting", "running", "cancelling", "completed", "failed", "cancelled"];
const active = statuses.slice(0, 4);

check("run/completed", "A run whose agent ends well is completed.", async (t) => t.equal((await t.fixture("done")).run.json.status, "completed", "status"));
check("run/no-failure", "On success failure is undefined.", async (t) => {
  const { run } = await t.fixture("done");
  t.equal(run.json.status, "completed", "status");
  t.ok(!("failure" in run.json), "failure is there");
});
check("run/started-at", "startedAt is set once a run has started.", async (t) => t.match((await t.fixture("done")).run.json.startedAt, isoTime, "startedAt"));
check("run/completed-at", "completedAt is set on a terminal state.", async (t) => t.match((await t.fixture("done")).run.json.completedAt, isoTime, "completedAt"));
check("run/times-in-order", "queuedAt, startedAt and completedAt are in order.", async (t) => {
  const run = (await t.fixture("done")).run.json;
  t.ok(run.queuedAt <= run.startedAt && run.startedAt <= run.completedAt, `${run.queuedAt} ${run.startedAt} ${run.completedAt}`);
});
check("run/not-cancelled", "cancelRequestedAt is omitted on a run that nobody cancelled.", async (t) => {
  const { run } = await t.fixture("done");
  t.equal(run.status, 200, "status");
  t.ok(!("cancelRequestedAt" in run.json), "it is there");
});
check("run/last-event", "lastEventSeq is the sequence of the last event.", async (t) => {
  const { run, events } = await t.fixture("done");
  t.equal(run.json.lastEventSeq, events[events.length - 1].sequence, "lastEventSeq");
});
check("run/same-identity", "id, task, input, runtime, queuedAt and conversationId never change.", async (t) => {
  const { run, created } = await t.fixture("done");
  for (const key of ["id", "task", "input", "runtime", "queuedAt", "conversationId"]) t.equal(run.json[key], created.json[key], key);
});
check("run/session-id", "sessionId is sess_<uuid> once the first run has ended.", async (t) =>
  t.match((await t.fixture("done")).run.json.sessionId, new RegExp(`^sess_${uuid}$`), "sessionId"));
check("run/only-known-states", "The states of a run only go forward: queued, starting, running, then its end.", async (t) => {
  const order = ["queued", "starting", "running", "completed"];
  const seen = (await t.fixture("done")).states;
  for (let i = 0; i < seen.length; ++i) {
    t.ok(order.includes(seen[i]), `state ${seen[i]}`);
    if (i) t.ok(order.indexOf(seen[i]) >= order.indexOf(seen[i - 1]), `${seen[i]} after ${seen[i - 1]}`);
  }
});
check("run/cursor-never-ahead", "lastEventSeq never exceeds what /events returns.", async (t) => {
  for (const [cursor, last] of (await t.fixture("done")).cursors) t.ok(cursor <= last, `lastEventSeq ${cursor}, last event ${last}`);
});

check("session/run", "session.run is the run.", async (t) => {
  const { session, run } = await t.fixture("done");
  t.equal(session.json.run, run.json, "run");
});
check("session/cursor", "session.eventCursor is {lastEventSeq} of the run.", async (t) => {
  const { session, events } = await t.fixture("done");
  t.equal(session.json.eventCursor, { lastEventSeq: events.length }, "eventCursor");
});
check("session/response", "session.response has the text of agent.response and its parts.", async (t) => {
  const { response } = (await t.fixture("done")).session.json;
  t.equal(response?.text, "All three are done.", "text");
  t.equal(response.parts, [{ type: "text", text: "All three are done." }], "parts");
});
check("session/response-provider", "session.response names its provider and the type of the provider's line.", async (t) => {
  const { session, events } = await t.fixture("done");
  const event = events.find((one) => one.type === "agent.response");
  t.equal(session.json.response.provider, "codex", "provider");
  t.equal(session.json.response.providerEventType, event.payload.providerEventType, "providerEventType");
  t.match(session.json.response.providerEventType, /^[a-z_]+(\.[a-z_]+)*$/, "providerEventType");
});
check("session/manifest", "session.artifactManifest is available with id, key, size and digest of the session_manifest artifact.", async (t) => {
  const { session, byKind } = await t.fixture("done");
  const { id, r2Key, sizeBytes, sha256 } = byKind.session_manifest;
  t.equal(session.json.artifactManifest, { status: "available", artifactId: id, r2Key, sizeBytes, sha256 }, "artifactManifest");
});
check("session/artifacts", "session.artifacts.items is the list of artifacts.", async (t) => {
  const { session, artifacts } = await t.fixture("done");
  t.equal(session.json.artifacts.items, artifacts.json.items, "items");
});
check("session/keys", "A session has run, eventCursor, response, artifactManifest and artifacts.", async (t) => {
  const { session } = await t.fixture("done");
  for (const key of ["run", "eventCursor", "response", "artifactManifest", "artifacts"]) t.ok(key in session.json, `${key} is missing`);
});
check("session/before-the-end", "Before there is a response it is null, and the manifest is missing.", async (t) => {
  const { sessionWhileWaiting } = await t.fixture("approved");
  t.equal(sessionWhileWaiting.json.response, null, "response");
  t.equal(sessionWhileWaiting.json.artifactManifest, { status: "missing" }, "artifactManifest");
  t.equal(sessionWhileWaiting.json.artifacts, { items: [] }, "artifacts");
});

check("list/200", "GET /v1/runs is 200 {items:[Run]}.", async (t) => {
  const reply = await t.get("/v1/runs");
  t.status(reply, 200);
  t.ok(Array.isArray(reply.json.items), "no items");
}, plain);
check("list/same-as-get", "A run in the list is the run that GET gives.", async (t) => {
  const { id, run, listed } = await t.fixture("done");
  t.equal(listed.json.items.find((one) => one.id === id), run.json, "run");
});
check("list/newest-first", "The list is newest queuedAt first.", async (t) => {
  await t.fixture("approved");
  await t.fixture("done");
  const times = (await t.get("/v1/runs?limit=100")).json.items.map((run) => run.queuedAt);
  t.ok(times.length > 1, "too few runs");
  t.equal(times, [...times].sort().reverse(), "queuedAt");
});
check("list/default-limit", "The default limit is 50.", async (t) => {
  const { seen } = await t.fixture("many");
  t.ok(seen > 50, `only ${seen} runs`);
  t.equal((await t.get("/v1/runs")).json.items.length, 50, "items");
}, plain);
check("list/limit", "limit bounds the number of items.", async (t) => {
  await t.fixture("many");
  t.equal((await t.get("/v1/runs?limit=7")).json.items.length, 7, "items");
}, plain);
for (const [name, query] of [["1", "limit=1"], ["100", "limit=100&x=1"], ["exponent", "limit=1e1"], ["hex", "limit=0x10"], ["padded", "limit=%205%20"]]) {
  check(`list/limit-accepted-${name}`, "limit is 1..100, and numbers are read as laxly as the published API reads them.", async (t) => {
    await t.fixture("many");
    const reply = await t.get(`/v1/runs?${query}`);
    t.status(reply, 200);
    const most = { 1: 1, 100: 100, exponent: 10, hex: 16, padded: 5 }[name];
    const got = reply.json.items.length;
    t.ok(name === "100" ? got > 50 && got <= 100 : got === most, `${got} items`);
  }, plain);
}
for (const [name, query] of [["zero", "0"], ["101", "101"], ["negative", "-1"], ["fraction", "1.5"], ["blank", ""], ["word", "abc"], ["huge", "99999999999999999999999"]]) {
  check(`list/limit-refused-${name}`, "A limit outside 1..100, or that is no whole number, is 400.", async (t) => t.invalid(await t.get(`/v1/runs?limit=${query}`), "limit"), plain);
}
check("list/repeated-key", "A repeated query key is 400.", async (t) => t.invalid(await t.get("/v1/runs?limit=1&limit=2"), "limit"), plain);
check("list/unknown-key", "Unknown query keys are ignored.", async (t) => t.status(await t.get("/v1/runs?limit=1&surprise=1"), 200), plain);
check("list/unknown-status", "A status that does not exist is 400.", async (t) => t.invalid(await t.get("/v1/runs?status=odd"), "status"), plain);
for (const status of ["active", ...statuses]) {
  check(`list/status-${status}`, status === "active" ? "active is queued, starting, running or cancelling." : `The list can be filtered by status ${status}.`, async (t) => {
    const { id } = await t.fixture({ active: "waiting", running: "running", completed: "done", failed: "blocked", cancelled: "cancelledQueued" }[status] ?? "done");
    const reply = await t.get(`/v1/runs?status=${status}&limit=100`);
    t.status(reply, 200);
    const wanted = status === "active" ? active : [status];
    for (const run of reply.json.items) t.ok(wanted.includes(run.status), `a run in it is ${run.status}`);
    if (["active", "running", "completed", "failed", "cancelled"].includes(status)) t.ok(reply.json.items.some((run) => run.id === id), "a run of that status is missing");
  });
}

check("cancel/reply", "Cancelling a queued run answers 200 with the run cancelling.", async (t) => {
  const { cancelled } = await t.fixture("cancelledQueued");
  t.status(cancelled, 200);
  t.equal(cancelled.json.status, "cancelling", "status");
});
check("cancel/requested-at", "cancelRequestedAt is set when a cancel is asked for.", async (t) =>
  t.match((await t.fixture("cancelledQueued")).cancelled.json.cancelRequestedAt, isoTime, "cancelRequestedAt"));
check("cancel/queued-ends", "A queued run becomes cancelled at once.", async (t) => {
  const { run } = await t.fixture("cancelledQueued");
  t.equal(run.json.status, "cancelled", "status");
  t.match(run.json.completedAt, isoTime, "completedAt");
});
check("cancel/event", "A cancelled run ends with run.cancelled.", async (t) => {
  const { events } = await t.fixture("cancelledQueued");
  t.equal(events[events.length - 1]?.type, "run.cancelled", "last event");
});
check("cancel/no-failure", "The failure of a cancelled run is absent.", async (t) => {
  const { run } = await t.fixture("cancelledQueued");
  t.equal(run.json.status, "cancelled", "status");
  t.ok(!("failure" in run.json), "failure is there");
});
check("cancel/terminal-unchanged", "Cancelling a terminal run answers 200 with the run unchanged.", async (t) => {
  const { cancelAfterEnd, run } = await t.fixture("done");
  t.status(cancelAfterEnd, 200);
  t.equal(cancelAfterEnd.json, run.json, "run");
});
check("cancel/twice", "Cancelling again changes nothing.", async (t) => {
  const { again, cancelled } = await t.fixture("cancelledRunning");
  t.status(again, 200);
  t.ok(["cancelling", "cancelled"].includes(again.json.status), `status ${again.json.status}`);
  t.equal(again.json.cancelRequestedAt, cancelled.json.cancelRequestedAt, "cancelRequestedAt");
});
check("cancel/no-body", "POST cancel with no body works.", async (t) => t.status((await t.fixture("cancelledRunning")).cancelled, 200));
check("cancel/running-reply", "Cancelling a running run answers cancelling.", async (t) => t.equal((await t.fixture("cancelledRunning")).cancelled.json.status, "cancelling", "status"));
check("cancel/running-ends", "A cancelled running run ends cancelled, within a grace period.", async (t) => {
  const { run, took } = await t.fixture("cancelledRunning");
  t.equal(run.json.status, "cancelled", "status");
  t.ok(took < 30_000, `it took ${took} ms`);
});
check("cancel/running-event", "A run cancelled while running ends with run.cancelled, once.", async (t) => {
  const { events } = await t.fixture("cancelledRunning");
  t.equal(events.filter((event) => event.type === "run.cancelled").length, 1, "count");
  t.equal(events[events.length - 1].type, "run.cancelled", "last event");
});
check("cancel/running-execution", "The open execution of a cancelled run gets execution.failed with the reason cancelled.", async (t) => {
  const failed = (await t.fixture("cancelledRunning")).events.find((event) => event.type === "execution.failed");
  t.ok(failed, "no execution.failed");
  t.equal(failed.payload.reason, "cancelled", "reason");
});
check("cancel/running-keeps", "A run cancelled while running has its logs and patch.", async (t) => {
  const kinds = (await t.fixture("cancelledRunning")).artifacts.json.items.map((artifact) => artifact.kind);
  for (const kind of ["stdout_log", "stderr_log", "workspace_patch", "workspace_file_index"]) t.ok(kinds.includes(kind), `${kind} is missing`);
});
check("cancel/running-keeps-work", "What a cancelled turn wrote is in its patch.", async (t) => t.ok((await t.fixture("cancelledRunning")).patch.text.includes("written-before-the-cancel"), "not in the patch"));
check("cancel/waiting", "A run that waits for an approval ends cancelled.", async (t) => {
  const { run, events } = await t.fixture("cancelledWaiting");
  t.equal(run.json.status, "cancelled", "status");
  t.ok(!events.some((event) => event.type === "execution.started"), "something was executed");
});
check("cancel/unknown-key", "The body of cancel is strict.", async (t) => t.invalid(await t.post(`/v1/runs/${unknownRun}/cancel`, { reason: "x" })), plain);
check("run/terminal-stays", "completed, failed and cancelled are terminal.", async (t) => {
  const { id, run } = await t.fixture("cancelledQueued");
  t.ok(terminal.has(run.json.status), `status ${run.json.status}`);
  t.equal((await t.get(`/v1/runs/${id}`)).json, run.json, "run");
});
