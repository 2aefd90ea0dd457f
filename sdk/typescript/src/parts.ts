import type { AgentStreamPart } from "./calls.js";
import type { RunEvent } from "./types.js";

const TITLES: Record<string, string> = {
  "agent.started": "Agent started",
  "sandbox.created": "Sandbox ready",
  "credential_boundary.verified": "Credential boundary verified",
  "workspace.file_index_collected": "Workspace file index collected",
  "workspace.patch_collected": "Workspace patch collected"
};

const textOf = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

function actionName(payload: Record<string, unknown>): string {
  const action = payload.action;
  const named = typeof action === "object" && action !== null ? textOf((action as { name?: unknown }).name) : undefined;
  return named ?? textOf(payload.actionName) ?? "runtime action";
}

function actionPart(event: RunEvent, payload: Record<string, unknown>): AgentStreamPart | undefined {
  const actionId = textOf(payload.actionId);
  const actionDigest = textOf(payload.actionDigest);
  if (!actionId || !actionDigest) return undefined;
  const common = { event, actionId, actionDigest };
  switch (event.type) {
    case "action.proposed":
      return { type: "action", text: `Action proposed: ${actionName(payload)}`, ...common };
    case "approval.requested":
      return { type: "approval_request", text: `Approval requested for ${actionName(payload)}`, ...common };
    case "approval.decided": {
      const decision = payload.decision;
      if (decision !== "approved" && decision !== "denied") return undefined;
      return { type: "approval_decision", text: `Approval ${decision}`, decision, ...common };
    }
    default: {
      const status = event.type.slice("execution.".length) as "started" | "completed" | "failed";
      return { type: "execution", text: `Execution ${status}`, status, ...common };
    }
  }
}

/** The part that an event is shown as; undefined for events that are for audit only. */
export function partOf(event: RunEvent): AgentStreamPart | undefined {
  const payload = event.payload ?? {};
  const s = (key: string): string | undefined => textOf(payload[key]);
  const withText = (type: "text" | "message" | "progress", text: string | undefined): AgentStreamPart | undefined =>
    text === undefined ? undefined : { type, text, event };

  switch (event.type) {
    case "action.proposed":
    case "approval.requested":
    case "approval.decided":
    case "execution.started":
    case "execution.completed":
    case "execution.failed":
      return actionPart(event, payload);
    case "agent.response":
      return withText("text", s("text"));
    case "agent.message":
      return withText("message", s("text"));
    case "agent.progress":
      return withText("progress", s("summary") ?? s("message"));
    case "policy.evaluated": {
      const decision = s("decision");
      return withText("progress", decision ? `Policy ${decision}` : "Policy evaluated");
    }
    case "agent.no_progress": {
      const text = s("reason") ?? s("message") ?? "No-progress signal detected";
      return { type: "no_progress", signal: s("signal") ?? "no_progress", text, event };
    }
    case "agent.error":
    case "run.failed":
      return { type: "error", text: s("message") ?? s("reason") ?? "Run failed", event };
    case "run.completed":
      return { type: "done", status: "completed", event };
    case "run.cancelled":
      return { type: "done", status: "cancelled", event };
    default:
      return Object.hasOwn(TITLES, event.type) ? withText("progress", TITLES[event.type]) : undefined;
  }
}
