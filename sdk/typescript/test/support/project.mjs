// A new project, as a user would make it: the packed package is installed into it, and TypeScript checks it strictly.
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** Ends with the exit code, stdout and stderr of a program, whatever the code is. */
export function execute(program, args, options = {}) {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: 120_000, maxBuffer: 1 << 26, ...options }, (error, stdout, stderr) => {
      if (error && typeof error.code !== "number") reject(error);
      else resolve({ code: error?.code ?? 0, stdout, stderr });
    });
  });
}

async function must(program, args, options) {
  const done = await execute(program, args, options);
  if (done.code !== 0) throw new Error(`${program} ${args.join(" ")}: ${done.code}\n${done.stdout}\n${done.stderr}`);
  return done.stdout;
}

const OPTIONS = {
  strict: true,
  target: "ES2022",
  lib: ["ES2022"],
  typeRoots: [join(root, "node_modules/@types")],
  types: ["node"],
  skipLibCheck: false,
  noUnusedLocals: false,
  sourceMap: true
};
const MODES = { bundler: { module: "ESNext", moduleResolution: "bundler" }, nodenext: { module: "NodeNext" } };

export class Project {
  constructor(folder) {
    this.folder = folder;
  }

  /** Packs, makes a folder, installs. `sources` are folders of the SDK that are copied into the project. */
  static async create(t, ...sources) {
    const project = new Project(realpathSync(mkdtempSync(join(tmpdir(), "agentrouter-ts-"))));
    t.after(() => rmSync(project.folder, { recursive: true, force: true }));
    const [packed] = JSON.parse(await must("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", project.folder], { cwd: root }));
    project.files = packed.files.map((file) => file.path);
    writeFileSync(join(project.folder, "package.json"), '{"name":"project","version":"1.0.0","private":true,"type":"module"}');
    const install = ["install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", join(project.folder, packed.filename)];
    await must("npm", install, { cwd: project.folder });
    for (const source of sources) cpSync(join(root, source), join(project.folder, source), { recursive: true });
    return project;
  }

  /** Compiles the sources named by `include`; gives the compiler's messages, empty when all is well. */
  async check(mode, include, outDir) {
    const emit = outDir ? { outDir, rootDir: "." } : { noEmit: true };
    const config = { compilerOptions: { ...OPTIONS, ...MODES[mode], ...emit }, include };
    const file = join(this.folder, `tsconfig.${mode}.json`);
    writeFileSync(file, JSON.stringify(config));
    return (await execute(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", file], { cwd: this.folder })).stdout;
  }

  node(args, env = {}) {
    return execute(process.execPath, args, { cwd: this.folder, env: { ...process.env, ...env } });
  }
}
