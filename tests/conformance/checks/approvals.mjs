// Approvals at run scope, and idempotency.
import { check as define } from "../lib/session.mjs";
import { isoTime, uuid } from "../lib/context.mjs";

const check = define;
const find = (events, type) => events.find((event) => event.type === type);

check("approval/waits", "In manual mode the run waits with approval.requested as its last event, and nothing is executed.", async (t) => {
  const { eventsWhileWaiting } = await t.fixture("approved");
  t.equal(eventsWhileWaiting[eventsWhileWaiting.length - 1]?.type, "approval.requested", "last event");
  t.ok(!find(eventsWhileWaiting, "execution.started"), "something was executed");
});
check("approval/active-while-waiting", "A run that waits for an approval is active.", async (t) => {
  const { status } = (await t.fixture("approved")).runWhileWaiting.json;
  t.ok(["starting", "running"].includes(status), `status ${status}`);
});
check("approval/policy", "In manual mode the decision of the policy is requires_approval.", async (t) =>
  t.equal(find((await t.fixture("approved")).events, "policy.evaluated")?.payload.decision, "requires_approval", "decision"));
check("approval/requested", "approval.requested has requestId approval_<uuid>, actionName, targetResource, the action, actor system, and policy.evaluated as its cause.", async (t) => {
  const { events } = await t.fixture("approved");
  const [proposed, policy, requested] = ["action.proposed", "policy.evaluated", "approval.requested"].map((type) => find(events, type).payload);
  t.match(requested.requestId, new RegExp(`^approval_${uuid}$`), "requestId");
  t.equal([requested.actionName, requested.targetResource, requested.actor], [proposed.actionName, proposed.targetResource, "system"], "payload");
  t.equal(requested.action, proposed.action, "action");
  t.equal(requested.priorEventId, policy.eventId, "priorEventId");
});
check("approval/requested-digest", "approval.requested names the digest of the proposed action.", async (t) => {
  const { events, requested } = await t.fixture("approved");
  const proposed = find(events, "action.proposed").payload;
  t.equal([requested.payload.actionId, requested.payload.actionDigest, requested.payload.argsDigest], [proposed.actionId, proposed.actionDigest, proposed.argsDigest], "ids and digests");
});
check("approval/requested-source", "approval.requested comes from worker and is public.", async (t) => {
  const { requested } = await t.fixture("approved");
  t.equal([requested.source, requested.visibility], ["worker", "public"], "source and visibility");
});
check("approval/reply", "Approving answers 200 with the RunEvent approval.decided.", async (t) => {
  const { approved, events } = await t.fixture("approved");
  t.status(approved, 200);
  t.equal(approved.json, find(events, "approval.decided"), "event");
});
check("approval/decided", "approval.decided has decisionId decision_<uuid>, the decision, the request's id, actor human, and approval.requested as its cause.", async (t) => {
  const { events, requested } = await t.fixture("approved");
  const { payload } = find(events, "approval.decided");
  t.match(payload.decisionId, new RegExp(`^decision_${uuid}$`), "decisionId");
  t.equal([payload.decision, payload.actor, payload.requestId, payload.priorEventId], ["approved", "human", requested.payload.requestId, requested.payload.eventId], "payload");
});
check("approval/decided-digest", "approval.decided repeats the action's id and digests.", async (t) => {
  const { events, requested } = await t.fixture("approved");
  const { payload } = find(events, "approval.decided");
  for (const key of ["actionId", "actionDigest", "argsDigest"]) t.equal(payload[key], requested.payload[key], key);
});
check("approval/decided-source", "approval.decided comes from api and is public.", async (t) => {
  const event = find((await t.fixture("approved")).events, "approval.decided");
  t.equal([event?.source, event?.visibility], ["api", "public"], "source and visibility");
});
check("approval/reason", "The reason is trimmed and kept.", async (t) => t.equal(find((await t.fixture("approved")).events, "approval.decided")?.payload.reason, "first reason", "reason"));
check("approval/goes-on", "An approved run is executed and completes.", async (t) => t.equal((await t.fixture("approved")).run.json.status, "completed", "status"));
check("approval/execution-cause", "In manual mode execution.started is caused by approval.decided.", async (t) => {
  const { events } = await t.fixture("approved");
  t.equal(find(events, "execution.started").payload.priorEventId, find(events, "approval.decided").payload.eventId, "priorEventId");
});
check("approval/order", "The chain is action.proposed, policy.evaluated, approval.requested, approval.decided, execution.started, execution.completed.", async (t) => {
  const wanted = ["action.proposed", "policy.evaluated", "approval.requested", "approval.decided", "execution.started", "execution.completed"];
  const types = (await t.fixture("approved")).events.map((event) => event.type).filter((type) => wanted.includes(type));
  t.equal(types, wanted, "types");
});
check("approval/repeat", "Repeating a decision returns the first event: same sequence, the first reason.", async (t) => {
  const { approved, again } = await t.fixture("approved");
  t.status(again, 200);
  t.equal(again.json, approved.json, "event");
  t.equal(again.json.payload.reason, "first reason", "reason");
});
check("approval/decided-once", "However often it is repeated, a decision is one event.", async (t) =>
  t.equal((await t.fixture("approved")).events.filter((event) => event.type === "approval.decided").length, 1, "count"));
