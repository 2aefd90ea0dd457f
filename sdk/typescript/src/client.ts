import { AgentRouterError } from "./error.js";
import { Feed, type FeedSource } from "./feed.js";
import { eventOf, liveStreams, type OpenStream } from "./live.js";
import { FrameParser } from "./sse.js";
import { sleep } from "./timing.js";
import { transport, type Transport } from "./transport.js";
import type {
  AgentRouter,
  AgentRouterClient,
  AgentRouterOptions,
  CallOptions,
  CloseRunResult,
  ContinueRunOptions,
  ContinueRunResult,
  CreateAndWaitRequest,
  CreateRunRequest,
  ListRunsRequest,
  Run,
  RunActionDecisionRequest,
  RunEvent,
  RunSession,
  StreamRunOptions,
  WaitOptions
} from "./types.js";

/** Where `runAgent` and `streamAgent` find the live streams of a client. A client without it is polled. */
const openStream = Symbol.for("agentrouter.openStream");

export function sourceOf(client: AgentRouterClient): FeedSource {
  const open = (client as { [openStream]?: OpenStream })[openStream];
  return {
    listRunEvents: (runId, options) => client.listRunEvents(runId, options),
    getRun: (runId, options) => client.getRun(runId, options),
    open
  };
}

/** Waits for the end of a run, showing its events on the way, and gives what it left. */
export async function waitForRun(
  client: AgentRouterClient,
  runId: string,
  options: WaitOptions & { afterSeq?: number; onEvent?: (event: RunEvent) => void | Promise<void> },
  startedAt = Date.now()
): Promise<RunSession> {
  const feed = new Feed(sourceOf(client), runId, options.afterSeq ?? 0, options, startedAt);
  if (options.onEvent) for await (const event of feed.read()) await options.onEvent(event);
  else await feed.end();
  return client.getRunSession(runId, { signal: options.signal });
}

const segment = encodeURIComponent;
/** With a key, a POST may be sent again. */
const keyed = (key: string | undefined) => (key ? { headers: { "idempotency-key": key }, repeatable: true } : {});
const pauseOf = (n: number): number => Math.min(250 * (n + 1), 1000);

/** Repeats `turn` for as long as it asks for it and `limit` allows. */
async function repeatFor<T>(limit: number, signal: AbortSignal | undefined, turn: (last: boolean) => Promise<T | undefined>) {
  const startedAt = Date.now();
  for (let n = 0; ; n++) {
    const result = await turn(Date.now() - startedAt >= limit);
    if (result !== undefined) return result;
    await sleep(pauseOf(n), signal);
  }
}

function continueRun(http: Transport, runId: string, message: string, options: ContinueRunOptions = {}) {
  const { idempotencyKey, approvalMode, ...call } = options;
  const request = { ...call, ...keyed(idempotencyKey), body: { message, approvalMode } };
  return repeatFor<ContinueRunResult>(8_000, call.signal, async (last) => {
    try {
      return await http.json<ContinueRunResult>("POST", `/v1/runs/${segment(runId)}/messages`, request);
    } catch (error) {
      if (last || !(error instanceof AgentRouterError) || error.code !== "run_not_continuable") throw error;
      return undefined;
    }
  });
}

const reclaims = ({ status, runtime }: Run): boolean =>
  status === "completed" && runtime.kind === "codex" && ["default", "read_only", "full_access"].includes(runtime.mode);

function closeRun(http: Transport, client: AgentRouterClient, runId: string, call: CallOptions = {}) {
  return repeatFor<CloseRunResult>(30_000, call.signal, async (last) => {
    const result = await http.json<CloseRunResult>("POST", `/v1/runs/${segment(runId)}/close`, { ...call, body: {} });
    return result.reclaimed || last || !reclaims(await client.getRun(runId, call)) ? result : undefined;
  });
}

/** One batch, as a server that does not hold streams open answers. */
async function batch(http: Transport, runId: string, { afterSeq, signal }: StreamRunOptions): Promise<RunEvent[]> {
  const path = `/v1/runs/${segment(runId)}/stream`;
  const text = await http.send("GET", path, { query: { afterSeq }, signal }, (response) => response.text());
  return new FrameParser().push(text).map(eventOf).filter((event) => event !== undefined);
}

