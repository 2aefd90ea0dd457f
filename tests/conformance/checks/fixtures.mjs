// Runs that many checks look at. A fixture asserts nothing: it makes, waits and keeps what was answered.
import { fixture } from "../lib/session.mjs";
import { Blocked, terminal } from "../lib/context.mjs";

export const doneTask = `Do three things.
sim: say First a command.
sim: sh printf 'made by a command\\n' > made.txt && echo done
sim: write notes/new.md # New\\n\\nText.\\n
sim: sh exit 3
sim: think I am nearly done
sim: reply All three are done.`;

export const doneMetadata = { source: "conformance", nested: { list: [1, "two", null] } };

export function needId(reply) {
  const id = reply.status < 300 ? JSON.parse(reply.text).id : undefined;
  if (typeof id !== "string") throw new Blocked(`no run was created: ${reply.status} ${reply.text.slice(0, 200)}`);
  return id;
}

// Everything that can be read of an ended run.
export async function look(t, id) {
  const found = { id };
  found.run = await t.get(`/v1/runs/${id}`);
  found.events = await t.events(id);
  found.artifacts = await t.get(`/v1/runs/${id}/artifacts`);
  found.byKind = Object.fromEntries(found.artifacts.json.items.map((artifact) => [artifact.kind, artifact]));
  return found;
}

const download = (t, id, artifact) => t.get(`/v1/runs/${id}/artifacts/${artifact.id}/download`);

fixture("done", async (t) => {
  const begun = t.unique("done");
  const created = await t.create({ task: doneTask, metadata: doneMetadata });
  const id = needId(created);
  const stream = await t.stream(`/v1/runs/${id}/stream`);
  const live = stream.all();
  live.catch(() => {});
  const [states, cursors] = [[created.json.status], []];
  const ended = await t.runWhen(id, (run) => {
    states.push(run.status);
    cursors.push([run.lastEventSeq, undefined]);
    return terminal.has(run.status);
  }, "ended");
  const found = await look(t, id);
  const last = found.events.length ? found.events[found.events.length - 1].sequence : 0;
  for (const pair of cursors) pair[1] = last;
  const session = await t.get(`/v1/runs/${id}/session`);
  const listed = await t.get("/v1/runs?limit=100&status=completed");
  const cancelAfterEnd = await t.post(`/v1/runs/${id}/cancel`, {});
  const downloads = {};
  for (const [kind, artifact] of Object.entries(found.byKind)) downloads[kind] = await download(t, id, artifact);
  await live;
  const batch = await t.stream(`/v1/runs/${id}/stream`, { live: false });
  await batch.all();
  return { ...found, created, ended, states, cursors, session, listed, cancelAfterEnd, downloads, stream, batch, mark: begun };
});

// More runs than one page of the list.
fixture("many", async (t) => {
  const first = await t.get("/v1/runs?limit=100");
  for (let seen = first.json.items.length; seen < 55; seen += 5) {
    await Promise.all([0, 1, 2, 3, 4].map(() => t.createAndCancel({ task: "sim: reply One of many." })));
  }
  const { items } = (await t.get("/v1/runs?limit=100", { headers: { "X-Again": "1" } })).json;
  return { seen: items.length };
});

// A run that waits for an approval for as long as the checks run.
fixture("waiting", async (t) => {
  const id = needId(await t.create({ task: "sim: reply Nobody lets me.", approvalMode: "manual" }));
  const requested = await t.eventWhen(id, "approval.requested");
  return { id, requested, run: await t.get(`/v1/runs/${id}`) };
});

fixture("running", async (t) => {
  const id = needId(await t.create({ task: "sim: sh sleep 600\nsim: reply Never said." }));
  await t.eventWhen(id, "agent.started");
  return { id };
});