check("approval/opposite", "The opposite of a decision is 409 approval_already_decided with details {}.", async (t) =>
  t.equal(t.error((await t.fixture("approved")).opposite, 409, "approval_already_decided").details, {}, "details"));
check("approval/repeat-after-the-end", "Repeating a decision after the end returns the first event.", async (t) => {
  const { afterEnd, approved } = await t.fixture("approved");
  t.status(afterEnd, 200);
  t.equal(afterEnd.json, approved.json, "event");
});
check("approval/opposite-after-the-end", "After the end an opposite decision is approval_already_decided.", async (t) => t.error((await t.fixture("approved")).oppositeAfterEnd, 409, "approval_already_decided"));
check("approval/unknown-after-the-end", "An unknown action on an ended run is approval_not_requested.", async (t) => t.error((await t.fixture("approved")).unknownAfterEnd, 409, "approval_not_requested"));
check("approval/not-requested", "An action for which no approval was requested is 409 approval_not_requested with details {}.", async (t) =>
  t.equal(t.error((await t.fixture("approved")).unknownAction, 409, "approval_not_requested").details, {}, "details"));
check("approval/auto-run", "On a run in auto mode there is nothing to approve: 409 approval_not_requested.", async (t) => {
  const { id, events } = await t.fixture("done");
  const { actionId, actionDigest } = find(events, "action.proposed").payload;
  t.error(await t.post(`/v1/runs/${id}/actions/${actionId}/approve`, { actionDigest }), 409, "approval_not_requested");
});
check("approval/mismatch", "Another digest than the requested one is 409 action_digest_mismatch with {expected, received}.", async (t) => {
  const { wrongDigest, actionDigest } = await t.fixture("approved");
  t.equal(t.error(wrongDigest, 409, "action_digest_mismatch").details, { expected: actionDigest, received: "sha256:" + "0".repeat(64) }, "details");
});
check("approval/mismatch-deny", "Deny compares the digest as approve does.", async (t) => t.error((await t.fixture("approved")).wrongDigestDeny, 409, "action_digest_mismatch"));
for (const [name, sentence, field] of [
  ["no-digest", "A decision needs its actionDigest.", "actionDigest"], ["digest-number", "actionDigest is a string.", "actionDigest"],
  ["digest-short", "actionDigest has at least 8 characters.", "actionDigest"], ["digest-long", "actionDigest has at most 256 characters.", "actionDigest"],
  ["digest-prefix", "actionDigest begins with sha256:.", "actionDigest"], ["reason-empty", "A reason has at least one character.", "reason"],
  ["reason-blank", "A reason that is empty when trimmed is 400.", "reason"], ["reason-long", "A reason has at most 1000 characters.", "reason"],
  ["reason-number", "A reason is a string.", "reason"], ["unknown-key", "The body of a decision is strict.", undefined],
]) {
  check(`approval/refused-${name}`, sentence, async (t) => t.invalid((await t.fixture("approved")).bad[name], field));
}

check("deny/reply", "Denying answers 200 with approval.decided, decision denied, terminalState denied.", async (t) => {
  const { denied } = await t.fixture("denied");
  t.status(denied, 200);
  t.equal([denied.json.type, denied.json.payload.decision, denied.json.payload.terminalState], ["approval.decided", "denied", "denied"], "event");
});
check("deny/fails", "A denied run is failed with approval_denied.", async (t) => {
  const run = (await t.fixture("denied")).run.json;
  t.equal([run.status, run.failure?.code], ["failed", "approval_denied"], "status and code");
});
check("deny/nothing-executed", "Nothing of a denied run is executed.", async (t) => {
  const types = (await t.fixture("denied")).events.map((event) => event.type);
  t.ok(types.includes("approval.decided"), "no decision");
  t.ok(!types.includes("execution.started") && !types.includes("agent.started"), `types ${types}`);
});
check("deny/event", "A denied run ends with run.failed, code approval_denied.", async (t) => {
  const { events } = await t.fixture("denied");
  const last = events[events.length - 1];
  t.equal([last?.type, last?.payload.code], ["run.failed", "approval_denied"], "last event");
});
check("deny/repeat", "Repeating a denial returns the first event.", async (t) => {
  const { denied, again } = await t.fixture("denied");
  t.status(again, 200);
  t.equal(again.json, denied.json, "event");
});
check("deny/opposite", "Approving what was denied is 409 approval_already_decided.", async (t) => t.error((await t.fixture("denied")).opposite, 409, "approval_already_decided"));

