// What POST /v1/runs takes and refuses.
import { check as define } from "../lib/session.mjs";
import { isoTime, uuid } from "../lib/context.mjs";

const check = (name, sentence, run, options = { sim: false }) => define(name, sentence, run, options);
const task = "sim: reply Made for a check of creation.";

async function accepted(t, body, options) {
  const reply = await t.createAndCancel(body, options);
  t.status(reply, 201);
  return reply.json;
}

async function refused(t, body, field) {
  return t.invalid(await t.post("/v1/runs", body), field);
}

check("create/201", "POST /v1/runs answers 201.", async (t) => t.status(await t.createAndCancel({ task }), 201));
check("create/queued", "A new run is queued.", async (t) => t.equal((await accepted(t, { task })).status, "queued", "status"));
check("create/id", "The id of a run is run_<uuid>.", async (t) => t.match((await accepted(t, { task })).id, new RegExp(`^run_${uuid}$`), "id"));
check("create/no-events-yet", "lastEventSeq is 0 at creation.", async (t) => t.equal((await accepted(t, { task })).lastEventSeq, 0, "lastEventSeq"));
check("create/session-id", "sessionId is always present and null at first.", async (t) => t.equal((await accepted(t, { task })).sessionId, null, "sessionId"));
check("create/conversation-id", "The conversationId of a first run is its own id.", async (t) => {
  const run = await accepted(t, { task });
  t.equal(run.conversationId, run.id, "conversationId");
});
check("create/queued-at", "queuedAt is a time in ISO 8601 with milliseconds and Z.", async (t) => t.match((await accepted(t, { task })).queuedAt, isoTime, "queuedAt"));
check("create/omits-unset", "startedAt, completedAt, cancelRequestedAt and failure are omitted when unset.", async (t) => {
  const run = await accepted(t, { task });
  for (const key of ["startedAt", "completedAt", "cancelRequestedAt", "failure"]) t.ok(!(key in run), `${key} is there`);
});
check("create/task", "task holds the prompt.", async (t) => t.equal((await accepted(t, { task })).task, task, "task"));
check("create/found-again", "A created run is found by its id and in the list at once.", async (t) => {
  const reply = await t.createAndCancel({ task, metadata: { mark: t.unique() } });
  const { id } = reply.json;
  t.equal((await t.get(`/v1/runs/${id}`)).json.id, id, "id");
  t.ok((await t.get("/v1/runs?limit=100")).json.items.some((run) => run.id === id), "not in the list");
});

check("create/default-runtime", "Without a runtime it is {kind:\"codex\",mode:\"default\"}.", async (t) =>
  t.equal((await accepted(t, { task })).runtime, { kind: "codex", mode: "default" }, "runtime"));
check("create/default-mode", "A missing mode of codex is default.", async (t) =>
  t.equal((await accepted(t, { task, runtime: { kind: "codex" } })).runtime, { kind: "codex", mode: "default" }, "runtime"));
check("create/default-permission-mode", "A missing permissionMode of claude_code is default.", async (t) =>
  t.equal((await accepted(t, { task, runtime: { kind: "claude_code" } })).runtime, { kind: "claude_code", permissionMode: "default" }, "runtime"));

for (const mode of ["default", "read_only", "full_access", "auto_review"]) {
  check(`create/codex-${mode}`, "The modes of codex are default, read_only, full_access and auto_review.", async (t) =>
    t.equal((await accepted(t, { task, runtime: { kind: "codex", mode } })).runtime, { kind: "codex", mode }, "runtime"));
}
for (const permissionMode of ["default", "acceptEdits", "plan", "auto", "dontAsk", "bypassPermissions"]) {
  check(`create/claude-${permissionMode}`, "The permission modes of claude_code are default, acceptEdits, plan, auto, dontAsk and bypassPermissions.", async (t) =>
    t.equal((await accepted(t, { task, runtime: { kind: "claude_code", permissionMode } })).runtime, { kind: "claude_code", permissionMode }, "runtime"));
}

check("create/model", "model is kept and shown when set.", async (t) =>
  t.equal((await accepted(t, { task, runtime: { kind: "codex", model: "gpt-5.5" } })).runtime, { kind: "codex", mode: "default", model: "gpt-5.5" }, "runtime"));
check("create/model-trimmed", "model is trimmed.", async (t) =>
  t.equal((await accepted(t, { task, runtime: { kind: "codex", model: "  a/b:c_d-1.2 " } })).runtime.model, "a/b:c_d-1.2", "model"));