fixture("approved", async (t) => {
  const created = await t.create({ task: "sim: write approved.txt yes\\n\nsim: reply Allowed.", approvalMode: "manual", metadata: { manual: true } });
  const id = needId(created);
  const live = await t.stream(`/v1/runs/${id}/stream`);
  const liveFrame = live.until((frame) => frame.event === "approval.requested");
  liveFrame.catch(() => {});
  const requested = await t.eventWhen(id, "approval.requested");
  const { actionId, actionDigest } = requested.payload;
  const path = `/v1/runs/${id}/actions/${actionId}`;
  const found = { created, requested, actionId, actionDigest, path };
  found.runWhileWaiting = await t.get(`/v1/runs/${id}`);
  found.eventsWhileWaiting = await t.events(id);
  found.sessionWhileWaiting = await t.get(`/v1/runs/${id}/session`);
  found.liveFrame = await liveFrame;
  found.wrongDigest = await t.post(`${path}/approve`, { actionDigest: "sha256:" + "0".repeat(64) });
  found.wrongDigestDeny = await t.post(`${path}/deny`, { actionDigest: "sha256:" + "1".repeat(64) });
  found.unknownAction = await t.post(`/v1/runs/${id}/actions/action_00000000-0000-4000-8000-000000000000/approve`, { actionDigest });
  found.bad = {};
  for (const [name, body] of [
    ["no-digest", {}], ["digest-number", { actionDigest: 7 }], ["digest-short", { actionDigest: "sha256:" }], ["digest-long", { actionDigest: "sha256:" + "a".repeat(250) }],
    ["digest-prefix", { actionDigest: "a".repeat(64) }], ["reason-empty", { actionDigest, reason: "" }], ["reason-blank", { actionDigest, reason: "  " }],
    ["reason-long", { actionDigest, reason: "x".repeat(1001) }], ["reason-number", { actionDigest, reason: 1 }], ["unknown-key", { actionDigest, surprise: 1 }],
  ]) found.bad[name] = await t.post(`${path}/approve`, body);
  found.approved = await t.post(`${path}/approve`, { actionDigest: ` ${actionDigest} `, reason: "  first reason " });
  found.again = await t.post(`${path}/approve`, { actionDigest, reason: "second reason" });
  found.opposite = await t.post(`${path}/deny`, { actionDigest });
  await t.finished(id);
  Object.assign(found, await look(t, id));
  found.afterEnd = await t.post(`${path}/approve`, { actionDigest });
  found.oppositeAfterEnd = await t.post(`${path}/deny`, { actionDigest, reason: "too late" });
  found.unknownAfterEnd = await t.post(`/v1/runs/${id}/actions/action_00000000-0000-4000-8000-000000000001/deny`, { actionDigest });
  return found;
});

fixture("denied", async (t) => {
  const id = needId(await t.create({ task: "sim: write denied.txt no\\n\nsim: reply Never said.", approvalMode: "manual" }));
  const requested = await t.eventWhen(id, "approval.requested");
  const { actionId, actionDigest } = requested.payload;
  const path = `/v1/runs/${id}/actions/${actionId}`;
  const denied = await t.post(`${path}/deny`, { actionDigest, reason: "Not today" });
  const again = await t.post(`${path}/deny`, { actionDigest, reason: "Still not" });
  const opposite = await t.post(`${path}/approve`, { actionDigest });
  await t.finished(id);
  return { requested, actionDigest, denied, again, opposite, ...(await look(t, id)) };
});

fixture("blocked", async (t) => {
  const id = needId(await t.create({ task: "sim: write blocked.txt no\\n\nsim: reply Never said.", approvalMode: "block" }));
  await t.finished(id);
  return look(t, id);
});

fixture("cancelledQueued", async (t) => {
  const id = needId(await t.create({ task: "sim: sleep 30\nsim: reply Never said." }));
  const cancelled = await t.post(`/v1/runs/${id}/cancel`, {});
  await t.finished(id);
  return { cancelled, ...(await look(t, id)) };
});

fixture("cancelledRunning", async (t) => {
  const id = needId(await t.create({ task: "sim: write kept.txt written-before-the-cancel\\n\nsim: sh sleep 300\nsim: reply Never said." }));
  await t.eventWhen(id, "agent.started");
  const live = await t.stream(`/v1/runs/${id}/stream`);
  await live.until((frame) => frame.event === "agent.tool_started" && JSON.parse(frame.data).payload.tool === "shell");
  const rest = live.all();
  rest.catch(() => {});
  const begun = Date.now();
  const cancelled = await t.request("POST", `/v1/runs/${id}/cancel`);
  const again = await t.post(`/v1/runs/${id}/cancel`, {});
  await t.finished(id);
  const took = Date.now() - begun;
  await rest;
  const found = await look(t, id);
  const patch = await download(t, id, found.byKind.workspace_patch);
  return { cancelled, again, took, live, patch, ...found };
});

fixture("cancelledWaiting", async (t) => {
  const id = needId(await t.create({ task: "sim: reply Never said.", approvalMode: "manual" }));
  const requested = await t.eventWhen(id, "approval.requested");
  const cancelled = await t.post(`/v1/runs/${id}/cancel`, {});
  await t.finished(id);
  const { actionId, actionDigest } = requested.payload;
  const late = await t.post(`/v1/runs/${id}/actions/${actionId}/approve`, { actionDigest });
  return { cancelled, late, ...(await look(t, id)) };
});

fixture("failed", async (t) => {
  const id = needId(await t.create({ task: "sim: sh echo before\nsim: fail context_length_exceeded\nsim: reply Never said." }));
  await t.finished(id);
  const found = await look(t, id);
  return { ...found, session: await t.get(`/v1/runs/${id}/session`) };
});

