// The chain of events of a run (contract section 9): order, sources, causes, digests.
import { check } from "../lib/session.mjs";
import { digest, sha256, uuid } from "../lib/context.mjs";
import { doneTask } from "./fixtures.mjs";

const chain = ["action.proposed", "policy.evaluated", "execution.started", "execution.completed"];
const digestForm = /^sha256:[0-9a-f]{64}$/;
const id = (prefix) => new RegExp(`^${prefix}_${uuid}$`);

function one(t, events, type) {
  const found = events.filter((event) => event.type === type);
  t.equal(found.length, 1, `number of ${type}`);
  return found[0];
}
const ofDone = async (t, type) => one(t, (await t.fixture("done")).events, type);

check("chain/order", "A run begins with run.claimed, sandbox.created, credential_boundary.verified, action.proposed, policy.evaluated, execution.started, agent.started.", async (t) => {
  const types = (await t.fixture("done")).events.map((event) => event.type).filter((type) => type !== "egress.request");
  t.equal(types.slice(0, 7), ["run.claimed", "sandbox.created", "credential_boundary.verified", "action.proposed", "policy.evaluated", "execution.started", "agent.started"], "types");
});
check("chain/end", "A run ends with agent.completed, execution.completed, provider.stdout, provider.stderr, agent.response, usage.recorded, the file index, the patch, checkpoint.created where there is one, sandbox.destroyed, the terminal event.", async (t) => {
  const types = (await t.fixture("done")).events.map((event) => event.type).filter((type) => type !== "egress.request" && type !== "checkpoint.created");
  t.equal(types.slice(-10), ["agent.completed", "execution.completed", "provider.stdout", "provider.stderr", "agent.response", "usage.recorded",
    "workspace.file_index_collected", "workspace.patch_collected", "sandbox.destroyed", "run.completed"], "types");
});
check("chain/checkpoint-place", "checkpoint.created stands between the patch and sandbox.destroyed, with the turn's number.", async (t) => {
  const { events } = await t.fixture("done");
  const event = one(t, events, "checkpoint.created");
  const types = events.map((other) => other.type);
  const at = types.indexOf("checkpoint.created");
  t.ok(types.indexOf("workspace.patch_collected") < at && at < types.indexOf("sandbox.destroyed"), "another place");
  t.equal(event.payload.turnNumber, 1, "turnNumber");
});
for (const [type, source, visibility] of [
  ["run.claimed", "worker", "internal"], ["sandbox.created", "worker", "internal"], ["credential_boundary.verified", "worker", "internal"], ["action.proposed", "worker", "public"],
  ["policy.evaluated", "worker", "public"], ["execution.started", "worker", "public"], ["agent.started", "codex", "public"], ["agent.completed", "codex", "public"],
  ["execution.completed", "worker", "public"], ["provider.stdout", "codex", "public"], ["provider.stderr", "codex", "internal"], ["agent.response", "codex", "public"],
  ["workspace.file_index_collected", "worker", "public"], ["workspace.patch_collected", "worker", "public"], ["run.completed", "worker", "public"],
]) {
  check(`chain/source-${type}`, `${type} comes from ${source} and is ${visibility}.`, async (t) => {
    const event = await ofDone(t, type);
    t.equal([event.source, event.visibility], [source, visibility], "source and visibility");
  });
}
check("chain/claimed", "run.claimed names its worker.", async (t) => t.ok((await ofDone(t, "run.claimed")).payload.workerId, "no workerId"));
check("chain/sandbox", "sandbox.created has sandboxId, provider and persistent.", async (t) => {
  const { payload } = await ofDone(t, "sandbox.created");
  t.ok(typeof payload.sandboxId === "string" && payload.sandboxId, "sandboxId");
  t.ok(typeof payload.provider === "string" && payload.provider, "provider");
  t.equal(typeof payload.persistent, "boolean", "persistent");
});
check("chain/credential-boundary", "credential_boundary.verified has provider, credentialStrategy and the checked surfaces env, proc and home.", async (t) => {
  const { payload } = await ofDone(t, "credential_boundary.verified");
  t.ok(typeof payload.provider === "string" && payload.provider, "provider");
  t.ok(["direct_env_proven", "provider_proxy"].includes(payload.credentialStrategy), `credentialStrategy ${payload.credentialStrategy}`);
  t.equal(payload.checkedSurfaces, ["env", "proc", "home"], "checkedSurfaces");
});
check("chain/causes", "Each control event names the event that caused it as priorEventId; action.proposed names none.", async (t) => {
  const payloads = [];
  for (const type of chain) payloads.push((await ofDone(t, type)).payload);
  t.ok(!("priorEventId" in payloads[0]), "action.proposed has a priorEventId");
  for (let i = 1; i < chain.length; ++i) t.equal(payloads[i].priorEventId, payloads[i - 1].eventId, `priorEventId of ${chain[i]}`);
});
check("chain/event-ids", "eventId is evt_<uuid>, each its own.", async (t) => {
  const ids = [];
  for (const type of chain) ids.push((await ofDone(t, type)).payload.eventId);
  for (const value of ids) t.match(value, id("evt"), "eventId");
  t.equal(new Set(ids).size, ids.length, "different ids");
});
check("chain/action-id", "actionId is action_<uuid>, the same through the chain.", async (t) => {
  const ids = [];
  for (const type of chain) ids.push((await ofDone(t, type)).payload.actionId);
  t.match(ids[0], id("action"), "actionId");
  t.equal(new Set(ids).size, 1, "different ids");
});
check("chain/digests-same", "actionDigest and argsDigest are sha256:<64 hex>, the same through the chain.", async (t) => {
  const digests = new Set();
  for (const type of chain) {
    const { payload } = await ofDone(t, type);
    t.match(payload.actionDigest, digestForm, "actionDigest");
    t.match(payload.argsDigest, digestForm, "argsDigest");
    digests.add(payload.actionDigest + payload.argsDigest);
  }
  t.equal(digests.size, 1, "different digests");
});
check("chain/actors", "The actors are agent, policy, runtime, runtime.", async (t) => {
  const actors = [];
  for (const type of chain) actors.push((await ofDone(t, type)).payload.actor);
  t.equal(actors, ["agent", "policy", "runtime", "runtime"], "actors");
});
check("chain/action-digest", "actionDigest is the SHA-256 of the action as compact JSON with sorted keys.", async (t) => {
  const { payload } = await ofDone(t, "action.proposed");
  t.equal(payload.actionDigest, digest(payload.action), "actionDigest");
});
check("chain/args-digest", "argsDigest is the same over action.args.", async (t) => {
  const { payload } = await ofDone(t, "action.proposed");
  t.equal(payload.argsDigest, digest(payload.action?.args ?? null), "argsDigest");
});
check("chain/action", "The action is a runtime_command of schema agentrouter.runtime_command.v1, named <kind>.launch.", async (t) => {
  const { payload } = await ofDone(t, "action.proposed");
  t.equal([payload.actionName, payload.schemaVersion], ["codex.launch", "agentrouter.runtime_command.v1"], "payload");
  t.equal([payload.action.type, payload.action.name, payload.action.schemaVersion], ["runtime_command", "codex.launch", "agentrouter.runtime_command.v1"], "action");
  t.equal(payload.targetResource, payload.action.target, "target");
});
check("chain/args", "action.args has provider, runtimeKind, runtimeMode, command, argvWithoutPrompt, promptSha256 and cwd.", async (t) => {
  const { args } = (await ofDone(t, "action.proposed")).payload.action;
  for (const key of ["provider", "command", "cwd"]) t.ok(typeof args[key] === "string" && args[key], `${key} is missing`);
  t.equal([args.runtimeKind, args.runtimeMode], ["codex", "default"], "runtime");
  t.ok(Array.isArray(args.argvWithoutPrompt), "argvWithoutPrompt is no list");
  t.match(args.promptSha256, digestForm, "promptSha256");
});
check("chain/prompt-digest", "promptSha256 is over the trimmed task.", async (t) => t.equal((await ofDone(t, "action.proposed")).payload.action.args.promptSha256, "sha256:" + sha256(doneTask.trim()), "promptSha256"));
check("chain/no-prompt-in-action", "The task is not in the action.", async (t) => {
  const { payload } = await ofDone(t, "action.proposed");
  t.ok(payload.action, "no action");
  t.ok(!JSON.stringify(payload.action).includes("Do three things"), "the task is in it");
});
check("chain/policy", "policy.evaluated has policyId, policyVersion, decision and reason; in auto mode the decision is allowed.", async (t) => {
  const { payload } = await ofDone(t, "policy.evaluated");
  for (const key of ["policyId", "policyVersion", "reason"]) t.ok(payload[key] !== undefined && payload[key] !== "", `${key} is missing`);
  t.equal(payload.decision, "allowed", "decision");
});
check("chain/no-approval-in-auto", "Runs in auto mode have no approval events.", async (t) => {
  const types = (await t.fixture("done")).events.map((event) => event.type);
  t.ok(types.includes("policy.evaluated"), "no policy.evaluated");
  t.equal(types.filter((type) => type.startsWith("approval.")), [], "approval events");
});
check("chain/execution-id", "executionId is execution_<uuid>, the same at start and end.", async (t) => {
  const [started, completed] = [await ofDone(t, "execution.started"), await ofDone(t, "execution.completed")];
  t.match(started.payload.executionId, id("execution"), "executionId");
  t.equal(completed.payload.executionId, started.payload.executionId, "executionId");
});
check("chain/execution-started", "execution.started has the status started.", async (t) => t.equal((await ofDone(t, "execution.started")).payload.status, "started", "status"));
check("chain/execution-completed", "execution.completed has status completed, exitCode 0 and terminalState completed.", async (t) => {
  const { payload } = await ofDone(t, "execution.completed");
  t.equal([payload.status, payload.exitCode, payload.terminalState], ["completed", 0, "completed"], "payload");
});
check("chain/agent-started", "agent.started comes once per run, with the provider and the thread.", async (t) => {
  const { payload } = await ofDone(t, "agent.started");
  t.equal(payload.provider, "codex", "provider");
  t.ok(typeof payload.threadId === "string" && payload.threadId, "threadId");
});
check("chain/run-completed", "run.completed has the message completed.", async (t) => t.equal((await ofDone(t, "run.completed")).payload.message, "completed", "message"));

