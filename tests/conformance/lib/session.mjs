// One pass of checks over one transport.
import { Blocked, Context, Diverged } from "./context.mjs";

const checks = [];
const fixtures = new Map();

// A check: its name (`area/what`), the sentence of the contract that it tests, and how. `sim: false` means that
// it does not need the simulated provider.
export function check(name, sentence, run, { sim = true } = {}) {
  if (checks.some((other) => other.name === name)) throw new Error(`two checks are called ${name}`);
  checks.push({ name, sentence, run, sim, area: name.split("/")[0] });
}

// What several checks look at; made once in a pass, by the first that asks.
export function fixture(name, run) {
  fixtures.set(name, run);
}

export const allChecks = () => checks;

export class Session {
  constructor({ transport, key, seed, seconds = 60 }) {
    Object.assign(this, { transport, key, seed, seconds, made: new Map(), created: new Set() });
  }

  fixture(name) {
    if (!this.made.has(name)) this.made.set(name, this.make(name));
    return this.made.get(name);
  }

  async make(name) {
    const context = new Context(`fixture:${name}`, this);
    try {
      return await fixtures.get(name)(context);
    } catch (error) {
      throw new Blocked(`fixture ${name}: ${error.message}`);
    } finally {
      context.finish();
    }
  }

  async one(item) {
    const context = new Context(item.name, this);
    const begun = Date.now();
    const result = { name: item.name, sentence: item.sentence, ok: true };
    try {
      await item.run(context);
    } catch (error) {
      result.ok = false;
      result.error = error.message || String(error);
      if (!error.message || error instanceof TypeError) result.error = error.stack;
      result.blocked = error instanceof Blocked;
      result.diverged = error instanceof Diverged;
    } finally {
      context.finish();
    }
    result.ms = Date.now() - begun;
    return result;
  }

  // Runs `items`, at most `concurrency` at once; `report(result)` is called in their order.
  async run(items, { concurrency = 24, report = () => {} } = {}) {
    const results = new Array(items.length);
    let next = 0;
    let told = 0;
    const lane = async () => {
      while (next < items.length) {
        const index = next++;
        results[index] = await this.one(items[index]);
        while (told < items.length && results[told]) report(results[told++]);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, lane));
    return results;
  }

  // Cancels what checks left active.
  async tidy() {
    const context = new Context("tidy", this);
    for (const id of this.created) {
      try {
        await context.post(`/v1/runs/${id}/cancel`, {});
      } catch {
        // The server may have gone: nothing is left to tidy then.
      }
    }
    context.finish();
  }
}
