// The client, and what runAgent and streamAgent take and give. "AgentRouter 0.2" means what it does in types.ts.

import type {
  ActionApprovalDecision,
  ActionApprovalMode,
  AgentResponse,
  Artifact,
  ArtifactManifest,
  ApiKey,
  CloseRunResult,
  ContinueRunResult,
  ExecutionStreamStatus,
  PushResult,
  Run,
  RunEvent,
  RunFile,
  RunPage,
  RunRecord,
  RunSession,
  RunStatus,
  RunTurnsResult,
  Upload,
  Workspace
} from "./types.js";
import type {
  CallOptions,
  ContinueRunOptions,
  CreateAndWaitRequest,
  CreateKeyRequest,
  CreateRunRequest,
  DownloadWorkspaceOptions,
  ForkRunRequest,
  ListRunFilesOptions,
  ListRunsRequest,
  PushRunRequest,
  RunActionDecisionRequest,
  StreamRunOptions,
  WaitOptions
} from "./requests.js";

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
  /**
   * AgentRouter 0.2: deletes a run that has ended, with all that it left (`run_not_ended` otherwise). Repeated while the sandbox of
   * one that has just ended is being removed; `not_found` on a server without it.
   */
  deleteRun?(runId: string, options?: CallOptions): Promise<void>;
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
  /**
   * AgentRouter 0.2: what the agent has said so far, as lines of JSON; of an active run as far as it goes now, so ask again from the
   * `offset` where it ended. `not_found` on a server without it.
   */
  readRunLog?(runId: string, log: "stdout" | "stderr", options?: CallOptions & { offset?: number }): Promise<ArrayBuffer>;
  /** AgentRouter 0.2: commits what an ended run changed and pushes it to the repository that it was cloned from. */
  pushRun?(runId: string, request: PushRunRequest, options?: CallOptions): Promise<{ push: PushResult }>;
  /** AgentRouter 0.2, as all that follows: keys of the workspaces that this one opens; needs the scope `admin`. */
  listKeys?(options?: { after?: string; limit?: number } & CallOptions): Promise<{ items: ApiKey[]; nextAfter?: string }>;
  /** The new key is in `key`, here and never again. */
  createKey?(request: CreateKeyRequest, options?: CallOptions): Promise<ApiKey & { key: string }>;
  /** It opens nothing any more; repeating it changes nothing. */
  revokeKey?(keyId: string, options?: CallOptions): Promise<ApiKey>;
  /** Another key for the same; the old one holds for an hour yet, or for as long as is asked for. */
  rotateKey?(keyId: string, request?: { overlapSeconds?: number }, options?: CallOptions): Promise<ApiKey & { key: string }>;
  listWorkspaces?(options?: { after?: string; limit?: number } & CallOptions): Promise<{ items: Workspace[]; nextAfter?: string }>;
  createWorkspace?(request: { id: string; name?: string }, options?: CallOptions): Promise<Workspace>;
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
