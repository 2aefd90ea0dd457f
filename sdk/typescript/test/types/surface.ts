// Checked by the compiler, never run: every name of the package, used as an application uses it.
import { AgentRouterError, agentrouter, claudeCode, codex, runAgent, streamAgent } from "@agentrouterhq/sdk";
import type {
  ActionApprovalDecision, ActionApprovalMode, AgentResponse, AgentResponseTextPart, AgentRouterClient, AgentRouterOptions, AgentRunResult,
  AgentRunStream, AgentStreamPart, Artifact, ClaudeCodePermissionMode, ClaudeCodeRuntimeOptions, ClaudeCodeRuntimeSelection, CloseRunResult,
  CodexRuntimeMode, CodexRuntimeOptions, CodexRuntimeSelection, ContinueRunResult, CreateAndWaitRequest, CreateRunRequest,
  ExecutionStreamStatus, ResolvedRuntimeSelection, Run, RunActionDecisionRequest, RunAgentCreateRequest, RunAgentRequest,
  RunAgentResumeRequest, RunEvent, RunSession, RunTurn, RunTurnsResult, RuntimeSelection, StreamAgentCreateRequest, StreamAgentRequest,
  StreamAgentResumeRequest
} from "@agentrouterhq/sdk";

const options: AgentRouterOptions = { apiKey: "k", baseUrl: "http://h", defaultHeaders: { a: "b" }, fetchImpl: fetch };
const client: AgentRouterClient = agentrouter(options);
const selection: RuntimeSelection[] = [codex() satisfies CodexRuntimeSelection, claudeCode() satisfies ClaudeCodeRuntimeSelection];
const modes: CodexRuntimeMode[] = ["default", "read_only", "full_access", "auto_review"];
const permissions: ClaudeCodePermissionMode[] = ["default", "acceptEdits", "plan", "auto", "dontAsk", "bypassPermissions"];
const codexOptions: CodexRuntimeOptions = { mode: modes[0], model: "m" };
const claudeOptions: ClaudeCodeRuntimeOptions = { permissionMode: permissions[0], model: "m" };
const approval: ActionApprovalMode = "manual";

// @ts-expect-error: a mode that there is not
codex({ mode: "fast" });
// @ts-expect-error: Claude Code has no mode
claudeCode({ mode: "default" });
// @ts-expect-error: a key is needed
agentrouter({});
// @ts-expect-error: tools are the server's
const refused: CreateRunRequest = { task: "t", tools: [] };

export async function results(): Promise<void> {
  const request: CreateRunRequest = { task: "t", runtime: selection[0], approvalMode: approval, metadata: { a: [1] }, idempotencyKey: "x" };
  const waiting: CreateAndWaitRequest = { ...request, pollIntervalMs: 1, maxWaitMs: 1, onEvent: async (event: RunEvent) => void event.sequence };
  const run: Run = await client.createRun(request);
  const resolved: ResolvedRuntimeSelection = run.runtime;
  const chosen: string = resolved.kind === "codex" ? resolved.mode : resolved.permissionMode;
  const session: RunSession = await client.createRunAndWait(waiting);
  const response: AgentResponse | null = session.response;
  const texts: AgentResponseTextPart[] = response?.parts ?? [];
  const artifact: Artifact | undefined = session.artifacts.items[0];
  const bytes: ArrayBuffer = await client.downloadArtifact(run.id, artifact!.id);
  if (session.artifactManifest.status === "available") session.artifactManifest.sha256.toUpperCase();
  const decision: RunActionDecisionRequest = { runId: run.id, actionId: "a", actionDigest: "sha256:x" };
  const decided: RunEvent = await client.approveRunAction(decision);
  const turn: ContinueRunResult = await client.continueRun(run.id, "m");
  const turns: RunTurnsResult = await client.getRunTurns(run.id);
  const first: RunTurn | undefined = turns.items[0];
  const closed: CloseRunResult = await client.closeRun(run.id);
  const failure: string | undefined = run.failure?.code;
  void [chosen, texts, bytes, decided, turn, first, closed, failure, codexOptions, claudeOptions, refused];
}

