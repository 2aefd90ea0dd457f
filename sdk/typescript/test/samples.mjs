// Are the samples of a readme those of test/samples, to the letter, and do they run?
//
//   AGENTROUTER_API_BASE_URL=... AGENTROUTER_API_KEY=... node sdk/typescript/test/samples.mjs README
//
// README is any text with TypeScript in it. What stands between `//#region sample` and `//#endregion` of each program must
// be in it as it is, and nothing that looks like code may be left then. The programs are compiled strictly in a new project
// with the packed package and run on a server that has the simulated provider. Exits 1 when anything fails.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Project, root } from "./support/project.mjs";

const CODE = /^\s*(import .* from |export |const |let |await |for await|try \{|for \(|if \(|codex\(|claudeCode\(|console\.|\w+\.\w+(\.\w+)*;)/;

/** What is wrong between the readme and the programs. */
export function compare(readme, programs) {
  const problems = [];
  let rest = readme.replace(/\r\n/g, "\n");
  for (const [name, source] of programs) {
    const sample = source.split("//#region sample\n")[1]?.split("//#endregion")[0].trimEnd();
    if (!sample) problems.push(`${name} has no sample`);
    else if (!rest.includes(sample)) problems.push(`the sample of ${name} is not in the readme`);
    else rest = rest.replace(sample, () => "");
  }
  for (const line of rest.split("\n")) if (CODE.test(line)) problems.push(`no program has this line of the readme: ${line}`);
  return problems;
}

async function run(names) {
  const tidy = [];
  try {
    const project = await Project.create({ after: (work) => tidy.push(work) }, "test/samples");
    const said = await project.check("nodenext", ["test/samples"], "out");
    if (said) return [said];
    const redirect = join(root, "test/e2e/redirect.mjs");
    const one = async (name) => {
      const { code, stdout, stderr } = await project.node(["--import", redirect, `out/test/samples/${name}.js`]);
      console.log(`${code === 0 ? "ok" : "not ok"} ${name}: ${JSON.stringify(stdout.slice(-200))}`);
      return code === 0 ? [] : [`${name} exits with ${code}: ${stderr}`];
    };
    return (await Promise.all(names.map(one))).flat();
  } finally {
    for (const work of tidy) work();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [path] = process.argv.slice(2);
  if (!path || !process.env.AGENTROUTER_API_BASE_URL) {
    console.error("usage: AGENTROUTER_API_BASE_URL=... AGENTROUTER_API_KEY=... samples.mjs README");
    process.exit(2);
  }
  const folder = join(root, "test/samples");
  const names = readdirSync(folder).sort();
  const problems = compare(readFileSync(path, "utf8"), names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
  problems.push(...(await run(names.map((name) => name.replace(/\.ts$/, "")))));
  for (const problem of problems) console.log(`problem: ${problem}`);
  console.log(`${names.length} samples, ${problems.length} problems`);
  process.exitCode = problems.length ? 1 : 0;
}
