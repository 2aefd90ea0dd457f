// What the methods of a client take. "AgentRouter 0.2" means what it does in types.ts.

import type { ActionApprovalMode, RunEvent, RunLimits, RunStatus, RunWorkspace, RuntimeSelection } from "./types.js";

export interface AgentRouterOptions {
  apiKey: string;
  /** Default `http://127.0.0.1:8787`. Trailing slashes do not matter. */
  baseUrl?: string;
  /** Sent with every request, after `authorization`, which they may replace. */
  defaultHeaders?: Record<string, string>;
  /** Used instead of the global `fetch`, for every request. */
  fetchImpl?: typeof fetch;
  /** Bound of one request; of a download: of each silence in it. Default 60000; 0 for none. */
  timeoutMs?: number;
  /**
   * Further tries of a request that is safe to repeat (GET, and POST with an idempotency key) after a network failure,
   * 408, 429, 502, 503 or 504. Pauses grow and are jittered; `Retry-After` is respected up to 60 s, and
   * an answer that asks for more is thrown at once. Default 3.
   */
  maxRetries?: number;
  /** Which workspace every call is about, on a server that several teams share. Default: the only one that the key opens. */
  workspaceId?: string;
  /** `false`: never hold a live stream open, poll as older versions did. Default `true`. */
  live?: boolean;
}

/** Taken by every call. */
export interface CallOptions {
  /** Ends the call at once; it throws the signal's reason. What the server did with a request under way is open. */
  signal?: AbortSignal;
  /** Instead of the client's `timeoutMs`. */
  timeoutMs?: number;
}

/** AgentRouter 0.2: what a key allows. `admin` allows everything in the workspaces that the key opens. */
export type KeyScope = "runs:read" | "runs:write" | "approvals:decide" | "admin";

/** AgentRouter 0.2. */
export interface CreateKeyRequest {
  name: string;
  scopes: KeyScope[];
  /** `"*"` for every workspace. Default: that of the call. */
  workspaces?: string[] | "*";
  /** RFC 3339. Default: never. */
  expiresAt?: string;
}

export interface CreateRunRequest {
  /** 1 to 120000 characters. */
  task: string;
  /** Default: Codex in mode `default`. */
  runtime?: RuntimeSelection;
  /** Default `auto`. */
  approvalMode?: ActionApprovalMode;
  metadata?: Record<string, unknown>;
  /** Sent as a header: a repeated request with the same key gives the run of the first. Makes the call retried. */
  idempotencyKey?: string;
  /** AgentRouter 0.2. */
  workspace?: RunWorkspace;
  /** AgentRouter 0.2: `action` asks for every command, file change and network request. Default `run`. */
  approvalScope?: "run" | "action";
  /** AgentRouter 0.2: a pending approval that is older fails the run with `approval_expired`. */
  approvalTimeoutSeconds?: number;
  /** AgentRouter 0.2: name of a policy of the server. */
  policy?: string;
  /** AgentRouter 0.2. */
  limits?: RunLimits;
  /** AgentRouter 0.2: filterable, see `ListRunsRequest.tags`. */
  tags?: Record<string, string>;
  /** AgentRouter 0.2. */
  priority?: number | string;
  /** AgentRouter 0.2. */
  waitForQuota?: boolean;
  /** AgentRouter 0.2. */
  requireIsolation?: "process" | "user-kernel" | "vm";
  /** AgentRouter 0.2: labels that the worker must have, by name. A run that no worker fits waits. */
  requires?: Record<string, string>;
  /** AgentRouter 0.2: a container image that the server is configured with. */
  image?: string;
  /** AgentRouter 0.2: names of MCP servers that the server is configured with. */
  mcp?: string[];
}

/** How to wait for the end of a run. */
export interface WaitOptions {
  /** Pause between two looks at a server that cannot stream. Default 1000. */
  pollIntervalMs?: number;
  /** After this, `wait_timeout` is thrown; the run itself goes on. Default 600000. */
  maxWaitMs?: number;
  /** Ends the waiting, not the run. */
  signal?: AbortSignal;
}

export interface CreateAndWaitRequest extends CreateRunRequest, WaitOptions {
  /** Called with each event, in order; a promise is awaited before the next. */
  onEvent?: (event: RunEvent) => void | Promise<void>;
}

export interface RunActionDecisionRequest {
  runId: string;
  actionId: string;
  actionDigest: string;
  reason?: string;
  /** AgentRouter 0.2. Makes the call retried. */
  idempotencyKey?: string;
}

/** Members other than `status` and `limit`: AgentRouter 0.2. */
export interface ListRunsRequest extends CallOptions {
  status?: RunStatus | "active";
  /** 1 to 100. Default 50. */
  limit?: number;
  cursor?: string;
  runtime?: "codex" | "claude_code";
  conversationId?: string;
  createdAfter?: string;
  createdBefore?: string;
  /** Words in the task or the final answer. */
  q?: string;
  /** Runs that have all of these. */
  tags?: Record<string, string>;
}

export interface ContinueRunOptions extends CallOptions {
  /** AgentRouter 0.2: may only tighten what the conversation has. */
  approvalMode?: ActionApprovalMode;
  /** AgentRouter 0.2. Makes the call retried. */
  idempotencyKey?: string;
}

export interface StreamRunOptions {
  /** Events after this sequence. Default 0. */
  afterSeq?: number;
  /** `false`: what is there now, then the end. Default `true`: until the run has ended. */
  follow?: boolean;
  signal?: AbortSignal;
}

/** AgentRouter 0.2. */
export interface ForkRunRequest {
  message: string;
  atTurn?: number;
}

/** AgentRouter 0.2. */
export interface ListRunFilesOptions extends CallOptions {
  /** The folder to list; without it the workspace itself. */
  prefix?: string;
  /** Also what is in the folders below. */
  recursive?: boolean;
  limit?: number;
  cursor?: string;
}

/** AgentRouter 0.2. */
export interface DownloadWorkspaceOptions extends CallOptions {
  /** Default `tar.gz`. */
  format?: "tar.gz" | "tar.zst";
  /** Only the files that the run changed or added. */
  changes?: boolean;
}

/** AgentRouter 0.2. */
export interface PushRunRequest {
  branch: string;
  message: string;
  author?: { name: string; email: string };
}
