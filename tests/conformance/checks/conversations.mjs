// Conversations: messages, turns, close (contract sections 4 and 11).
import { check } from "../lib/session.mjs";
import { isoTime, unknownRun, uuid } from "../lib/context.mjs";

const types = (look) => look.events.map((event) => event.type);

check("messages/202", "POST messages is 202 with {runId, turnNumber, conversationId}.", async (t) => {
  const { accepted, first } = await t.fixture("talk");
  t.status(accepted, 202);
  t.equal(Object.keys(accepted.json).sort(), ["conversationId", "runId", "turnNumber"], "keys");
  t.match(accepted.json.runId, new RegExp(`^run_${uuid}$`), "runId");
  t.ok(accepted.json.runId !== first.id, "the first run's id");
});
check("messages/turn-number", "Turn numbers start at 1 with the first run; the next is the largest and one.", async (t) => {
  const { accepted, keyed } = await t.fixture("talk");
  t.equal([accepted.json.turnNumber, keyed[0].json.turnNumber], [2, 3], "turnNumber");
});
check("messages/conversation-id", "conversationId is the first run's id in every reply: messages by the first run.", async (t) => {
  const { accepted, first } = await t.fixture("talk");
  t.equal(accepted.json.conversationId, first.id, "conversationId");
});
check("messages/any-run", "Any run id of the conversation resolves it: messages by a later run.", async (t) => {
  const { keyed, first } = await t.fixture("talk");
  t.status(keyed[0], 202);
  t.equal(keyed[0].json.conversationId, first.id, "conversationId");
});
check("messages/at-once", "A conversation is continuable no later than its run reports its end.", async (t) => t.status((await t.fixture("talk")).accepted, 202));
check("messages/one-at-a-time", "Of two messages at the same time one is 202, the other 409 run_busy with details {}.", async (t) =>
  t.equal(t.error((await t.fixture("talk")).refused, 409, "run_busy").details, {}, "details"));
check("messages/busy-first", "Continuing on an active first run is 409 run_busy.", async (t) => {
  const { id } = await t.fixture("waiting");
  t.error(await t.post(`/v1/runs/${id}/messages`, { message: "sim: reply x" }), 409, "run_busy");
});
check("messages/review", "An auto_review run is not continuable: 409 run_not_continuable with details {}.", async (t) =>
  t.equal(t.error((await t.fixture("reviewed")).message, 409, "run_not_continuable").details, {}, "details"));
check("messages/after-cancelled", "A cancelled first run is continuable, and what it wrote stays in the workspace.", async (t) => {
  const { accepted, run, patch } = await t.fixture("talkCancelled");
  t.status(accepted, 202);
  t.equal(run.json.status, "completed", "status");
  t.ok(patch.text.includes("written-before-the-cancel"), "what the cancelled turn wrote is gone");
});
check("messages/after-failed", "A failed first run is continuable.", async (t) => {
  const { accepted, run } = await t.fixture("talkFailed");
  t.status(accepted, 202);
  t.equal(run.json.status, "completed", "status");
});
for (const [name, body, field, sentence] of [
  ["missing", {}, "message", "message is required."], ["number", { message: 1 }, "message", "message is a string."], ["empty", { message: "" }, "message", "message has at least one character."],
  ["blank", { message: " \u00a0\n" }, "message", "A message that is empty when trimmed is 400."], ["too-long", { message: "x".repeat(120001) }, "message", "A message of 120001 characters is 400."],
  ["strict", { message: "x", surprise: 1 }, undefined, "The body of messages is strict."], ["task", { task: "x" }, "message", "The text of a turn is message, not task."],
  ["approval", { message: "x", approvalMode: "maybe" }, "approvalMode", "approvalMode of a message is auto, manual or block."],
]) {
  check(`messages/refused-${name}`, sentence, async (t) => t.invalid(await t.post(`/v1/runs/${(await t.fixture("waiting")).id}/messages`, body), field));
}
check("messages/replay", "Messages take an Idempotency-Key: a replay is 202 with the same turn and says so.", async (t) => {
  const { keyed } = await t.fixture("talk");
  t.status(keyed[1], 202);
  t.equal(keyed[1].json, keyed[0].json, "turn");
  t.equal(keyed[1].header("idempotent-replayed"), "true", "header of the replay");
  t.equal(keyed[0].header("idempotent-replayed"), undefined, "header of the first");
});
check("messages/key-conflict", "The same key with another message is 409 idempotency_conflict.", async (t) => t.error((await t.fixture("talk")).keyConflict, 409, "idempotency_conflict"));

