import { FrameParser, type Frame } from "./sse.js";
import { linked, within } from "./timing.js";
import { retryAfterOf, type Transport } from "./transport.js";
import type { RunEvent } from "./types.js";

/** The first bytes of a held stream come at once, and a heartbeat every 10 s: longer silences mean a dead connection. */
const FIRST_BYTES_MS = 5_000;
const SILENCE_MS = 30_000;

/**
 * Why a connection gave no more: `ended` (the run has, and everything was sent), `cut` (a server that streams; connect
 * again), `batch` (a server that does not hold streams open), `unavailable` (try later).
 */
export type Ending = { why: "ended" | "cut" | "batch" | "unavailable"; retryAfter?: number };

/** Opens the stream of a run behind `afterSeq`. */
export type OpenStream = (runId: string, afterSeq: number, signal: AbortSignal) => Promise<LiveConnection | Ending>;

/** Throws for a complete frame that is no event: what follows cannot be trusted either. */
export function eventOf(frame: Frame): RunEvent | undefined {
  // Deltas and heartbeats are no events and have no number.
  if (frame.data === undefined || frame.event === "heartbeat" || frame.event === "delta") return undefined;
  try {
    const event = JSON.parse(frame.data) as RunEvent;
    if (Number.isSafeInteger(event.sequence) && typeof event.type === "string") return event;
  } catch {
    // Said below.
  }
  throw new Error("A frame of the event stream is not an event");
}

/** One connection. Bytes are read only when asked for, so that a slow reader slows the server down. */
export class LiveConnection {
  #parser = new FrameParser();
  #decoder = new TextDecoder();
  #reader: ReadableStreamDefaultReader<Uint8Array>;
  #close: () => void;
  #quiet = true;

  constructor(body: ReadableStream<Uint8Array>, close: () => void) {
    this.#reader = body.getReader();
    this.#close = close;
  }

  /** Whether the server has shown that it holds streams open. */
  get live(): boolean {
    return this.#parser.live;
  }

  /** Events of the next bytes, or why there are no more. Any failure of the network is an ending. */
  async read(): Promise<RunEvent[] | Ending> {
    try {
      const next = await within(this.#reader.read(), this.#quiet ? FIRST_BYTES_MS : SILENCE_MS);
      if (next && !next.done) {
        this.#quiet = false;
        const frames = this.#parser.push(this.#decoder.decode(next.value, { stream: true }));
        return frames.map(eventOf).filter((event) => event !== undefined);
      }
    } catch {
      // Cut, or garbage: where to go on is known either way.
    }
    this.close();
    return { why: this.#parser.live ? "cut" : "batch" };
  }

  close(): void {
    this.#reader.cancel().catch(() => {});
    this.#close();
  }
}

export function liveStreams(http: Transport): OpenStream {
  return async (runId, afterSeq, signal) => {
    const { controller, release } = linked(signal);
    const close = (): void => {
      release();
      controller.abort();
    };
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (afterSeq > 0) headers["last-event-id"] = String(afterSeq);
    const path = `/v1/runs/${encodeURIComponent(runId)}/stream`;
    let ending: Ending = { why: "unavailable" };
    try {
      const call = http.open(path, { query: { afterSeq }, headers, signal: controller.signal });
      const response = await within(call, FIRST_BYTES_MS, controller.signal);
      if (response) {
        const streams = response.headers?.get("content-type")?.startsWith("text/event-stream");
        if (response.ok && streams && response.body) return new LiveConnection(response.body, close);
        const passing = response.status === 429 || response.status >= 500;
        const why = response.status === 204 ? "ended" : passing ? "unavailable" : "batch";
        ending = { why, retryAfter: retryAfterOf(response) };
      }
    } catch {
      // No connection.
    }
    close();
    return ending;
  };
}