fixture("loops", async (t) => {
  const id = needId(await t.create({ task: "sim: repeat 4 sh echo same; exit 7\nsim: repeat 4 write same.txt same content\\n\nsim: sh echo other\nsim: reply Looped." }));
  await t.finished(id);
  return look(t, id);
});

fixture("big", async (t) => {
  const id = needId(await t.create({ task: "sim: sh head -c 200000 /dev/zero | tr '\\\\0' z\nsim: big 60000" }));
  await t.finished(id);
  return { ...(await look(t, id)), session: await t.get(`/v1/runs/${id}/session`) };
});

fixture("quiet", async (t) => {
  const id = needId(await t.create({ task: "sim: reply Nothing was changed." }));
  await t.finished(id);
  const found = await look(t, id);
  const downloads = {};
  for (const [kind, artifact] of Object.entries(found.byKind)) downloads[kind] = await download(t, id, artifact);
  return { ...found, downloads };
});

fixture("expired", async (t) => {
  const id = needId(await t.create({ task: "sim: write late.txt no\\n\nsim: reply Never said.", approvalMode: "manual", approvalTimeoutSeconds: 1 }));
  const requested = await t.eventWhen(id, "approval.requested");
  await t.finished(id);
  const { actionId, actionDigest } = requested.payload;
  const late = await t.post(`/v1/runs/${id}/actions/${actionId}/approve`, { actionDigest });
  return { late, ...(await look(t, id)) };
});

fixture("keyedDecision", async (t) => {
  const id = needId(await t.create({ task: "sim: reply Decided with a key.", approvalMode: "manual" }));
  const { actionId, actionDigest } = (await t.eventWhen(id, "approval.requested")).payload;
  const path = `/v1/runs/${id}/actions/${actionId}/deny`;
  const headers = { "Idempotency-Key": t.unique("decision") };
  const keyed = [await t.post(path, { actionDigest, reason: "one" }, { headers })];
  keyed.push(await t.post(path, { actionDigest, reason: "one" }, { headers: { ...headers, "X-Again": "1" } }));
  const conflict = await t.post(path, { actionDigest, reason: "two" }, { headers });
  return { id, keyed, conflict };
});

const say = (t, id, body, options) => t.post(`/v1/runs/${id}/messages`, body, options);
const runOf = (reply) => {
  const id = reply.status < 300 ? JSON.parse(reply.text).runId : undefined;
  if (typeof id !== "string") throw new Blocked(`no turn was created: ${reply.status} ${reply.text.slice(0, 200)}`);
  return id;
};

export const secondMessage = "Go on.\nsim: sh cat one.txt && echo two >> one.txt\nsim: write two.txt 2\\n\nsim: recall the first turn said this";

fixture("talk", async (t) => {
  const task = "Remember: the first turn said this.\nsim: write one.txt one\\n\nsim: reply First.";
  const first = await t.create({ task, runtime: { kind: "codex", mode: "full_access", model: "gpt-5.5" }, metadata: { turn: 1 } });
  const id = needId(first);
  await t.finished(id);
  const found = { first: { ...(await look(t, id)), created: first, turns: await t.get(`/v1/runs/${id}/turns`) } };
  const [one, two] = await Promise.all([say(t, id, { message: secondMessage + "  " }), say(t, id, { message: "sim: reply Another at the same time." })]);
  const [accepted, refused] = one.status < 300 ? [one, two] : [two, one];
  Object.assign(found, { accepted, refused, secondSaid: accepted === one ? secondMessage : "sim: reply Another at the same time." });
  const second = runOf(accepted);
  found.busyTurns = await t.get(`/v1/runs/${second}/turns`);
  await t.finished(second);
  found.second = { ...(await look(t, second)), session: await t.get(`/v1/runs/${second}/session`) };
  found.second.cancelled = await t.post(`/v1/runs/${second}/cancel`, {});
  found.listed = await t.get("/v1/runs?limit=100&status=completed&x=2");
  const headers = { "Idempotency-Key": t.unique("message") };
  const message = "sim: sh cat two.txt\nsim: reply Third.";
  found.keyed = [await say(t, second, { message }, { headers })];
  const third = runOf(found.keyed[0]);
  await t.finished(third);
  found.keyed.push(await say(t, second, { message }, { headers: { ...headers, "X-Again": "1" } }));
  found.keyConflict = await say(t, second, { message: "sim: reply Fourth." }, { headers });
  found.third = await look(t, third);
  found.turns = await t.get(`/v1/runs/${third}/turns`);
  found.turnsByFirst = await t.get(`/v1/runs/${id}/turns`);
  found.closed = await t.request("POST", `/v1/runs/${third}/close`);
  found.closedAgain = await t.post(`/v1/runs/${id}/close`, {});
  found.afterClose = await say(t, id, { message: "sim: reply Too late." });
  found.afterCloseBySecond = await say(t, second, { message: "sim: reply Too late." });
  found.turnsAfterClose = await t.get(`/v1/runs/${id}/turns`, { headers: { "X-Again": "1" } });
  found.runAfterClose = await t.get(`/v1/runs/${id}`);
  return found;
});

