// Shows that every check can fail: runs the checks once per mutant against recorded traffic, each answer changed as the
// mutant would have changed it.
//
//   tools/conformance URL KEY --record FILE
//   node tests/conformance/mutants/matrix.mjs FILE [--only PATTERN] [--every N] [--json FILE]
//
// Fails when a check does not hold on the recording, when no mutant makes it fail, when a mutant is not noticed, or when
// one breaks so much (over a third of the checks) that failing against it says little. With --every N only each Nth mutant
// is tried, or with --only those of a name, and then it is not asked whether each check has one. Only a check's own expectations
// count: one that could not begin because what it stands on broke has not failed. The mutants of live.json lead to
// requests that no recording has; a check of each is run against them as servers.
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import "../checks/all.mjs";
import { rewriteRecorded } from "../lib/rewrite.mjs";
import { Session, allChecks } from "../lib/session.mjs";
import { Recording, ReplayTransport } from "../lib/transport.mjs";
import { mutants } from "./all.mjs";

const live = JSON.parse(readFileSync(new URL("live.json", import.meta.url), "utf8"));

function parse(args) {
  const options = { places: [], every: 1 };
  for (let i = 0; i < args.length; ++i) {
    if (args[i] === "--json") options.json = args[++i];
    else if (args[i] === "--only") options.only = args[++i];
    else if (args[i] === "--every") options.every = Number(args[++i]);
    else options.places.push(args[i]);
  }
  if (options.places.length !== 1 || !(options.every >= 1)) throw new Error("usage: matrix.mjs FILE [--only PATTERN] [--every N] [--json FILE]");
  return options;
}

const failures = (results) => results.filter((result) => !result.ok);

function replay({ recording, authority, key, seed, seconds, checks }, rewrite) {
  const session = new Session({ transport: new ReplayTransport(recording, authority, rewrite), key, seed, seconds });
  return session.run(checks, { concurrency: 8 });
}

function load(path) {
  const file = JSON.parse(readFileSync(path, "utf8"));
  const names = new Set(file.results.map((result) => result.name));
  return { ...file, recording: Recording.from(file.recording), checks: allChecks().filter((check) => names.has(check.name)) };
}

// Which checks each mutant breaks, by their own expectations: [mutant, checks].
async function killed(recorded, names) {
  const rows = [];
  for (const name of names) {
    const results = await replay(recorded, rewriteRecorded(mutants[name]));
    rows.push([name, failures(results).filter((result) => !result.blocked && !result.diverged).map((result) => result.name)]);
  }
  return rows;
}

// The same by as many threads as there are processors, in the order of `names`.
async function killedByAll(path, names) {
  const threads = cpus().length;
  const shares = Array.from({ length: threads }, (_, i) => names.filter((_, place) => place % threads === i));
  const one = (share) => new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { path, names: share } });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  const found = new Map((await Promise.all(shares.map(one))).flat());
  return new Map(names.map((name) => [name, found.get(name)]));
}

// A recording of some checks only cannot show that every mutant is noticed.
function judge(matrix, checks, { everyMutant }) {
  const total = checks.length;
  const whole = total === allChecks().length;
  const problems = [];
  const caught = new Set([...matrix.values()].flat());
  for (const [name, broken] of matrix) {
    if (whole && !broken.length && !(name in live)) problems.push(`no check notices the mutant ${name}`);
    if (broken.length > total / 3) problems.push(`the mutant ${name} breaks ${broken.length} of ${total} checks: that is not one thing`);
  }
  if (everyMutant) for (const { name } of checks) if (!caught.has(name)) problems.push(`no mutant makes the check ${name} fail`);
  return problems;
}

async function main(args) {
  const options = parse(args);
  const [path] = options.places;
  const recorded = load(path);
  const begun = Date.now();
  const problems = [];
  for (const [what, rewrite] of [["the recording", (request, pieces) => pieces], ["a proxy that changes nothing", rewriteRecorded({})]]) {
    for (const result of failures(await replay(recorded, rewrite))) problems.push(`${result.name} does not hold on ${what}: ${result.error}`);
  }
  const chosen = Object.keys(mutants).filter((name) => new RegExp(options.only ?? "").test(name));
  const matrix = await killedByAll(path, chosen.filter((_, place) => place % options.every === 0));
  problems.push(...judge(matrix, recorded.checks, { everyMutant: !options.only && options.every === 1 }));
  if (options.json) writeFileSync(options.json, JSON.stringify(Object.fromEntries(matrix), null, 1));
  for (const [name, checks] of matrix) console.log(`${String(checks.length).padStart(4)}  ${name}`);
  for (const problem of problems) console.log(`problem: ${problem}`);
  console.log(`${recorded.checks.length} checks, ${matrix.size} mutants, ${((Date.now() - begun) / 1000).toFixed(1)} s; ${problems.length} problems`);
  process.exitCode = problems.length ? 1 : 0;
}

if (isMainThread) await main(process.argv.slice(2));
else parentPort.postMessage(await killed(load(workerData.path), workerData.names));
