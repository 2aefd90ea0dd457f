// What the protocol talks about. Members marked "AgentRouter 0.2" are additions: servers that do not know them refuse
// them or leave them out, so they are optional everywhere.

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
   * 408, 429, 502, 503 or 504. Pauses grow and are jittered; `Retry-After` is respected up to 60 s. Default 3.
   */
  maxRetries?: number;
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
  /** AgentRouter 0.2: a container image that the server is configured with. */
  image?: string;
  /** AgentRouter 0.2: names of MCP servers that the server is configured with. */
  mcp?: string[];
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

/** The end of a run. */
export interface AgentRunResult {
  id: string;
  status: RunStatus;
  /** The final answer; empty without one. */
  text: string;
  response: AgentResponse | null;
  run: Run;
  session: RunSession;
  eventCursor: RunSession["eventCursor"];
  artifactManifest: ArtifactManifest;
  artifacts: RunSession["artifacts"];
}

interface ActionPart {
  text: string;
  actionId: string;
  /** What exactly was proposed: an approval of one digest cannot start another. */
  actionDigest: string;
  event: RunEvent;
}

/** An event in the form that applications show. `event` is the raw one. */
export type AgentStreamPart =
  | ({ type: "action" } & ActionPart)
  | ({ type: "approval_request" } & ActionPart)
  | ({ type: "approval_decision"; decision: ActionApprovalDecision } & ActionPart)
  | ({ type: "execution"; status: ExecutionStreamStatus } & ActionPart)
  | { type: "progress"; text: string; event: RunEvent }
  | { type: "message"; text: string; event: RunEvent }
  | { type: "text"; text: string; event: RunEvent }
  | { type: "no_progress"; signal: string; text: string; event: RunEvent }
  | { type: "error"; text: string; event: RunEvent }
  | { type: "done"; status: "completed" | "cancelled"; event: RunEvent };

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