async function approve(t, id) {
  const { actionId, actionDigest } = (await t.eventWhen(id, "approval.requested")).payload;
  await t.post(`/v1/runs/${id}/actions/${actionId}/approve`, { actionDigest });
  await t.finished(id);
}

fixture("talkManual", async (t) => {
  const id = needId(await t.create({ task: "sim: reply One.", approvalMode: "manual" }));
  await approve(t, id);
  const accepted = await say(t, id, { message: "sim: reply Two." });
  const second = runOf(accepted);
  await approve(t, second);
  const looser = await say(t, id, { message: "sim: reply Three.", approvalMode: "auto" });
  const tighter = await say(t, id, { message: "sim: reply Four.", approvalMode: "block" });
  const third = runOf(tighter);
  await t.finished(third);
  return { id, second: await look(t, second), looser, tighter, third: await look(t, third) };
});

// Turns after a first run that was cancelled while it wrote, and after one that failed.
for (const [name, base] of [["talkCancelled", "cancelledRunning"], ["talkFailed", "failed"]]) {
  fixture(name, async (t) => {
    const { id } = await t.fixture(base);
    const accepted = await say(t, id, { message: "sim: sh cat kept.txt\nsim: reply Went on." });
    const next = runOf(accepted);
    await t.finished(next);
    const found = await look(t, next);
    return { id, accepted, ...found, patch: await download(t, next, found.byKind.workspace_patch) };
  });
}

fixture("closedActive", async (t) => {
  const id = needId(await t.create({ task: "sim: reply One.", approvalMode: "manual" }));
  await t.eventWhen(id, "approval.requested");
  const closed = await t.post(`/v1/runs/${id}/close`, {});
  const after = await t.get(`/v1/runs/${id}`);
  const message = await say(t, id, { message: "sim: reply Two." });
  await t.finished(id);
  return { id, closed, after, message, ...(await look(t, id)) };
});

fixture("reviewed", async (t) => {
  const id = needId(await t.create({ task: "sim: reply Reviewed.", runtime: { kind: "codex", mode: "auto_review" } }));
  await t.finished(id);
  return { id, message: await say(t, id, { message: "sim: reply Two." }), run: await t.get(`/v1/runs/${id}`) };
});

// Four runs with tags that no other run has.
fixture("tagged", async (t) => {
  const mark = t.unique("mark").replace(/[^A-Za-z0-9._-]/g, "-");
  const word = "w" + mark.replace(/[^a-z0-9]/gi, "");
  const created = [];
  for (const [task, runtime, tags] of [
    ["sim: reply a", { kind: "codex" }, { team: "a" }], ["sim: reply b", { kind: "codex" }, { team: "a", stage: "two" }],
    ["sim: reply c", { kind: "claude_code" }, { team: "b" }], [`sim: reply d ${word}`, { kind: "codex" }, { team: "b", stage: "two" }],
  ]) {
    await t.session.transport.pause(3);
    const reply = await t.createAndCancel({ task, runtime, tags: { mark, ...tags } });
    needId(reply);
    created.push(reply);
  }
  const pages = [await t.get(`/v1/runs?tag.mark=${mark}&limit=2`)];
  for (let next; pages.length < 5 && (next = pages[pages.length - 1].json.nextCursor); ) pages.push(await t.get(`/v1/runs?tag.mark=${mark}&limit=2&cursor=${encodeURIComponent(next)}`));
  const found = { mark, word, created, pages };
  found.byTag = await t.get(`/v1/runs?tag.mark=${mark}&tag.team=a`);
  found.byBoth = await t.get(`/v1/runs?tag.mark=${mark}&tag.team=a&tag.stage=two`);
  found.claude = await t.get(`/v1/runs?tag.mark=${mark}&runtime=claude_code`);
  found.found = await t.get(`/v1/runs?q=${word}`);
  return found;
});

fixture("answered", async (t) => {
  const word = "a" + t.unique("answer").replace(/[^a-z0-9]/gi, "");
  // The line end is written as an escape: the word stands in the answer, in the task another one does.
  const id = needId(await t.create({ task: `sim: reply The answer is:\\n${word}` }));
  await t.finished(id);
  return { id, answered: await t.get(`/v1/runs?q=${word}`) };
});

fixture("recorded", async (t) => {
  const id = needId(await t.create({ task: "sim: write a.txt a\\n\nsim: write b.txt b\\n\nsim: reply Recorded." }));
  await t.finished(id);
  return { ...(await look(t, id)), record: await t.get(`/v1/runs/${id}/record`) };
});
