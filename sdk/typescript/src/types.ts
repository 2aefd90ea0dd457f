// The nouns of the protocol. Members marked "AgentRouter 0.2" are additions: servers that do not know them refuse
// them or leave them out, so they are optional everywhere.

export type CodexRuntimeMode = "default" | "read_only" | "full_access" | "auto_review";
export type ClaudeCodePermissionMode = "default" | "acceptEdits" | "plan" | "auto" | "dontAsk" | "bypassPermissions";
export type ActionApprovalMode = "auto" | "manual" | "block";
export type ActionApprovalDecision = "approved" | "denied";
export type ExecutionStreamStatus = "started" | "completed" | "failed";
export type RunStatus = "queued" | "starting" | "running" | "cancelling" | "completed" | "failed" | "cancelled";

export interface CodexRuntimeOptions {
  mode?: CodexRuntimeMode;
  model?: string;
}

export interface ClaudeCodeRuntimeOptions {
  permissionMode?: ClaudeCodePermissionMode;
  model?: string;
}

export interface CodexRuntimeSelection extends CodexRuntimeOptions {
  kind: "codex";
}

export interface ClaudeCodeRuntimeSelection extends ClaudeCodeRuntimeOptions {
  kind: "claude_code";
}

/** What a request asks for: see `codex` and `claudeCode`. */
export type RuntimeSelection = CodexRuntimeSelection | ClaudeCodeRuntimeSelection;

/** What a run got: as asked for, defaults filled. */
export type ResolvedRuntimeSelection =
  | { kind: "codex"; mode: CodexRuntimeMode; model?: string }
  | { kind: "claude_code"; permissionMode: ClaudeCodePermissionMode; model?: string };

/** What the agent works on; without one, an empty folder. AgentRouter 0.2. */
export type RunWorkspace =
  | { git: { url: string; ref?: string; depth?: number; subdir?: string } }
  | { path: string }
  | { artifactId: string }
  | { fromRun: { runId: string } }
  | { upload: { id: string } };

/** AgentRouter 0.2. */
export interface RunLimits {
  maxWallSeconds?: number;
  maxTokens?: number;
  maxCostUsd?: number;
  maxActions?: number;
  maxOutputBytes?: number;
  maxNetworkBytes?: number;
  maxMemoryBytes?: number;
  maxDiskBytes?: number;
  /** Of one core. */
  maxCpuPercent?: number;
  maxPids?: number;
}

export interface RunFailure {
  code?: string;
  reason?: string;
  /** AgentRouter 0.2: the more specific reason, such as `provider_rate_limited`. */
  cause?: string;
}

export interface Run {
  id: string;
  status: RunStatus;
  runtime: ResolvedRuntimeSelection;
  /** The first 500 characters. */
  task: string;
  /** The request as the server understood it. */
  input: Record<string, unknown>;
  /** Sequence of the newest event; 0 without one. */
  lastEventSeq: number;
  sessionId: string | null;
  /** Id of the conversation's first run: the handle for `continueRun`. */
  conversationId: string;
  queuedAt: string;
  startedAt?: string;
  completedAt?: string;
  cancelRequestedAt?: string;
  failure?: RunFailure;
  /** AgentRouter 0.2. */
  tags?: Record<string, string>;
  /** AgentRouter 0.2: absent in the workspace `default`. */
  workspaceId?: string;
}

export interface RunEvent {
  runId: string;
  /** 1, 2, 3... without gaps in a run. */
  sequence: number;
  type: string;
  providerEventType?: string;
  source: "worker" | "api" | "codex" | "claude_code";
  visibility: "public" | "internal" | "redacted";
  payload: Record<string, unknown>;
  artifactRef?: { artifactId: string; r2Key: string };
  isTruncated: boolean;
  createdAt: string;
}

export interface Artifact {
  id: string;
  runId: string;
  kind: string;
  r2Key: string;
  contentType?: string;
  /** Of the stored bytes; kinds that end in `_log` are stored as gzip. */
  sizeBytes: number;
  /** 64 hexadecimal digits, of the stored bytes. */
  sha256: string;
  metadata: Record<string, unknown>;
  createdAt: string;
}

export interface AgentResponseTextPart {
  type: "text";
  text: string;
}

export interface AgentResponse {
  text: string;
  parts: AgentResponseTextPart[];
  provider?: string;
  providerEventType?: string;
}