check("agent/provider", "The payload of every event of the agent names its provider, which is its source.", async (t) => {
  const found = (await t.fixture("done")).events.filter((event) => event.source === "codex" && event.type.startsWith("agent."));
  t.ok(found.length > 3, `only ${found.length} events`);
  for (const event of found) t.equal(event.payload.provider, "codex", `provider of ${event.type}`);
});
check("agent/provider-event-type", "providerEventType is the type of the provider's line, in the names of codex exec.", async (t) => {
  const { events } = await t.fixture("done");
  t.equal(one(t, events, "agent.started").providerEventType, "thread.started", "of agent.started");
  for (const event of events.filter((other) => other.type === "agent.message")) t.equal(event.providerEventType, "item.completed", "of agent.message");
});
check("agent/messages", "Each message of the agent is an agent.message with its text.", async (t) => {
  const texts = (await t.fixture("done")).events.filter((event) => event.type === "agent.message").map((event) => event.payload.text);
  t.equal(texts, ["First a command.", "All three are done."], "texts");
});
check("agent/progress", "Turns and reasoning summaries give agent.progress with a summary.", async (t) => {
  const found = (await t.fixture("done")).events.filter((event) => event.type === "agent.progress");
  t.ok(found.some((event) => event.providerEventType === "turn.started"), "no turn.started");
  t.ok(found.some((event) => typeof event.payload.summary === "string" && event.payload.summary.includes("nearly done")), "the reasoning summary is missing");
});
check("agent/response", "agent.response is the last message, as text and parts.", async (t) => {
  const { payload } = await ofDone(t, "agent.response");
  t.equal([payload.text, payload.parts], ["All three are done.", [{ type: "text", text: "All three are done." }]], "payload");
  t.equal(payload.provider, "codex", "provider");
});
check("agent/once", "Each line of the provider gives its events once.", async (t) => {
  const { events } = await t.fixture("done");
  for (const type of ["agent.started", "agent.completed", "agent.response", "provider.stdout", "provider.stderr"]) one(t, events, type);
});
check("agent/tools", "Tool calls are agent.tool_started and agent.tool_completed with the same callId.", async (t) => {
  const { events } = await t.fixture("done");
  const ids = (type) => events.filter((event) => event.type === type).map((event) => event.payload.callId);
  t.ok(ids("agent.tool_started").length >= 3, "too few calls");
  t.equal(ids("agent.tool_completed").sort(), ids("agent.tool_started").sort(), "callIds");
});
check("agent/tool-kinds", "A tool is shell, edit, read, mcp, web, todo, subagent or other; a failed command is failed with its exit code.", async (t) => {
  const { events } = await t.fixture("done");
  const tools = events.filter((event) => event.type === "agent.tool_started").map((event) => event.payload.tool);
  for (const tool of tools) t.ok(["shell", "edit", "read", "mcp", "web", "todo", "subagent", "other"].includes(tool), `tool ${tool}`);
  t.ok(tools.includes("shell") && tools.includes("edit"), `tools ${tools}`);
  const failed = events.filter((event) => event.type === "agent.tool_completed" && event.payload.status === "failed");
  t.equal(failed.map((event) => event.payload.exitCode), [3], "exit codes of failed calls");
});
check("agent/usage", "usage.recorded holds the tokens.", async (t) => {
  const { payload } = await ofDone(t, "usage.recorded");
  t.ok(payload.inputTokens > 0 && payload.outputTokens > 0, JSON.stringify(payload));
});