export async function agents(): Promise<void> {
  const create: RunAgentCreateRequest = { client, task: "t" };
  const resume: RunAgentResumeRequest = { client, continueRun: "run_1", message: "m", afterSeq: 0 };
  const either: RunAgentRequest[] = [create, resume];
  const result: AgentRunResult = await runAgent(either[0]!);
  const streamed: StreamAgentCreateRequest = { client, task: "t", afterSeq: 1 };
  const resumed: StreamAgentResumeRequest = { client, continueRun: result.id, message: "m" };
  const requests: StreamAgentRequest[] = [streamed, resumed];
  const stream: AgentRunStream = await streamAgent(requests[0]!);
  for await (const part of stream.fullStream) shown(part);
  for await (const event of stream.events) event.payload.summary;
  for await (const text of stream.textStream) text.trim();
  const final: AgentRunResult = await stream.finalResult;
  void [final.text, stream.conversationId, stream.turnNumber];
}

function shown(part: AgentStreamPart): string {
  switch (part.type) {
    case "approval_decision": {
      const decision: ActionApprovalDecision = part.decision;
      return decision + part.actionDigest;
    }
    case "execution": {
      const status: ExecutionStreamStatus = part.status;
      return status + part.actionId;
    }
    case "no_progress":
      return part.signal + part.text;
    case "done":
      // @ts-expect-error: the end has no text
      return part.status + part.text;
    default:
      return part.text + part.event.type;
  }
}

export function failures(error: unknown): string | undefined {
  if (!(error instanceof AgentRouterError)) return undefined;
  const { code, message, details, statusCode }: { code: string; message: string; details?: Record<string, unknown>; statusCode?: number } = error;
  return `${new AgentRouterError(code, message, details, statusCode).name} ${code}`;
}

/** A client that was written for the published package still is one. */
export const published: AgentRouterClient = {
  createRun: async () => ({}) as Run,
  listRuns: async () => ({ items: [] as Run[] }),
  getRun: async (_runId: string) => ({}) as Run,
  getRunSession: async () => ({}) as RunSession,
  listRunEvents: async () => ({ items: [] as RunEvent[], nextAfterSeq: 0 }),
  cancelRun: async () => ({}) as Run,
  listRunArtifacts: async () => ({ items: [] as Artifact[] }),
  downloadArtifact: async () => new ArrayBuffer(0),
  streamRun: async function* () {},
  createRunAndWait: async () => ({}) as RunSession,
  approveRunAction: async () => ({}) as RunEvent,
  denyRunAction: async () => ({}) as RunEvent,
  continueRun: async () => ({}) as ContinueRunResult,
  getRunTurns: async () => ({}) as RunTurnsResult,
  closeRun: async () => ({}) as CloseRunResult
};

export async function additions(): Promise<void> {
  const full = agentrouter({ apiKey: "k", timeoutMs: 1, maxRetries: 0, live: false });
  const signal = AbortSignal.timeout(1);
  await full.createRun({ task: "t", tags: { a: "b" }, limits: { maxTokens: 1 }, approvalTimeoutSeconds: 1, workspace: { git: { url: "u", ref: "r" } } }, { signal });
  await full.createRun({ task: "t", workspace: { fromRun: { runId: "r" } }, approvalScope: "action", policy: "p", mcp: ["m"] });
  for await (const run of full.iterateRuns({ q: "words", tags: { a: "b" }, runtime: "codex", signal })) run.tags?.a?.trim();
  const record = await full.getRunRecord("r");
  const files = await full.listRunFiles("r");
  const forked = await client.forkRun?.("r", { message: "m", atTurn: 1 });
  void [record.run.id, record.operations?.includes("cancel"), record.actions?.[0]?.execution?.exitCode, files.items[0]?.path, forked?.id, (await full.upload(new Uint8Array(1))).upload.id, (await full.pushRun("r", { branch: "b", message: "m" })).push.commit, await full.downloadWorkspace("r", { format: "tar.zst" }), await full.readRunLog("r", "stdout", { offset: 1 }), await full.readRunFile("r", "a", { encoding: files.items[0]?.encoding }), (await full.listRuns()).nextCursor];
  await runAgent({ client, continueRun: "r", message: "m", approvalMode: "block", idempotencyKey: "x", signal });
}