check("turn/own-run", "Each turn is a run of its own: own id, events from sequence 1.", async (t) => {
  const { second } = await t.fixture("talk");
  t.equal(second.events.map((event) => event.sequence), second.events.map((_, i) => i + 1), "sequences");
  for (const event of second.events) t.equal(event.runId, second.id, "runId");
});
check("turn/artifacts", "Each turn has its own six artifacts.", async (t) => {
  const { second, first } = await t.fixture("talk");
  const published = Object.keys(second.byKind).filter((kind) => kind !== "workspace_turn_patch");
  t.equal(published.sort(), Object.keys(first.byKind).sort(), "kinds");
  for (const artifact of second.artifacts.json.items) t.equal(artifact.runId, second.id, "runId");
});
check("turn/input", "The input of a follow-up turn is {task, runtime}.", async (t) => {
  const { second, secondSaid } = await t.fixture("talk");
  t.equal(Object.keys(second.run.json.input).sort(), ["runtime", "task"], "keys");
  t.equal(second.run.json.input.task, secondSaid, "task");
});
check("turn/runtime", "A turn inherits mode and model.", async (t) => {
  const { second, first } = await t.fixture("talk");
  t.equal(second.run.json.runtime, first.run.json.runtime, "runtime");
  t.equal(second.run.json.runtime, { kind: "codex", mode: "full_access", model: "gpt-5.5" }, "runtime");
});
check("turn/no-metadata", "A turn does not inherit metadata.", async (t) => {
  const { second } = await t.fixture("talk");
  t.equal(second.run.json.status, "completed", "status");
  t.ok(!("metadata" in second.run.json.input), "metadata is there");
});
check("turn/conversation-id-get", "conversationId is the first run's id in every reply: GET of turn 2.", async (t) => {
  const { second, first } = await t.fixture("talk");
  t.equal(second.run.json.conversationId, first.id, "conversationId");
});
check("turn/conversation-id-session", "conversationId is the first run's id in every reply: session of turn 2.", async (t) => {
  const { second, first } = await t.fixture("talk");
  t.equal(second.session.json.run.conversationId, first.id, "conversationId");
});
check("turn/conversation-id-list", "conversationId is the first run's id in every reply: turn 2 in the list.", async (t) => {
  const { second, first, listed } = await t.fixture("talk");
  t.equal(listed.json.items.find((run) => run.id === second.id)?.conversationId, first.id, "conversationId");
});
check("turn/conversation-id-cancel", "conversationId is the first run's id in every reply: cancel of turn 2.", async (t) => {
  const { second, first } = await t.fixture("talk");
  t.equal(second.cancelled.json.conversationId, first.id, "conversationId");
});
check("turn/session-id", "The turns of a conversation have the same sessionId.", async (t) => {
  const { first, second, third } = await t.fixture("talk");
  t.match(first.run.json.sessionId, new RegExp(`^sess_${uuid}$`), "sessionId");
  t.equal([second.run.json.sessionId, third.run.json.sessionId], [first.run.json.sessionId, first.run.json.sessionId], "sessionId");
});
check("turn/resumed", "Turn 2 has sandbox.resumed {sandboxId} instead of sandbox.created, and no credential_boundary.verified.", async (t) => {
  const { second } = await t.fixture("talk");
  const resumed = second.events.find((event) => event.type === "sandbox.resumed");
  t.ok(typeof resumed?.payload.sandboxId === "string" && resumed.payload.sandboxId, "no sandbox.resumed with sandboxId");
  for (const type of ["sandbox.created", "credential_boundary.verified"]) t.ok(!types(second).includes(type), `${type} is there`);
});
check("turn/chain", "A turn has its own chain from action.proposed to execution.completed.", async (t) => {
  const { second } = await t.fixture("talk");
  const wanted = ["run.claimed", "sandbox.resumed", "action.proposed", "policy.evaluated", "execution.started", "agent.started"];
  t.equal(types(second).filter((type) => type !== "egress.request").slice(0, 6), wanted, "types");
});
check("turn/thread", "Turn 2's agent.started shows the same thread as turn 1's.", async (t) => {
  const { first, second } = await t.fixture("talk");
  const thread = (look) => look.events.find((event) => event.type === "agent.started")?.payload.threadId;
  t.ok(thread(first), "no thread in turn 1");
  t.equal(thread(second), thread(first), "threadId");
});
check("turn/agent-once", "agent.started comes once per turn.", async (t) => t.equal(types((await t.fixture("talk")).third).filter((type) => type === "agent.started").length, 1, "count"));
check("turn/memory", "The agent of turn 2 remembers turn 1.", async (t) => {
  const { second, secondSaid } = await t.fixture("talk");
  const text = second.session.json.response?.text;
  t.ok(secondSaid.includes("recall") ? text === "seen" : text === "Another at the same time.", `the answer is ${text}`);
});
check("turn/workspace", "The workspace of a conversation goes on: turn 2 finds what turn 1 wrote.", async (t) => {
  const { third } = await t.fixture("talk");
  const { id, byKind } = third;
  const index = await t.get(`/v1/runs/${id}/artifacts/${byKind.workspace_file_index?.id}/download`);
  t.ok(index.json.files.some((file) => file.path === "one.txt"), "one.txt is gone");
});
check("turn/patch-cumulative", "The patch of a later turn is cumulative against the initial commit.", async (t) => {
  const { id, byKind } = (await t.fixture("talk")).third;
  const { text } = await t.get(`/v1/runs/${id}/artifacts/${byKind.workspace_patch?.id}/download`);
  t.ok(text.includes("diff --git a/one.txt b/one.txt\nnew file mode 100644\n"), "the first turn's file is not in it");
});
check("turn/checkpoint", "Each turn ends with a checkpoint that has its number.", async (t) => {
  const { first, second, third } = await t.fixture("talk");
  const number = (look) => look.events.find((event) => event.type === "checkpoint.created")?.payload.turnNumber;
  t.equal([number(first), number(second), number(third)], [1, 2, 3], "turnNumber");
});
check("turn/approval-inherited", "approvalMode is inherited by follow-up turns: turn 2 of a manual run asks too.", async (t) => {
  const { second } = await t.fixture("talkManual");
  t.equal(second.events.find((event) => event.type === "policy.evaluated")?.payload.decision, "requires_approval", "decision");
  t.ok(types(second).includes("approval.requested"), "no approval.requested");
});
check("turn/approval-looser", "approvalMode of a message may only tighten: looser is 400.", async (t) => t.status((await t.fixture("talkManual")).looser, 400));
check("turn/approval-tighter", "A message may tighten approvalMode: block fails the turn with policy_denied.", async (t) => {
  const { tighter, third } = await t.fixture("talkManual");
  t.status(tighter, 202);
  t.equal(third.run.json.failure?.code, "policy_denied", "failure.code");
});
check("turn/failed-leaves-open", "A failed follow-up turn leaves the conversation open.", async (t) => {
  const { id, third } = await t.fixture("talkManual");
  t.equal(third.run.json.status, "failed", "status");
  const reply = await t.post(`/v1/runs/${id}/messages`, { message: "sim: reply After the failure.", approvalMode: "block" });
  t.status(reply, 202);
  await t.finished(reply.json.runId);
});