export type ArtifactManifest =
  | { status: "missing" }
  | { status: "available"; artifactId: string; r2Key: string; sizeBytes: number; sha256: string };

export interface RunSession {
  run: Run;
  eventCursor: { lastEventSeq: number };
  response: AgentResponse | null;
  artifactManifest: ArtifactManifest;
  artifacts: { items: Artifact[] };
}

export interface ContinueRunResult {
  runId: string;
  turnNumber: number;
  conversationId: string;
}

export interface RunTurn {
  id: string;
  runId: string;
  turnNumber: number;
  prompt: string;
  createdAt: string;
}

export interface RunTurnsResult {
  conversationId: string;
  items: RunTurn[];
}

export interface CloseRunResult {
  closed: boolean;
  conversationId: string;
  reclaimed: boolean;
}

export interface RunPage {
  items: Run[];
  /** Absent at the end. AgentRouter 0.2. */
  nextCursor?: string;
}

/** AgentRouter 0.2: one action of a run, with what was decided about it and how it went. */
export interface ActionRecord {
  actionId: string;
  actionDigest: string;
  argsDigest: string;
  name: string;
  target: string;
  proposedSequence: number;
  policy: { decision: string; reason: string; sequence: number } | null;
  approval: { state: string; requestedSequence: number; settledSequence?: number; reason?: string } | null;
  execution: {
    status: ExecutionStreamStatus;
    startedSequence: number;
    endedSequence?: number;
    exitCode?: number;
    reason?: string;
  } | null;
}

/** AgentRouter 0.2: all that is known about a run in one reply. Members are optional, since servers may know less. */
export interface RunRecord {
  run: Run;
  runtime?: ResolvedRuntimeSelection;
  state?: RunStatus;
  phase?: string;
  approvalMode?: ActionApprovalMode;
  attempt?: { id: string; number: number; workerId: string; startedAt: string } | null;
  usage?: Record<string, unknown> | null;
  limits?: Record<string, unknown> | null;
  /** The newest; older ones are in the events when `hasOlderActions`. */
  actions?: ActionRecord[];
  hasOlderActions?: boolean;
  pendingApprovals?: { actionId: string; actionDigest: string; requestId: string; expiresAt?: string }[];
  patch?: { artifactId: string; r2Key: string; bytes: number; fileCount: number } | null;
  artifacts?: { items: Artifact[] };
  eventCursor?: { lastEventSeq: number };
  conversation?: {
    id: string;
    sessionId: string | null;
    state: string;
    turnNumber: number;
    turns: number;
    reclaimed: boolean;
    expiresAt?: string;
    closedAt?: string;
  };
  /** What may be asked for now: `cancel`, `approve`, `deny`, `continue`, `close`. */
  operations?: string[];
  [member: string]: unknown;
}

/** AgentRouter 0.2. */
export interface Upload {
  id: string;
  bytes?: number;
  sha256?: string;
  expiresAt?: string;
  [member: string]: unknown;
}

/** AgentRouter 0.2. */
export interface RunFile {
  path: string;
  type?: string;
  size?: number;
  mode?: string;
  /** How it differs from the base, as `git status --porcelain` writes it; absent when it does not. */
  status?: string;
  /** The path has `\xNN` for bytes that are no UTF-8: to be given to `readRunFile` with it. */
  encoding?: "escaped";
  [member: string]: unknown;
}

/** AgentRouter 0.2. */
export interface PushResult {
  branch: string;
  commit: string;
  url?: string;
  files?: number;
  [member: string]: unknown;
}

/** AgentRouter 0.2: what opens one workspace of a server, or several. */
export interface ApiKey {
  id: string;
  name: string;
  /** The begin of the key. */
  prefix: string;
  workspaces: string[] | "*";
  scopes: string[];
  /** Neither revoked nor expired. */
  active: boolean;
  createdBy: string;
  createdAt: string;
  expiresAt?: string;
  lastUsedAt?: string;
  revokedAt?: string;
  /** The id of the key that a rotation made of it. */
  replacedBy?: string;
  [member: string]: unknown;
}

/** AgentRouter 0.2: what several teams of one server have apart. */
export interface Workspace {
  id: string;
  name: string;
  /** No key opens it. */
  disabled: boolean;
  createdAt: string;
  [member: string]: unknown;
}
