// Builds dist/, saying nothing on stdout (`npm pack --json` does). Installs the compiler first when it is missing or another version than package-lock.json says.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const at = (name) => `${root}/${name}`;
const installed = at("node_modules/.package-lock.json");

if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(at("package-lock.json")).mtimeMs) {
  execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"], { cwd: root, stdio: ["ignore", 2, 2] });
}
rmSync(at("dist"), { recursive: true, force: true });
// The declarations keep the comments, the code does not need them.
for (const options of [["--removeComments", "--declaration", "false", "--declarationMap", "false"], ["--emitDeclarationOnly"]]) {
  execFileSync(process.execPath, [at("node_modules/typescript/bin/tsc"), "-p", root, ...options], { cwd: root, stdio: ["ignore", 2, 2] });
}

// The compiler indents by four blanks, which is a seventh of the code: tabs, and the source maps with them.
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function encode(number) {
  let text = "";
  for (let rest = number << 1; ; rest >>= 5) {
    if (rest < 32) return text + DIGITS[rest];
    text += DIGITS[(rest & 31) | 32];
  }
}

/** A line of mappings, whose first number is the column of its first segment; later columns are relative to it. */
function shifted(line, by) {
  const first = line.match(/^[g-z0-9+/]*[A-Za-f]/)?.[0];
  if (!first || by === 0) return line;
  const column = [...first].reduce((sum, digit, n) => sum + (DIGITS.indexOf(digit) & 31) * 32 ** n, 0) >> 1;
  return encode(Math.max(column - by, 0)) + line.slice(first.length);
}

for (const file of readdirSync(at("dist")).filter((name) => name.endsWith(".js"))) {
  if (/^export \{\};\n/.test(readFileSync(at(`dist/${file}`), "utf8"))) {
    // Declarations alone: nothing imports them when it runs.
    for (const name of [file, `${file}.map`]) rmSync(at(`dist/${name}`));
    continue;
  }
  const lines = readFileSync(at(`dist/${file}`), "utf8").split("\n");
  const depths = lines.map((line) => Math.floor(line.match(/^ */)[0].length / 4));
  writeFileSync(at(`dist/${file}`), lines.map((line, n) => "\t".repeat(depths[n]) + line.slice(4 * depths[n])).join("\n"));
  const map = JSON.parse(readFileSync(at(`dist/${file}.map`), "utf8"));
  map.mappings = map.mappings.split(";").map((line, n) => shifted(line, 3 * depths[n])).join(";");
  writeFileSync(at(`dist/${file}.map`), JSON.stringify(map));
}
