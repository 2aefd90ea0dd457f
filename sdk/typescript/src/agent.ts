import { sourceOf, waitForRun } from "./client.js";
import { AgentRouterError } from "./error.js";
import { Feed } from "./feed.js";
import { partOf } from "./parts.js";
import type {
  AgentRouterClient,
  AgentRunResult,
  AgentRunStream,
  AgentStreamPart,
  RunAgentCreateRequest,
  RunAgentRequest,
  RunAgentResumeRequest,
  StreamAgentCreateRequest,
  StreamAgentRequest,
  StreamAgentResumeRequest
} from "./calls.js";
import type { CreateRunRequest } from "./requests.js";
import type { ContinueRunResult, Run, RunSession } from "./types.js";

/** Callers without types may send anything. */
type Loose = { continueRun?: unknown; message?: unknown; task?: unknown };

function continues(request: RunAgentRequest | StreamAgentRequest): request is RunAgentResumeRequest {
  const { continueRun, message } = request as Loose;
  return typeof continueRun === "string" && continueRun !== "" && typeof message === "string";
}

const creates = (request: RunAgentRequest | StreamAgentRequest): boolean => typeof (request as Loose).task === "string";

function resultOf(session: RunSession): AgentRunResult {
  const { run, response } = session;
  return { ...session, id: run.id, status: run.status, text: response?.text ?? "", session };
}

function proceed(client: AgentRouterClient, request: RunAgentResumeRequest | StreamAgentResumeRequest) {
  const { continueRun, message, approvalMode, idempotencyKey, signal } = request;
  return client.continueRun(continueRun, message, { approvalMode, idempotencyKey, signal });
}

/** Starts a run, or the next turn of a conversation, and waits for its end. */
export async function runAgent(request: RunAgentRequest): Promise<AgentRunResult> {
  const { client, pollIntervalMs, maxWaitMs, onEvent, signal } = request;
  const wait = { pollIntervalMs, maxWaitMs, onEvent, signal };
  if (continues(request)) {
    const { runId } = await proceed(client, request);
    return resultOf(await waitForRun(client, runId, { ...wait, afterSeq: request.afterSeq }));
  }
  if (!creates(request)) {
    throw new AgentRouterError("invalid_run_agent_request", "runAgent needs a task, or continueRun and a message");
  }
  // Anything else that the caller gave is sent, for the server to judge.
  const { client: _client, ...create } = request as RunAgentCreateRequest;
  return resultOf(await client.createRunAndWait(create));
}

/** What streamAgent sends; it drops what it does not know. */
const CREATE_FIELDS = (
  "task runtime approvalMode metadata idempotencyKey workspace approvalScope approvalTimeoutSeconds policy limits tags " +
  "priority waitForQuota requireIsolation requires mcp"
).split(" ") as (keyof CreateRunRequest)[];

async function start(request: StreamAgentRequest): Promise<{ run: Run; turn?: ContinueRunResult }> {
  const { client, signal } = request;
  if (continues(request)) {
    const turn = await proceed(client, request);
    return { run: await client.getRun(turn.runId, { signal }), turn };
  }
  if (!creates(request)) {
    throw new AgentRouterError("invalid_stream_agent_request", "streamAgent needs a task, or continueRun and a message");
  }
  const known = CREATE_FIELDS.map((key) => [key, (request as StreamAgentCreateRequest)[key]]);
  const create = Object.fromEntries(known.filter(([, value]) => value !== undefined)) as CreateRunRequest;
  return { run: await client.createRun(create, { signal }) };
}

async function* partsOf(feed: Feed): AsyncGenerator<AgentStreamPart, void, undefined> {
  for await (const event of feed.read()) {
    const part = partOf(event);
    if (part) yield part;
  }
}

async function* textOf(feed: Feed): AsyncGenerator<string, void, undefined> {
  for await (const part of partsOf(feed)) if (part.type === "text") yield part.text;
}

/** Starts a run, or the next turn of a conversation, and gives its events as they happen. */
export async function streamAgent(request: StreamAgentRequest): Promise<AgentRunStream> {
  const { client, afterSeq, pollIntervalMs, maxWaitMs, signal } = request;
  const { run, turn } = await start(request);
  const feed = new Feed(sourceOf(client), run.id, afterSeq ?? 0, { pollIntervalMs, maxWaitMs, signal });
  let final: Promise<AgentRunResult> | undefined;
  return {
    run,
    conversationId: turn?.conversationId ?? run.conversationId ?? run.id,
    turnNumber: turn?.turnNumber,
    events: feed.read(),
    fullStream: partsOf(feed),
    textStream: textOf(feed),
    get finalResult() {
      if (!final) {
        final = feed.end().then(async () => resultOf(await client.getRunSession(run.id, { signal })));
        final.catch(() => {});
      }
      return final;
    }
  };
}