check("create/model-128", "model has at most 128 characters: 128 are taken.", async (t) =>
  t.equal((await accepted(t, { task, runtime: { kind: "codex", model: "m".repeat(128) } })).runtime.model.length, 128, "length"));
check("create/model-unset", "model is shown only if set.", async (t) => t.ok(!("model" in (await accepted(t, { task })).runtime), "model is there"));

for (const [name, runtime, sentence] of [
  ["null", null, "runtime:null is 400."], ["string", "codex", "The runtime is an object: a string is 400."], ["array", [], "The runtime is an object: an array is 400."],
  ["no-kind", {}, "The runtime needs its kind."], ["unknown-kind", { kind: "other" }, "Kinds other than codex and claude_code are 400."],
  ["unknown-mode", { kind: "codex", mode: "wild" }, "A mode that codex does not have is 400."], ["null-mode", { kind: "codex", mode: null }, "A mode of null is 400."],
  ["unknown-permission-mode", { kind: "claude_code", permissionMode: "read_only" }, "A permission mode that claude_code does not have is 400."],
  ["permission-mode-on-codex", { kind: "codex", permissionMode: "plan" }, "permissionMode on codex is 400."],
  ["mode-on-claude", { kind: "claude_code", mode: "default" }, "mode on claude_code is 400."],
  ["unknown-key", { kind: "codex", surprise: 1 }, "The runtime is strict: any other key is 400."],
  ["empty-model", { kind: "codex", model: "" }, "An empty model is 400."], ["blank-model", { kind: "codex", model: "  " }, "A model that is empty when trimmed is 400."],
  ["long-model", { kind: "codex", model: "m".repeat(129) }, "A model of 129 characters is 400."],
  ["model-with-space", { kind: "codex", model: "a b" }, "A model has only letters, digits and ._:/- in it."],
  ["model-with-newline", { kind: "codex", model: "a\nb" }, "A line end in a model is 400."],
  ["model-number", { kind: "codex", model: 5 }, "A model is a string."],
]) {
  check(`create/runtime-${name}`, sentence, async (t) => refused(t, { task, runtime }, "runtime"));
}

for (const [name, value, sentence] of [
  ["missing", undefined, "task is required."], ["null", null, "A task of null is 400."], ["number", 7, "A task is a string."], ["object", {}, "A task is a string: an object is 400."],
  ["empty", "", "A task has at least one character."], ["blank", " \t\n", "A task that is empty when trimmed is 400."],
  ["js-blank", "\u00a0\ufeff\u2003", "Trimmed is JavaScript's trim: no-break space and BOM too."], ["too-long", "x".repeat(120001), "A task of 120001 characters is 400."],
]) {
  check(`create/task-${name}`, sentence, async (t) => refused(t, { task: value }, "task"));
}

check("create/task-longest", "A task of 120000 characters is taken, and kept whole in input.", async (t) => {
  const long = "sim: reply Long." + " ".repeat(4) + "y".repeat(120000 - 20);
  const run = await accepted(t, { task: long });
  t.equal(run.input.task.length, 120000, "length");
});
check("create/task-trimmed", "input.task is trimmed.", async (t) => t.equal((await accepted(t, { task: `\ufeff \n${task}\u00a0\t` })).input.task, task, "input.task"));
check("create/task-longest-trimmed", "The length of a task counts after trimming.", async (t) =>
  t.equal((await accepted(t, { task: " ".repeat(50) + "z".repeat(120000) + " ".repeat(50) })).input.task.length, 120000, "length"));
check("create/task-summary", "task is the first 500 UTF-16 units of the prompt.", async (t) => {
  const long = "a".repeat(498) + "\u00e9\u00e9\u00e9" + "b".repeat(600);
  const run = await accepted(t, { task: long });
  t.equal(run.task, long.slice(0, 500), "task");
});
check("create/task-summary-astral", "The units of the summary are UTF-16: a character beyond the basic plane counts two.", async (t) => {
  const long = "\u{1f600}".repeat(400);
  t.equal((await accepted(t, { task: long })).task, "\u{1f600}".repeat(250), "task");
});
check("create/task-input-whole", "input.task has the full length.", async (t) => {
  const long = "q".repeat(2000);
  t.equal((await accepted(t, { task: long })).input.task, long, "input.task");
});
check("create/task-unicode", "Text is kept as it came.", async (t) => {
  const text = "sim: reply \u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u05d0\u05d1 \u4f60\u597d e\u0301 \"quoted\" \\ / \u2028 end";
  t.equal((await accepted(t, { task: text })).input.task, text, "input.task");
});