async function* streamRun(client: AgentRouterClient, http: Transport, runId: string, options: StreamRunOptions = {}) {
  if (options.follow === false) yield* await batch(http, runId, options);
  else yield* new Feed(sourceOf(client), runId, options.afterSeq ?? 0, { signal: options.signal, maxWaitMs: Infinity }).read();
}

function listQuery({ tags = {}, signal: _signal, timeoutMs: _timeoutMs, limit, ...filters }: ListRunsRequest) {
  const query: Record<string, string | number | undefined> = { ...filters, limit: limit || undefined };
  for (const [key, value] of Object.entries(tags)) query[`tag.${key}`] = value;
  return query;
}

async function* iterateRuns(client: AgentRouterClient, request: ListRunsRequest = {}) {
  for (let cursor = request.cursor; ; ) {
    const page = await client.listRuns({ ...request, cursor });
    yield* page.items;
    if (!page.nextCursor) return;
    cursor = page.nextCursor;
  }
}

/** A client of one server. Makes no request. */
export function agentrouter(options: AgentRouterOptions): AgentRouter {
  const http = transport(options);
  const of = (runId: string, rest = ""): string => `/v1/runs/${segment(runId)}${rest}`;
  const decide = (verb: "approve" | "deny") => (request: RunActionDecisionRequest, call: CallOptions = {}) => {
    const { runId, actionId, actionDigest, reason, idempotencyKey } = request;
    const body = { actionDigest, reason };
    return http.json<RunEvent>("POST", of(runId, `/actions/${segment(actionId)}/${verb}`), { ...call, ...keyed(idempotencyKey), body });
  };

  const client: AgentRouter & { [openStream]?: OpenStream } = {
    createRun: ({ idempotencyKey, ...body }: CreateRunRequest, call) =>
      http.json("POST", "/v1/runs", { ...call, ...keyed(idempotencyKey), body }),
    listRuns: (request = {}) =>
      http.json("GET", "/v1/runs", { query: listQuery(request), signal: request.signal, timeoutMs: request.timeoutMs }),
    iterateRuns: (request) => iterateRuns(client, request),
    getRun: (runId, call) => http.json("GET", of(runId), call),
    getRunSession: (runId, call) => http.json("GET", of(runId, "/session"), call),
    getRunRecord: (runId, call) => http.json("GET", of(runId, "/record"), call),
    listRunEvents: (runId, { afterSeq, limit, ...call } = {}) =>
      http.json("GET", of(runId, "/events"), { ...call, query: { afterSeq, limit } }),
    cancelRun: (runId, call) => http.json("POST", of(runId, "/cancel"), { ...call, body: {} }),
    listRunArtifacts: (runId, call) => http.json("GET", of(runId, "/artifacts"), call),
    downloadArtifact: (runId, artifactId, call) =>
      http.bytes(of(runId, `/artifacts/${segment(artifactId)}/download`), call),
    streamRun: (runId, request) => streamRun(client, http, runId, request),
    createRunAndWait: async ({ pollIntervalMs, maxWaitMs, onEvent, signal, ...request }: CreateAndWaitRequest) => {
      const run = await client.createRun(request, { signal });
      return waitForRun(client, run.id, { pollIntervalMs, maxWaitMs, onEvent, signal });
    },
    approveRunAction: decide("approve"),
    denyRunAction: decide("deny"),
    continueRun: (runId, message, request) => continueRun(http, runId, message, request),
    getRunTurns: (runId, call) => http.json("GET", of(runId, "/turns"), call),
    closeRun: (runId, call) => closeRun(http, client, runId, call),
    forkRun: (runId, request, call) => http.json("POST", of(runId, "/fork"), { ...call, body: request }),
    listRunFiles: (runId, call) => http.json("GET", of(runId, "/files"), call),
    readRunFile: (runId, path, call) => http.bytes(of(runId, `/files/${path.split("/").map(segment).join("/")}`), call)
  };
  if (options.live !== false) client[openStream] = liveStreams(http);
  return client;
}
