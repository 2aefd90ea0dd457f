import assert from "node:assert/strict";
import { test } from "node:test";
import { compare } from "../samples.mjs";

const program = (sample) => `import { a } from "a";\n//#region sample\n${sample}\n//#endregion\nconsole.log(b);\n`;
const readme = 'Start\n\nconst b = await a();\nconsole.log(b);\n\nWith options:\n\na({ x: "$&" });\n';

test("a readme whose samples are all there, to the letter", () => {
  const programs = [["one", program("const b = await a();\nconsole.log(b);")], ["two", program('a({ x: "$&" });')]];
  assert.deepEqual(compare(readme, programs), []);
  assert.deepEqual(compare(readme.replace(/\n/g, "\r\n"), programs), []);
});

test("a sample that differs in one character, and a line that no program has", () => {
  assert.deepEqual(compare(readme, [["one", program("const b = await a()\nconsole.log(b);")]]), [
    "the sample of one is not in the readme",
    "no program has this line of the readme: const b = await a();",
    "no program has this line of the readme: console.log(b);"
  ]);
});

test("a program without a sample", () => {
  assert.deepEqual(compare("Start\n", [["one", "const b = 1;\n"]]), ["one has no sample"]);
});