check("block/fails", "In block mode the run fails with policy_denied.", async (t) => {
  const run = (await t.fixture("blocked")).run.json;
  t.equal([run.status, run.failure?.code], ["failed", "policy_denied"], "status and code");
});
check("block/policy", "In block mode the decision of the policy is blocked, terminalState blocked.", async (t) => {
  const { payload } = find((await t.fixture("blocked")).events, "policy.evaluated");
  t.equal([payload.decision, payload.terminalState], ["blocked", "blocked"], "payload");
});
check("block/nothing-executed", "Nothing of a blocked run is executed, and nobody is asked.", async (t) => {
  const types = (await t.fixture("blocked")).events.map((event) => event.type);
  t.ok(types.includes("policy.evaluated"), "no policy.evaluated");
  for (const type of ["approval.requested", "execution.started", "agent.started"]) t.ok(!types.includes(type), `${type} is there`);
});

check("approval/cancelled-run", "Deciding on an ended run whose question was never decided is 409 run_not_active.", async (t) => t.error((await t.fixture("cancelledWaiting")).late, 409, "run_not_active"));
check("expired/fails", "When approvalTimeoutSeconds has passed the run ends failed with approval_expired.", async (t) => {
  const run = (await t.fixture("expired")).run.json;
  t.equal([run.status, run.failure?.code], ["failed", "approval_expired"], "status and code");
});
check("expired/event", "An expired approval is approval.expired with the action's id and digest and the request's id.", async (t) => {
  const { events } = await t.fixture("expired");
  const [requested, expired] = [find(events, "approval.requested"), find(events, "approval.expired")];
  t.ok(requested && expired, "approval.requested or approval.expired is missing");
  for (const key of ["actionId", "actionDigest", "requestId"]) t.equal(expired.payload[key], requested.payload[key], key);
});
check("expired/nothing-executed", "When an approval expires nothing executes.", async (t) => {
  const types = (await t.fixture("expired")).events.map((event) => event.type);
  t.ok(types.includes("approval.expired"), "no approval.expired");
  t.ok(!types.includes("execution.started"), "something was executed");
});
check("expired/decision", "Deciding an expired approval is 409.", async (t) => {
  const { late } = await t.fixture("expired");
  t.status(late, 409);
  t.ok(["approval_not_pending", "run_not_active"].includes(late.json.error?.code), `code ${late.json.error?.code}`);
});
for (const [name, value] of [["zero", 0], ["negative", -1], ["fraction", 1.5], ["string", "5"], ["null", null]]) {
  check(`expired/refused-${name}`, "approvalTimeoutSeconds is a whole number of at least 1.", async (t) =>
    t.invalid(await t.post("/v1/runs", { task: "sim: reply x", approvalTimeoutSeconds: value }), "approvalTimeoutSeconds"), { sim: false });
}

const made = { task: "sim: reply Once.", runtime: { kind: "codex", mode: "read_only" }, metadata: { b: 1, a: [1, 2] } };
async function twice(t, first, second, key = t.unique("key")) {
  const headers = { "Idempotency-Key": key };
  return [await t.createAndCancel(first, { headers }), await t.createAndCancel(second, { headers: { ...headers, "X-Again": "1" } })];
}
const idempotent = (name, sentence, run) => check(`idempotency/${name}`, sentence, run, { sim: false });

