import { AgentRouterError } from "./error.js";
import { LiveConnection, type Ending, type OpenStream } from "./live.js";
import { backoff, reasonOf, sleep, within } from "./timing.js";
import type { AgentRouterClient } from "./calls.js";
import type { WaitOptions } from "./requests.js";
import type { RunEvent } from "./types.js";

const TERMINAL = new Set(["completed", "failed", "cancelled"]);
const TERMINAL_EVENTS = new Set(["run.completed", "run.failed", "run.cancelled"]);
/** Events kept for readers that are a little behind. Readers that are further behind ask the server. */
const KEPT = 256;
const PAGE = 500;
/** Connections in a row that brought no event, after which the server is polled: known to stream, or not. */
const MOST_FAILURES = 8;
const MOST_FAILURES_AT_FIRST = 2;

/** How a feed asks its server. Without `open`, or once that has failed for good, it polls. */
export interface FeedSource extends Pick<AgentRouterClient, "listRunEvents" | "getRun"> {
  open?: OpenStream;
}

/**
 * The events of one run for any number of readers, each at its own pace, over one connection.
 *
 * The connection is a held stream where the server offers one, else polling: a page of events, then the run, which has
 * ended when its status is terminal and everything up to its `lastEventSeq` was seen. A held stream that breaks is
 * resumed behind the last event. Nothing is fetched unless some reader has seen everything, and nothing is held open
 * without a reader.
 */
export class Feed {
  #done = false;
  /** All events after #dropped up to #head, in order. */
  #kept: RunEvent[] = [];
  #dropped: number;
  #head: number;
  #readers = 0;
  #step: Promise<void> | undefined;
  #stop = new AbortController();
  #live: boolean;
  #knownLive = false;
  #connection: LiveConnection | undefined;
  #failures = 0;
  #look: "events" | "run" = "events";
  #emptyPage = false;

  constructor(
    readonly source: FeedSource,
    readonly runId: string,
    readonly afterSeq: number,
    readonly options: WaitOptions = {},
    readonly startedAt = Date.now()
  ) {
    this.#dropped = this.#head = afterSeq;
    this.#live = source.open !== undefined;
  }

  /** Every event after `afterSeq` until the run has ended. Throws `wait_timeout` after `maxWaitMs`. */
  async *read(): AsyncGenerator<RunEvent, void, undefined> {
    let seen = this.afterSeq;
    let deadline = this.#deadline();
    this.#readers++;
    try {
      for (;;) {
        if (seen < this.#dropped) {
          const page = await this.#page(seen, this.options.signal);
          for (const event of page) {
            seen = event.sequence;
            yield this.#checked(event);
          }
          if (page.length === 0) await sleep(this.#interval(), this.options.signal);
          continue;
        }
        const event = this.#after(seen);
        if (event) {
          seen = event.sequence;
          yield this.#checked(event);
          continue;
        }
        if (this.#done) return;
        if (await this.#progress(deadline)) continue;
        for (const late of await this.#page(seen, this.options.signal)) {
          seen = late.sequence;
          yield this.#checked(late);
        }
        deadline = await this.#lastLook();
      }
    } finally {
      this.#leave();
    }
  }

  /** Waits for the end without handing out events. Throws as read() does. */
  async end(): Promise<void> {
    let deadline = this.#deadline();
    this.#readers++;
    try {
      while (!this.#done) {
        if (!(await this.#progress(deadline))) deadline = await this.#lastLook();
      }
    } finally {
      this.#leave();
    }
  }

  #deadline(): number {
    return this.startedAt + (this.options.maxWaitMs ?? 600_000);
  }

  #interval(): number {
    return this.options.pollIntervalMs ?? 1000;
  }

  /** An aborted reader gets no more events, even of those at hand. */
  #checked(event: RunEvent): RunEvent {
    if (this.options.signal?.aborted) throw reasonOf(this.options.signal);
    return event;
  }

  #after(sequence: number): RunEvent | undefined {
    let low = 0;
    for (let high = this.#kept.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (this.#kept[middle]!.sequence <= sequence) low = middle + 1;
      else high = middle;
    }
    return this.#kept[low];
  }

  async #page(afterSeq: number, signal?: AbortSignal): Promise<RunEvent[]> {
    return (await this.source.listRunEvents(this.runId, { afterSeq, limit: PAGE, signal })).items;
  }