check("turns/before-a-session", "Before the first run has ended, turns is one item: id = runId, turnNumber 1, the 500-character summary, createdAt = queuedAt.", async (t) => {
  const { id, run } = await t.fixture("waiting");
  const { json } = await t.get(`/v1/runs/${id}/turns`);
  t.equal(json, { conversationId: id, items: [{ id, runId: id, turnNumber: 1, prompt: run.json.task, createdAt: run.json.queuedAt }] }, "turns");
});
check("turns/with-a-session", "Once the first run has ended its turn has the id turn_<uuid> and the full prompt.", async (t) => {
  const { turns, id, created } = (await t.fixture("talk")).first;
  t.equal(turns.json.items.length, 1, "items");
  const [item] = turns.json.items;
  t.match(item.id, new RegExp(`^turn_${uuid}$`), "id");
  t.equal([item.runId, item.turnNumber, item.prompt], [id, 1, created.json.input.task], "turn");
});
check("turns/all", "turns lists every turn in order: {id, runId, turnNumber, prompt, createdAt}.", async (t) => {
  const { turns, first, second, third } = await t.fixture("talk");
  t.status(turns, 200);
  t.equal(turns.json.items.map((item) => item.turnNumber), [1, 2, 3], "numbers");
  t.equal(turns.json.items.map((item) => item.runId), [first.id, second.id, third.id], "runs");
  for (const item of turns.json.items) {
    t.equal(Object.keys(item).sort(), ["createdAt", "id", "prompt", "runId", "turnNumber"], "keys");
    t.match(item.createdAt, isoTime, "createdAt");
  }
});
check("turns/any-run", "turns is the same by any run of the conversation, with the first run's id as conversationId.", async (t) => {
  const { turns, turnsByFirst, first } = await t.fixture("talk");
  t.equal(turns.json, turnsByFirst.json, "turns");
  t.equal(turns.json.conversationId, first.id, "conversationId");
});
check("turns/prompts", "The prompt of a turn is its message, trimmed, in full.", async (t) => {
  const { turns, secondSaid } = await t.fixture("talk");
  t.equal(turns.json.items[1]?.prompt, secondSaid, "prompt");
});
check("turns/ids-stay", "The ids of turns do not change.", async (t) => {
  const { turns, busyTurns } = await t.fixture("talk");
  t.equal(turns.json.items.slice(0, 2), busyTurns.json.items, "items");
});

