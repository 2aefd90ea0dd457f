import { AgentRouterError } from "./error.js";
import { Feed, type FeedSource } from "./feed.js";
import { eventOf, liveStreams, type OpenStream } from "./live.js";
import { FrameParser } from "./sse.js";
import { sleep } from "./timing.js";
import { transport, type Call, type Transport } from "./transport.js";
import type { AgentRouter, AgentRouterClient } from "./calls.js";
import type {
  AgentRouterOptions,
  CallOptions,
  ContinueRunOptions,
  CreateAndWaitRequest,
  CreateRunRequest,
  ListRunsRequest,
  RunActionDecisionRequest,
  StreamRunOptions,
  WaitOptions
} from "./requests.js";
import type { CloseRunResult, ContinueRunResult, Run, RunEvent, RunSession } from "./types.js";

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

type Query = NonNullable<Call["query"]>;
const segment = encodeURIComponent;

/** Repeats `turn` for as long as it asks for it and `limit` allows. */
async function repeatFor<T>(limit: number, signal: AbortSignal | undefined, turn: (last: boolean) => Promise<T | undefined>) {
  const startedAt = Date.now();
  for (let n = 1; ; n++) {
    const result = await turn(Date.now() - startedAt >= limit);
    if (result !== undefined) return result;
    await sleep(Math.min(250 * n, 1000), signal);
  }
}

function continueRun(http: Transport, runId: string, message: string, options: ContinueRunOptions = {}) {
  const { approvalMode, ...call } = options;
  const request = { ...call, body: { message, approvalMode } };
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
  const text = await http.send("GET", `/v1/runs/${segment(runId)}/stream`, { query: { afterSeq }, signal }, (response) => response.text());
  return new FrameParser().push(text).map(eventOf).filter((event) => event !== undefined);
}

async function* streamRun(client: AgentRouterClient, http: Transport, runId: string, options: StreamRunOptions = {}) {
  if (options.follow === false) yield* await batch(http, runId, options);
  else yield* new Feed(sourceOf(client), runId, options.afterSeq ?? 0, { signal: options.signal, maxWaitMs: Infinity }).read();
}

/** Options of a call, and everything else as its query. */
const asked = ({ signal, timeoutMs, ...query }: CallOptions = {}): Call => ({ signal, timeoutMs, query: query as Query });

function listed({ tags = {}, limit, ...filters }: ListRunsRequest = {}): Call {
  const query: Query = { ...(filters as Query), limit: limit || undefined };
  for (const [key, value] of Object.entries(tags)) query[`tag.${key}`] = value;
  return asked(query as CallOptions);
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
  const keys = "/v1/keys";
  const workspaces = "/v1/workspaces";
  const of = (runId: string, rest = ""): string => `/v1/runs/${segment(runId)}${rest}`;
  const get = <T>(rest: string) => (runId: string, options?: CallOptions): Promise<T> => http.json("GET", of(runId, rest), asked(options));
  const decide = (verb: "approve" | "deny") => (request: RunActionDecisionRequest, call: CallOptions = {}) => {
    const { runId, actionId, actionDigest, reason, idempotencyKey } = request;
    return http.json<RunEvent>("POST", of(runId, `/actions/${segment(actionId)}/${verb}`), { ...call, idempotencyKey, body: { actionDigest, reason } });
  };

  const client: AgentRouter & { [openStream]?: OpenStream } = {
    createRun: ({ idempotencyKey, ...body }: CreateRunRequest, call) =>
      http.json("POST", "/v1/runs", { ...call, idempotencyKey, body }),
    listRuns: (request) => http.json("GET", "/v1/runs", listed(request)),
    iterateRuns: (request) => iterateRuns(client, request),
    getRun: get(""),
    getRunSession: get("/session"),
    getRunRecord: get("/record"),
    listRunEvents: get("/events"),
    cancelRun: (runId, call) => http.json("POST", of(runId, "/cancel"), { ...call, body: {} }),
    listRunArtifacts: get("/artifacts"),
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
    getRunTurns: get("/turns"),
    closeRun: (runId, call) => closeRun(http, client, runId, call),
    deleteRun: (runId, call = {}) => http.send("DELETE", of(runId), call, async () => {}),
    forkRun: (runId, body, options) => http.json("POST", of(runId, "/fork"), { ...options, body }),
    // How long an upload takes depends on its size: without a time of the caller's there is no limit.
    upload: (archive, call) =>
      http.json("POST", "/v1/uploads", { timeoutMs: 0, ...call, bytes: archive, repeatable: true }),
    listRunFiles: get("/files"),
    readRunFile: (runId, path, options) =>
      http.bytes(of(runId, `/files/${path.split("/").map(segment).join("/")}`), asked(options)),
    readRunLog: (runId, log, options) => http.bytes(of(runId, `/logs/${segment(log)}`), asked(options)),
    downloadWorkspace: (runId, options) => http.bytes(of(runId, "/archive"), asked(options)),
    pushRun: (runId, body, call) => http.json("POST", of(runId, "/push"), { ...call, body, repeatable: true }),
    listKeys: (options) => http.json("GET", keys, asked(options)),
    createKey: (body, call) => http.json("POST", keys, { ...call, body }),
    revokeKey: (keyId, call) => http.json("DELETE", `${keys}/${segment(keyId)}`, call),
    rotateKey: (keyId, body = {}, call = {}) => http.json("POST", `${keys}/${segment(keyId)}/rotate`, { ...call, body }),
    listWorkspaces: (options) => http.json("GET", workspaces, asked(options)),
    createWorkspace: (body, call) => http.json("POST", workspaces, { ...call, body })
  };
  if (options.live !== false) client[openStream] = liveStreams(http);
  return client;
}