check("no-progress/repeated-command", "The same command with the same exit code and output for the third time is agent.no_progress repeated_command, once per run.", async (t) => {
  const found = (await t.fixture("loops")).events.filter((event) => event.type === "agent.no_progress" && event.payload.signal === "repeated_command");
  t.equal(found.length, 1, "count");
  t.equal(found[0].payload.occurrences, 3, "occurrences");
  t.equal(found[0].payload.exitCode, 7, "exitCode");
  t.match(found[0].payload.outputDigest, digestForm, "outputDigest");
  t.ok(String(found[0].payload.command).includes("echo same"), "command");
});
check("no-progress/reason", "agent.no_progress has a reason in words and the provider.", async (t) => {
  const found = (await t.fixture("loops")).events.find((event) => event.type === "agent.no_progress");
  t.ok(typeof found?.payload.reason === "string" && found.payload.reason, "no reason");
  t.equal([found.payload.provider, found.source], ["codex", "codex"], "provider and source");
});
check("no-progress/not-in-a-good-run", "A run that gets on has no agent.no_progress.", async (t) => {
  const { events } = await t.fixture("done");
  t.ok(events.length > 10, "no events");
  t.ok(!events.some((event) => event.type === "agent.no_progress"), "there is one");
});

check("failed/status", "A run whose provider fails is failed with provider_runtime_failed and the cause.", async (t) => {
  const run = (await t.fixture("failed")).run.json;
  t.equal([run.status, run.failure?.code], ["failed", "provider_runtime_failed"], "status and code");
  t.equal(run.failure.cause, "context_window_exceeded", "cause");
});
check("failed/event", "A failed run ends with run.failed, whose payload has the reason.", async (t) => {
  const event = one(t, (await t.fixture("failed")).events, "run.failed");
  t.ok(typeof event.payload.reason === "string" && event.payload.reason, "no reason");
});
check("failed/agent-error", "A turn that ends with an error is agent.error instead of agent.completed.", async (t) => {
  const { events } = await t.fixture("failed");
  t.ok(typeof one(t, events, "agent.error").payload.message === "string", "no message");
  t.ok(!events.some((event) => event.type === "agent.completed"), "agent.completed is there");
});
check("failed/execution", "Its execution is execution.failed with terminalState failed.", async (t) => {
  const { payload } = one(t, (await t.fixture("failed")).events, "execution.failed");
  t.equal(payload.terminalState, "failed", "terminalState");
});
check("failed/keeps-artifacts", "A failed run keeps its logs, index, patch, archive and manifest.", async (t) => t.equal(Object.keys((await t.fixture("failed")).byKind).sort(),
  ["session_events", "session_manifest", "stderr_log", "stdout_log", "workspace_file_index", "workspace_patch"], "kinds"));

