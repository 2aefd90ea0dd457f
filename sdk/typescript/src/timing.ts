// Waiting that a signal can end. Nothing here outlives its promise: timers and listeners are removed.

/** What an aborted signal is thrown as. */
export const reasonOf = (signal: AbortSignal): unknown => signal.reason ?? new DOMException("Aborted", "AbortError");

/** Whichever comes first: `work`, `milliseconds` (gives undefined), or `signal` (throws its reason). */
export function within<T>(work: Promise<T>, milliseconds: number, signal?: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => settle(() => reject(reasonOf(signal!)));
    // setTimeout takes at most 2^31-1 ms: a longer wait is no bound.
    const timer = milliseconds < 2 ** 31 ? setTimeout(() => settle(() => resolve(undefined)), milliseconds) : undefined;
    const settle = (then: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      then();
    };
    work.then((value) => settle(() => resolve(value)), (error) => settle(() => reject(error)));
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}

export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  await within(new Promise<never>(() => {}), milliseconds, signal);
}

/** A controller that is aborted with `signals`, and a way to let go of them. */
export function linked(...signals: (AbortSignal | undefined)[]): { controller: AbortController; release: () => void } {
  const controller = new AbortController();
  const undo: (() => void)[] = [];
  for (const signal of signals) {
    if (!signal) continue;
    const onAbort = (): void => controller.abort(reasonOf(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    undo.push(() => signal.removeEventListener("abort", onAbort));
  }
  return { controller, release: () => undo.forEach((step) => step()) };
}

/** The pause before try `n` (from 0): doubled each time, between half and all of it, at most `most`. */
export const backoff = (n: number, first = 250, most = 8000): number =>
  Math.min(first * 2 ** n, most) * (0.5 + Math.random() / 2);