export interface RunPage {
  items: Run[];
  /** Absent at the end. AgentRouter 0.2. */
  nextCursor?: string;
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

/** What the published client has. An object of your own with these methods works with `runAgent` and `streamAgent`. */
export interface AgentRouterClient {
  createRun(request: CreateRunRequest, options?: CallOptions): Promise<Run>;
  listRuns(request?: ListRunsRequest): Promise<RunPage>;
  getRun(runId: string, options?: CallOptions): Promise<Run>;
  getRunSession(runId: string, options?: CallOptions): Promise<RunSession>;
  listRunEvents(
    runId: string,
    options?: { afterSeq?: number; limit?: number } & CallOptions
  ): Promise<{ items: RunEvent[]; nextAfterSeq: number }>;
  cancelRun(runId: string, options?: CallOptions): Promise<Run>;
  listRunArtifacts(runId: string, options?: CallOptions): Promise<{ items: Artifact[] }>;
  /** The stored bytes. */
  downloadArtifact(runId: string, artifactId: string, options?: CallOptions): Promise<ArrayBuffer>;
  /** The run's events, each once and in order, until it has ended; leaving the loop closes the connection. */
  streamRun(runId: string, options?: StreamRunOptions): AsyncGenerator<RunEvent, void, undefined>;
  createRunAndWait(request: CreateAndWaitRequest): Promise<RunSession>;
  /** Repeating a decision gives its first event; the opposite one is `approval_already_decided`. */
  approveRunAction(request: RunActionDecisionRequest, options?: CallOptions): Promise<RunEvent>;
  denyRunAction(request: RunActionDecisionRequest, options?: CallOptions): Promise<RunEvent>;
  /** Waits up to 8 s for a run that has just ended to become continuable. */
  continueRun(runId: string, message: string, options?: ContinueRunOptions): Promise<ContinueRunResult>;
  getRunTurns(runId: string, options?: CallOptions): Promise<RunTurnsResult>;
  /** No more turns; an active one is cancelled. Waits up to 30 s for a run that has just ended to be reclaimed. */
  closeRun(runId: string, options?: CallOptions): Promise<CloseRunResult>;
  /** Every run that fits, newest first, page by page. */
  iterateRuns?(request?: ListRunsRequest): AsyncGenerator<Run, void, undefined>;
  /** AgentRouter 0.2. */
  getRunRecord?(runId: string, options?: CallOptions): Promise<RunRecord>;
  /** AgentRouter 0.2: a new conversation from a checkpoint of this one; `not_found` on a server without it. */
  forkRun?(runId: string, request: ForkRunRequest, options?: CallOptions & { idempotencyKey?: string }): Promise<Run>;
  /** AgentRouter 0.2: an archive whose files a run can work on (`workspace: { upload }`); `not_found` on a server without it. */
  upload?(archive: Blob | ArrayBuffer | Uint8Array, options?: CallOptions): Promise<{ upload: Upload }>;
  /** AgentRouter 0.2: the workspace, of an active run as it is now; `not_found` on a server without it. */
  listRunFiles?(runId: string, options?: ListRunFilesOptions): Promise<{ items: RunFile[]; nextCursor?: string }>;
  /** AgentRouter 0.2: one file of the workspace; `not_found` on a server without it. */
  readRunFile?(runId: string, path: string, options?: CallOptions & { encoding?: RunFile["encoding"] }): Promise<ArrayBuffer>;
  /** AgentRouter 0.2: the whole workspace as one archive; `not_found` on a server without it. */
  downloadWorkspace?(runId: string, options?: DownloadWorkspaceOptions): Promise<ArrayBuffer>;
  /** AgentRouter 0.2: commits what an ended run changed and pushes it to the repository that it was cloned from. */
  pushRun?(runId: string, request: PushRunRequest, options?: CallOptions): Promise<{ push: PushResult }>;
}

/** AgentRouter 0.2. */
export interface ForkRunRequest {
  message: string;
  atTurn?: number;
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
export interface ListRunFilesOptions extends CallOptions {
  /** The folder to list; without it the workspace itself. */
  prefix?: string;
  /** Also what is in the folders below. */
  recursive?: boolean;
  limit?: number;
  cursor?: string;
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

/** AgentRouter 0.2. */
export interface PushResult {
  branch: string;
  commit: string;
  url?: string;
  files?: number;
  [member: string]: unknown;
}

/** What `agentrouter` returns: every method is there. */
export type AgentRouter = Required<AgentRouterClient>;

export interface RunAgentCreateRequest extends CreateAndWaitRequest {
  client: AgentRouterClient;
}

export interface RunAgentResumeRequest extends WaitOptions {
  client: AgentRouterClient;
  /** Any run id of the conversation; the handle is the first one. */
  continueRun: string;
  message: string;
  afterSeq?: number;
  onEvent?: (event: RunEvent) => void | Promise<void>;
  /** AgentRouter 0.2: may only tighten what the conversation has. */
  approvalMode?: ActionApprovalMode;
  /** AgentRouter 0.2. */
  idempotencyKey?: string;
}

export type RunAgentRequest = RunAgentCreateRequest | RunAgentResumeRequest;

export interface StreamAgentCreateRequest extends CreateRunRequest, WaitOptions {
  client: AgentRouterClient;
  afterSeq?: number;
}

export interface StreamAgentResumeRequest extends WaitOptions {
  client: AgentRouterClient;
  continueRun: string;
  message: string;
  afterSeq?: number;
  /** AgentRouter 0.2: may only tighten what the conversation has. */
  approvalMode?: ActionApprovalMode;
  /** AgentRouter 0.2. */
  idempotencyKey?: string;
}

export type StreamAgentRequest = StreamAgentCreateRequest | StreamAgentResumeRequest;

/**
 * One run as it happens. The three generators are lazy and independent: each begins after `afterSeq` and gives every
 * event once. They share one connection, which closes when the last of them is left.
 */
export interface AgentRunStream {
  run: Run;
  /** Id of the conversation's first run: pass it as `continueRun`. */
  conversationId: string;
  /** Of a continued run. */
  turnNumber?: number;
  /** Raw events. */
  events: AsyncGenerator<RunEvent, void, undefined>;
  /** Events in the form that applications show. */
  fullStream: AsyncGenerator<AgentStreamPart, void, undefined>;
  /** The final answer only. */
  textStream: AsyncGenerator<string, void, undefined>;
  /** The end of the run. Waiting begins when this is first read; a failure that nobody awaits is not reported. */
  readonly finalResult: Promise<AgentRunResult>;
}