check("big/response", "The full text of agent.response is stored and returned, beyond 24 KB.", async (t) => {
  const { session, events } = await t.fixture("big");
  t.equal(session.json.response?.text.length, 60000, "length in the session");
  t.equal(one(t, events, "agent.response").payload.text.length, 60000, "length in the event");
});
check("big/completed", "A long answer does not break the run.", async (t) => t.equal((await t.fixture("big")).run.json.status, "completed", "status"));
check("big/payloads", "Other payloads stay under 32 KiB, whatever a command prints.", async (t) => {
  const { events } = await t.fixture("big");
  const tool = events.find((event) => event.type === "agent.tool_completed");
  t.ok(tool?.payload.output.length > 1000, "the output is missing");
  for (const event of events) if (event.type !== "agent.response" && event.type !== "agent.message") t.ok(Buffer.byteLength(JSON.stringify(event.payload)) <= 32768, `${event.type} is too large`);
});
check("no-progress/repeated-edit", "The same edit of the same path for the third time is agent.no_progress repeated_edit, once per run.", async (t) => {
  const found = (await t.fixture("loops")).events.filter((event) => event.type === "agent.no_progress" && event.payload.signal === "repeated_edit");
  t.equal(found.length, 1, "count");
  t.equal([found[0].payload.path, found[0].payload.occurrences], ["same.txt", 3], "path and occurrences");
  t.match(found[0].payload.editDigest, digestForm, "editDigest");
});
