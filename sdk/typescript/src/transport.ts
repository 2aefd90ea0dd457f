import { AgentRouterError, errorOf } from "./error.js";
import { backoff, linked, reasonOf, sleep } from "./timing.js";
import type { AgentRouterOptions, CallOptions } from "./requests.js";

const RETRIED = new Set([408, 429, 502, 503, 504]);
const LONGEST_PAUSE_MS = 60_000;

export interface Call extends CallOptions {
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  /** Instead of `body`: as they are. */
  bytes?: Blob | ArrayBuffer | Uint8Array;
  headers?: Record<string, string>;
  idempotencyKey?: string;
  /** Whether the request may be sent again. Default: what is no POST, and what has a key. */
  repeatable?: boolean;
}

/** Calls `touch` with each sign of life, which starts the timeout anew. */
type Reader<T> = (response: Response, touch: () => void) => Promise<T>;

export interface Transport {
  /** Sends until there is an answer that stands, and reads it. Throws AgentRouterError for any that is not 2xx. */
  send<T>(method: string, path: string, call: Call, read: Reader<T>): Promise<T>;
  json<T>(method: string, path: string, call?: Call): Promise<T>;
  bytes(path: string, call?: Call): Promise<ArrayBuffer>;
  /** One try, whatever its status; only `signal` bounds it. */
  open(path: string, call: Call): Promise<Response>;
}

/** Milliseconds that a reply asks to wait, or undefined. */
export function retryAfterOf(response: Response): number | undefined {
  const value = response.headers?.get("retry-after")?.trim();
  if (!value) return undefined;
  const milliseconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(milliseconds) ? Math.max(milliseconds, 0) : undefined;
}

async function readJson<T>(response: Response): Promise<T> {
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new AgentRouterError("api_error", "AgentRouter API error", { reason: error.message }, response.status);
  }
}

async function readBytes(response: Response, touch: () => void): Promise<ArrayBuffer> {
  if (!response.body) return response.arrayBuffer();
  const reader = response.body.getReader();
  const pieces: BlobPart[] = [];
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    touch();
    pieces.push(next.value);
  }
  return new Blob(pieces).arrayBuffer();
}

export function transport(options: AgentRouterOptions): Transport {
  const base = (options.baseUrl ?? "http://127.0.0.1:8787").replace(/\/+$/, "");
  const call: typeof fetch = options.fetchImpl ?? ((input, init) => fetch(input, init));
  const maxRetries = options.maxRetries ?? 3;

  function headersOf(request: Call): Record<string, string> {
    const headers: Record<string, string> = { authorization: `Bearer ${options.apiKey}` };
    const add = (more: Record<string, string> = {}): void => {
      for (const [name, value] of Object.entries(more)) headers[name.toLowerCase()] = value;
    };
    if (options.workspaceId) add({ "x-workspace-id": options.workspaceId });
    add(options.defaultHeaders);
    if (request.body !== undefined) add({ "content-type": "application/json" });
    if (request.bytes !== undefined) add({ "content-type": "application/octet-stream" });
    add(request.headers);
    if (request.idempotencyKey) add({ "idempotency-key": request.idempotencyKey });
    return headers;
  }

  function urlOf(path: string, query: Call["query"] = {}): string {
    const pairs = Object.entries(query).filter((pair): pair is [string, string | number | true] => pair[1] !== undefined && pair[1] !== false);
    const text = pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join("&");
    return base + path + (text && `?${text}`);
  }

  function fetchOnce(method: string, path: string, request: Call, signal?: AbortSignal): Promise<Response> {
    const init: RequestInit = { method, headers: headersOf(request) };
    const body = (request.bytes ?? JSON.stringify(request.body)) as RequestInit["body"];
    if (body !== undefined) init.body = body;
    if (signal) init.signal = signal;
    return call(urlOf(path, request.query), init);
  }

  /** One try: what came back, or how long the server wants to be left alone. */
  async function attempt<T>(method: string, path: string, request: Call, read: Reader<T>) {
    const { controller, release } = linked(request.signal);
    const limit = request.timeoutMs ?? options.timeoutMs ?? 60_000;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const touch = (): void => {
      clearTimeout(timer);
      if (limit <= 0 || limit >= 2 ** 31) return;
      const details = { timeoutMs: limit };
      const late = new AgentRouterError("request_timeout", `No answer to ${method} ${path} in ${limit} ms`, details);
      timer = setTimeout(() => controller.abort(late), limit);
    };
    // A fetch of the user's may know nothing of signals: the call ends all the same.
    const aborted = new Promise<never>((_, reject) => {
      controller.signal.addEventListener("abort", () => reject(reasonOf(controller.signal)), { once: true });
    });
    aborted.catch(() => {});
    try {
      touch();
      if (controller.signal.aborted) throw reasonOf(controller.signal);
      const answer = async (): Promise<{ value: T } | { error: AgentRouterError; retryAfter?: number }> => {
        const response = await fetchOnce(method, path, request, controller.signal);
        if (response.ok) return { value: await read(response, touch) };
        return { error: await errorOf(response), retryAfter: retryAfterOf(response) };
      };
      return await Promise.race([answer(), aborted]);
    } catch (error) {
      throw controller.signal.aborted ? reasonOf(controller.signal) : error;
    } finally {
      clearTimeout(timer);
      release();
    }
  }

  async function send<T>(method: string, path: string, request: Call, read: Reader<T>): Promise<T> {
    const repeatable = request.repeatable ?? (method !== "POST" || request.idempotencyKey);
    for (let n = 0; ; n++) {
      const last = !repeatable || n >= maxRetries;
      let pause = backoff(n);
      try {
        const outcome = await attempt(method, path, request, read);
        if ("value" in outcome) return outcome.value;
        const { error, retryAfter } = outcome;
        // What passes by itself says when; nobody wants to wait for hours.
        if (last || !(retryAfter || RETRIED.has(error.statusCode as number)) || Number(retryAfter) > LONGEST_PAUSE_MS) throw error;
        pause = retryAfter ?? pause;
      } catch (error) {
        const timedOut = error instanceof AgentRouterError && error.code === "request_timeout";
        // What the server or the caller said stands; what the network said may pass.
        if (last || request.signal?.aborted || (error instanceof AgentRouterError && !timedOut)) throw error;
      }
      await sleep(pause, request.signal);
    }
  }

  return {
    send,
    json: (method, path, request = {}) => send(method, path, request, (response) => readJson(response)),
    bytes: (path, request = {}) => send("GET", path, request, readBytes),
    open: (path, request) => fetchOnce("GET", path, request, request.signal)
  };
}
