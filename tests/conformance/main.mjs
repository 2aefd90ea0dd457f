// The command line of tools/conformance.
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import "./checks/all.mjs";
import { Session, allChecks } from "./lib/session.mjs";
import { LiveTransport, Recording } from "./lib/transport.mjs";

const usage = `usage: tools/conformance URL KEY [--only PATTERN] [--no-sim] [--json] [--concurrency N] [--seconds N] [--record FILE]
       tools/conformance --list [--only PATTERN] [--no-sim] [--json]

Checks that the server at URL keeps the wire contract. KEY is its API key. Without --no-sim the server must run on the
simulated provider (agentrouter serve --sim). PATTERN is a regular expression over names such as "events/next-after-seq".
--seconds bounds each wait. --record keeps the traffic, for tests/conformance/mutants/matrix.mjs. Prints TAP, one line per check; exits 0 when all hold, 1 when one does not, 2 for wrong usage.
`;

function parse(args) {
  const options = { places: [], concurrency: 24, seconds: 60 };
  for (let i = 0; i < args.length; ++i) {
    const argument = args[i];
    if (["--list", "--json", "--no-sim", "--help"].includes(argument)) options[argument.slice(2)] = true;
    else if (["--only", "--concurrency", "--seconds", "--record"].includes(argument) && i + 1 < args.length) options[argument.slice(2)] = args[++i];
    else if (argument.startsWith("--")) throw new Error(`unknown or incomplete option ${argument}`);
    else options.places.push(argument);
  }
  options.concurrency = Number(options.concurrency);
  options.seconds = Number(options.seconds);
  if (!(options.concurrency >= 1) || !(options.seconds > 0)) throw new Error("--concurrency and --seconds take a number");
  if (!options.list && !options.help && options.places.length !== 2) throw new Error("URL and KEY are needed");
  return options;
}

export function chosen({ only, "no-sim": noSim } = {}) {
  const pattern = new RegExp(only ?? "");
  return allChecks().filter((item) => pattern.test(item.name) && !(noSim && item.sim));
}

function list(items, json) {
  if (json) return console.log(JSON.stringify(items.map(({ name, sentence, sim }) => ({ name, sentence, sim })), null, 1));
  for (const item of items) console.log(`${item.name}${item.sim ? " (simulated provider)" : ""}: ${item.sentence}`);
  console.log(`${items.length} checks`);
}

function printTap(result, number) {
  console.log(`${result.ok ? "ok" : "not ok"} ${number} - ${result.name}: ${result.sentence}`);
  if (!result.ok) console.log(`  ---\n  message: ${JSON.stringify(result.error)}\n  ...`);
}

async function run(options) {
  const [url, key] = options.places;
  const items = chosen(options);
  const recording = options.record ? new Recording() : undefined;
  const session = new Session({ transport: new LiveTransport(url, recording), key, seed: randomUUID().slice(0, 8), seconds: options.seconds });
  const begun = Date.now();
  let number = 0;
  if (!options.json) console.log(`TAP version 13\n1..${items.length}`);
  const results = await session.run(items, { concurrency: options.concurrency, report: (result) => options.json || printTap(result, ++number) });
  await session.tidy();
  if (recording) {
    const { seed, seconds, transport } = session;
    writeFileSync(options.record, JSON.stringify({ key, seed, seconds, authority: transport.authority, recording, results }));
  }
  const failed = results.filter((result) => !result.ok).length;
  const seconds = (Date.now() - begun) / 1000;
  if (options.json) console.log(JSON.stringify({ url, checks: results.length, failed, seconds, results }, null, 1));
  else console.log(`# ${results.length - failed} of ${results.length} checks hold, ${seconds.toFixed(1)} s`);
  process.exitCode = failed || !results.length ? 1 : 0;
}

export async function main(args) {
  let options;
  try {
    options = parse(args);
    if (options.help) return void process.stdout.write(usage);
    if (options.list) return list(chosen(options), options.json);
    new URL(options.places[0]);
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exitCode = 2;
    return;
  }
  await run(options);
}