check("close/reply", "Closing answers 200 {closed:true, conversationId, reclaimed:true} when the session exists.", async (t) => {
  const { closed, first } = await t.fixture("talk");
  t.status(closed, 200);
  t.equal(closed.json, { closed: true, conversationId: first.id, reclaimed: true }, "reply");
});
check("close/no-body", "POST close with no body works.", async (t) => t.status((await t.fixture("talk")).closed, 200));
check("close/idempotent", "Closing again answers the same.", async (t) => {
  const { closedAgain, closed } = await t.fixture("talk");
  t.status(closedAgain, 200);
  t.equal(closedAgain.json, closed.json, "reply");
});
check("close/no-more-turns", "Continuing a closed conversation is 409 session_closed with details {}.", async (t) => t.equal(t.error((await t.fixture("talk")).afterClose, 409, "session_closed").details, {}, "details"));
check("close/no-more-turns-by-any-run", "A closed conversation is closed by whichever run it is addressed.", async (t) => t.error((await t.fixture("talk")).afterCloseBySecond, 409, "session_closed"));
check("close/turns-stay", "The turns of a closed conversation can still be read.", async (t) => {
  const { turnsAfterClose, turns } = await t.fixture("talk");
  t.equal(turnsAfterClose.json, turns.json, "turns");
});
check("close/run-unchanged", "Closing does not change the runs.", async (t) => {
  const { runAfterClose, first } = await t.fixture("talk");
  t.equal(runAfterClose.json, first.run.json, "run");
});
check("close/active", "Closing on an active first run answers reclaimed:false and cancels it.", async (t) => {
  const { closed, id, after, run } = await t.fixture("closedActive");
  t.equal(closed.json, { closed: true, conversationId: id, reclaimed: false }, "reply");
  t.ok(["cancelling", "cancelled"].includes(after.json.status), `status ${after.json.status}`);
  t.equal(run.json.status, "cancelled", "status in the end");
});
check("close/active-accepts-no-turn", "After that no further turn is accepted.", async (t) => t.error((await t.fixture("closedActive")).message, 409, "session_closed"));
check("close/unknown", "Closing an unknown run is 404 run_not_found.", async (t) => t.error(await t.post(`/v1/runs/${unknownRun}/close`, {}), 404, "run_not_found"), { sim: false });