  /** False when the deadline came first. One step serves all readers that wait. */
  async #progress(deadline: number): Promise<boolean> {
    if (!this.#step) {
      const step = this.#advance(this.#stop.signal);
      this.#step = step;
      const finished = (): void => {
        if (this.#step === step) this.#step = undefined;
      };
      step.then(finished, finished);
    }
    const progressed = this.#step.then(() => true);
    return (await within(progressed, Math.max(deadline - Date.now(), 0), this.options.signal)) ?? false;
  }

  /** A run that has ended is read to its end, however late; else the wait is over. */
  async #lastLook(): Promise<number> {
    const { status } = await this.source.getRun(this.runId, { signal: this.options.signal });
    if (TERMINAL.has(status)) return Infinity;
    throw new AgentRouterError("wait_timeout", `Run ${this.runId} did not end in time`, { runId: this.runId, status });
  }

  #leave(): void {
    if (--this.#readers > 0) return;
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#disconnect();
    this.#step = undefined;
  }

  #disconnect(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** Until there is at least one more event, or the run has ended. After `stop` it touches nothing and throws. */
  async #advance(stop: AbortSignal): Promise<void> {
    const before = this.#head;
    while (!this.#done && this.#head === before) await (this.#live ? this.#stream(stop) : this.#poll(stop));
  }

  async #stream(stop: AbortSignal): Promise<void> {
    if (!this.#connection) {
      const opened = await this.source.open!(this.runId, this.#head, stop);
      if (!(opened instanceof LiveConnection)) return this.#ended(opened, stop);
      if (stop.aborted) opened.close();
      stop.throwIfAborted();
      this.#connection = opened;
    }
    const connection = this.#connection;
    const got = await connection.read();
    stop.throwIfAborted();
    this.#knownLive ||= connection.live;
    if (!Array.isArray(got)) {
      this.#connection = undefined;
      return this.#ended(got, stop);
    }
    const fresh: RunEvent[] = [];
    for (const event of got) {
      const expected = this.#head + fresh.length + 1;
      if (event.sequence === expected) fresh.push(event);
      // A gap is never handed out: what is missing is asked for again.
      if (event.sequence > expected) {
        this.#append(fresh);
        this.#disconnect();
        return this.#ended({ why: "cut" }, stop);
      }
    }
    this.#append(fresh);
    if (fresh.some((event) => TERMINAL_EVENTS.has(event.type))) {
      this.#disconnect();
      this.#pollFrom("run");
    }
  }

  async #ended(ending: Ending, stop: AbortSignal): Promise<void> {
    stop.throwIfAborted();
    if (ending.why === "ended") return this.#pollFrom("run");
    if (ending.why === "batch" && !this.#knownLive) return this.#pollFrom("events");
    this.#failures++;
    if (this.#failures >= (this.#knownLive ? MOST_FAILURES : MOST_FAILURES_AT_FIRST)) return this.#pollFrom("events");
    await sleep(Math.min(ending.retryAfter ?? backoff(this.#failures - 1, 250, 5000), 60_000), stop);
  }

  #pollFrom(look: "events" | "run"): void {
    this.#live = false;
    this.#look = look;
  }

  async #poll(stop: AbortSignal): Promise<void> {
    if (this.#look === "events") {
      const items = await this.#page(this.#head, stop);
      stop.throwIfAborted();
      this.#emptyPage = items.length === 0;
      this.#look = "run";
      this.#append(items);
      if (items.length > 0) return;
    }
    const run = await this.source.getRun(this.runId, { signal: stop });
    stop.throwIfAborted();
    this.#look = "events";
    const terminal = TERMINAL.has(run.status);
    if (terminal && this.#head >= run.lastEventSeq) this.#done = true;
    else if (!terminal || this.#emptyPage) await sleep(this.#interval(), stop);
  }

  /** What was kept before is cut first: a reader that has seen everything finds all of `events`. */
  #append(events: RunEvent[]): void {
    if (events.length === 0) return;
    this.#failures = 0;
    const cut = this.#kept.length - KEPT;
    if (cut > 0) this.#dropped = this.#kept.splice(0, cut)[cut - 1]!.sequence;
    this.#kept.push(...events);
    this.#head = events[events.length - 1]!.sequence;
  }
}
