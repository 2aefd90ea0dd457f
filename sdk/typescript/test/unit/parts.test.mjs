import assert from "node:assert/strict";
import { test } from "node:test";
import { partOf } from "../../dist/parts.js";
import { event } from "../support/server.mjs";

const action = { actionId: "action_1", actionDigest: "sha256:1" };
const named = { ...action, action: { name: "codex.launch" }, actionName: "other" };

const rows = [
  ["action.proposed", named, { type: "action", text: "Action proposed: codex.launch", ...action }],
  ["action.proposed", { ...action, actionName: "n" }, { type: "action", text: "Action proposed: n", ...action }],
  ["action.proposed", { ...action, action: null, actionName: "" }, { type: "action", text: "Action proposed: runtime action", ...action }],
  ["action.proposed", { actionId: "action_1" }, undefined],
  ["action.proposed", { actionId: "", actionDigest: "sha256:1" }, undefined],
  ["approval.requested", named, { type: "approval_request", text: "Approval requested for codex.launch", ...action }],
  ["approval.requested", { actionDigest: "sha256:1" }, undefined],
  ["approval.decided", { ...action, decision: "approved" }, { type: "approval_decision", text: "Approval approved", decision: "approved", ...action }],
  ["approval.decided", { ...action, decision: "denied" }, { type: "approval_decision", text: "Approval denied", decision: "denied", ...action }],
  ["approval.decided", { ...action, decision: "maybe" }, undefined],
  ["approval.decided", { decision: "denied" }, undefined],
  ["execution.started", { ...action, status: "odd" }, { type: "execution", text: "Execution started", status: "started", ...action }],
  ["execution.completed", action, { type: "execution", text: "Execution completed", status: "completed", ...action }],
  ["execution.failed", action, { type: "execution", text: "Execution failed", status: "failed", ...action }],
  ["execution.failed", {}, undefined],
  ["agent.response", { text: "answer" }, { type: "text", text: "answer" }],
  ["agent.response", { text: "" }, undefined],
  ["agent.message", { text: "hello" }, { type: "message", text: "hello" }],
  ["agent.message", { text: 7 }, undefined],
  ["agent.no_progress", { signal: "repeated_edit", reason: "r", message: "m" }, { type: "no_progress", signal: "repeated_edit", text: "r" }],
  ["agent.no_progress", { message: "m" }, { type: "no_progress", signal: "no_progress", text: "m" }],
  ["agent.no_progress", {}, { type: "no_progress", signal: "no_progress", text: "No-progress signal detected" }],
  ["agent.error", { message: "m", reason: "r" }, { type: "error", text: "m" }],
  ["run.failed", { reason: "r", code: "c" }, { type: "error", text: "r" }],
  ["run.failed", {}, { type: "error", text: "Run failed" }],
  ["run.completed", { message: "completed" }, { type: "done", status: "completed" }],
  ["run.cancelled", {}, { type: "done", status: "cancelled" }],
  ["agent.progress", { summary: "s", message: "m" }, { type: "progress", text: "s" }],
  ["agent.progress", { summary: "", message: "m" }, { type: "progress", text: "m" }],
  ["agent.progress", {}, undefined],
  ["agent.started", {}, { type: "progress", text: "Agent started" }],
  ["sandbox.created", {}, { type: "progress", text: "Sandbox ready" }],
  ["credential_boundary.verified", {}, { type: "progress", text: "Credential boundary verified" }],
  ["workspace.file_index_collected", {}, { type: "progress", text: "Workspace file index collected" }],
  ["workspace.patch_collected", {}, { type: "progress", text: "Workspace patch collected" }],
  ["policy.evaluated", { decision: "allowed" }, { type: "progress", text: "Policy allowed" }],
  ["policy.evaluated", {}, { type: "progress", text: "Policy evaluated" }],
  ...["run.claimed", "sandbox.resumed", "sandbox.parked", "sandbox.suspended", "sandbox.reclaimed", "agent.completed", "provider.stdout",
    "provider.stderr", "checkpoint.created", "usage.recorded", "egress.request", "approval.expired", "made.up", "toString", ""].map((type) => [type, { text: "x", message: "y", ...action }, undefined])
];

for (const [type, payload, expected] of rows) {
  test(`${type || "an empty type"} ${JSON.stringify(payload)} is shown as ${expected?.type ?? "nothing"}`, () => {
    const raw = event(1, type, payload);
    assert.deepEqual(partOf(raw), expected && { ...expected, event: raw });
  });
}

test("an event without a payload is shown as far as it can be", () => {
  assert.equal(partOf({ ...event(1, "run.failed"), payload: undefined }).text, "Run failed");
  assert.equal(partOf({ ...event(1, "action.proposed"), payload: null }), undefined);
});