check("create/input", "input is the parsed body with defaults filled.", async (t) =>
  t.equal((await accepted(t, { task })).input, { task, runtime: { kind: "codex", mode: "default" } }, "input"));
check("create/input-echoes", "input holds what the request said.", async (t) => {
  const body = { task, runtime: { kind: "codex", mode: "read_only" }, approvalMode: "auto", metadata: { a: 1, b: [true, null, "x"], c: { d: 1.5 } } };
  t.equal((await accepted(t, body)).input, body, "input");
});
check("create/input-no-new-keys", "input gets no default keys that the request did not have.", async (t) =>
  t.equal(Object.keys((await accepted(t, { task, metadata: {} })).input).sort(), ["metadata", "runtime", "task"], "keys"));

for (const mode of ["auto", "manual", "block"]) {
  check(`create/approval-${mode}`, "approvalMode is auto, manual or block.", async (t) => t.equal((await accepted(t, { task, approvalMode: mode })).input.approvalMode, mode, "input"));
}
for (const [name, approvalMode] of [["other", "maybe"], ["null", null], ["boolean", true], ["empty", ""]]) {
  check(`create/approval-refused-${name}`, "Any other approvalMode is 400.", async (t) => refused(t, { task, approvalMode }, "approvalMode"));
}

check("create/metadata", "metadata is an object with any values, kept as they are.", async (t) => {
  const metadata = { text: "x", number: -1.25, big: 9007199254740991, list: [1, [2]], nothing: null, deep: { a: { b: { c: false } } }, "": "empty key" };
  t.equal((await accepted(t, { task, metadata })).input.metadata, metadata, "metadata");
});
for (const [name, metadata] of [["array", []], ["null", null], ["string", "x"], ["number", 1]]) {
  check(`create/metadata-${name}`, "metadata must be an object: arrays and null are 400.", async (t) => refused(t, { task, metadata }, "metadata"));
}

check("create/strict", "The body is strict: an unknown key is 400.", async (t) => {
  const issues = await refused(t, { task, surprise: 1 });
  t.ok(issues.some((issue) => issue.code === "unrecognized_keys"), "no unrecognized_keys");
});
check("create/not-the-sdks-keys", "Options of a client (pollIntervalMs, onEvent) in the body are 400.", async (t) => refused(t, { task, pollIntervalMs: 1000 }));

for (const key of ["source", "repoUrl", "checkout"]) {
  check(`create/unsupported-${key}`, `A top-level ${key} is 400 unsupported_workspace_attachment with details {}.`, async (t) => {
    const error = t.error(await t.post("/v1/runs", { task, [key]: "x" }), 400, "unsupported_workspace_attachment");
    t.equal(error.details, {}, "details");
  });
}
for (const key of ["model", "tools", "mcpServers", "rawArgs", "cliArgs", "providerArgs", "codexArgs", "claudeArgs"]) {
  check(`create/unsupported-${key}`, `A top-level ${key} is 400 unsupported_tool_configuration with details {}.`, async (t) => {
    const error = t.error(await t.post("/v1/runs", { task, [key]: [] }), 400, "unsupported_tool_configuration");
    t.equal(error.details, {}, "details");
  });
}
check("create/unsupported-first", "The unsupported keys are looked for before the schema is checked.", async (t) => {
  t.error(await t.post("/v1/runs", { tools: [], runtime: null }), 400, "unsupported_tool_configuration");
  t.error(await t.post("/v1/runs", { nothing: 1, source: {} }), 400, "unsupported_workspace_attachment");
});
check("create/unsupported-order-tools", "The keys are walked in body order, and the first hit wins: tools before source.", async (t) =>
  t.error(await t.post("/v1/runs", '{"task":"x","tools":[],"source":{}}'), 400, "unsupported_tool_configuration"));
check("create/unsupported-order-source", "The keys are walked in body order, and the first hit wins: source before tools.", async (t) =>
  t.error(await t.post("/v1/runs", '{"task":"x","source":{},"tools":[]}'), 400, "unsupported_workspace_attachment"));

check("create/workspace-outside", "A path outside the allowed roots is refused with 400 when the run is created.", async (t) => {
  const reply = await t.post("/v1/runs", { task, workspace: { path: "/etc" } });
  t.status(reply, 400);
  t.match(reply.json.error?.code, /^[a-z_]+$/, "code");
});
check("create/workspace-shape", "A workspace is an object of a known form.", async (t) => refused(t, { task, workspace: { surprise: 1 } }, "workspace"));