idempotent("first", "The first use of a key is 201.", async (t) => t.status((await twice(t, made, made))[0], 201));
idempotent("replay", "The same key with the same body is 200 with the same run.", async (t) => {
  const [first, second] = await twice(t, made, made);
  t.status(second, 200);
  t.equal(second.json.id, first.json.id, "id");
});
idempotent("replay-header", "A replay says so: Idempotent-Replayed: true; the first answer does not.", async (t) => {
  const [first, second] = await twice(t, made, made);
  t.equal(second.header("idempotent-replayed"), "true", "header of the replay");
  t.equal(first.header("idempotent-replayed"), undefined, "header of the first");
});
idempotent("current-state", "A replay shows the run's current state.", async (t) => {
  const [, second] = await twice(t, made, made);
  t.ok(["cancelling", "cancelled"].includes(second.json.status), `status ${second.json.status}`);
});
idempotent("key-order", "Key order and blanks in the body do not matter.", async (t) => {
  const [first, second] = await twice(t, made, '{ "metadata" : {"a":[1,2], "b":1},\n "runtime":{"mode":"read_only","kind":"codex"}, "task":"  sim: reply Once.  " }');
  t.status(second, 200);
  t.equal(second.json.id, first.json.id, "id");
});
idempotent("defaults", "An explicit default equals an omitted one.", async (t) => {
  const [first, second] = await twice(t, { task: made.task }, { task: made.task, runtime: { kind: "codex", mode: "default" }, approvalMode: "auto" });
  t.status(second, 200);
  t.equal(second.json.id, first.json.id, "id");
});
idempotent("conflict", "The same key with a different body is 409 idempotency_conflict with details {}.", async (t) =>
  t.equal(t.error((await twice(t, made, { ...made, task: "sim: reply Other." }))[1], 409, "idempotency_conflict").details, {}, "details"));
idempotent("conflict-metadata", "Different metadata is a different body.", async (t) => t.error((await twice(t, made, { ...made, metadata: { b: 2 } }))[1], 409, "idempotency_conflict"));
idempotent("conflict-mode", "A different approvalMode is a different body.", async (t) => t.error((await twice(t, made, { ...made, approvalMode: "block" }))[1], 409, "idempotency_conflict"));
idempotent("empty-key", "An empty Idempotency-Key counts as none.", async (t) => {
  const [first, second] = await twice(t, made, made, "");
  t.equal([first.status, second.status], [201, 201], "statuses");
  t.ok(first.json.id !== second.json.id, "the same run");
});
idempotent("no-key", "Without a key each request creates a run.", async (t) => {
  const [first, second] = [await t.createAndCancel(made), await t.createAndCancel(made, { headers: { "X-Again": "1" } })];
  t.status(second, 201);
  t.ok(first.json.id !== second.json.id, "the same run");
});
idempotent("other-key", "Another key creates another run.", async (t) => {
  const first = await t.createAndCancel(made, { headers: { "Idempotency-Key": t.unique("one") } });
  const second = await t.createAndCancel(made, { headers: { "Idempotency-Key": t.unique("two") } });
  t.status(second, 201);
  t.ok(first.json.id !== second.json.id, "the same run");
});
idempotent("header-case", "The header is idempotency-key in any case.", async (t) => {
  const key = t.unique("key");
  await t.createAndCancel(made, { headers: { "idempotency-key": key } });
  t.status(await t.createAndCancel(made, { headers: { "IDEMPOTENCY-KEY": key } }), 200);
});
idempotent("invalid-uses-no-key", "A request that is refused uses up no key.", async (t) => {
  const headers = { "Idempotency-Key": t.unique("key") };
  t.invalid(await t.post("/v1/runs", { task: "" }, { headers }), "task");
  t.status(await t.createAndCancel(made, { headers }), 201);
});
idempotent("concurrent", "Concurrent first uses of one key give exactly one 201 and replays of one run.", async (t) => {
  const headers = { "Idempotency-Key": t.unique("key") };
  const replies = await Promise.all(Array.from({ length: 40 }, () => t.create(made, { headers })));
  await t.post(`/v1/runs/${replies[0].json.id}/cancel`, {});
  t.equal(replies.map((reply) => reply.status).sort(), [...Array(39).fill(200), 201], "statuses");
  t.equal(new Set(replies.map((reply) => reply.json.id)).size, 1, "number of runs");
});
check("idempotency/decision", "Approve takes a key too: a replay answers 200 with the first event and says so.", async (t) => {
  const { keyed } = await t.fixture("keyedDecision");
  t.equal([keyed[0].status, keyed[1].status], [200, 200], "statuses");
  t.equal(keyed[1].json, keyed[0].json, "event");
  t.equal(keyed[1].header("idempotent-replayed"), "true", "header of the replay");
});
check("idempotency/decision-conflict", "The same key on the same decision with a different body is 409 idempotency_conflict.", async (t) => t.error((await t.fixture("keyedDecision")).conflict, 409, "idempotency_conflict"));
check("idempotency/created-at", "A replayed run keeps its queuedAt.", async (t) => {
  const [first, second] = await twice(t, made, made);
  t.match(second.json.queuedAt, isoTime, "queuedAt");
  t.equal(second.json.queuedAt, first.json.queuedAt, "queuedAt");
}, { sim: false });
