import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import * as sdk from "../../dist/index.js";

const dist = new URL("../../dist/", import.meta.url);
const files = readdirSync(dist);
const code = files.filter((name) => name.endsWith(".js"));

test("the package exports six names and no more", () => {
  const names = ["AgentRouterError", "agentrouter", "claudeCode", "codex", "runAgent", "streamAgent"];
  assert.deepEqual(Object.keys(sdk).sort(), names);
});

test("the client has the documented methods and no session API", () => {
  const client = sdk.agentrouter({ apiKey: "k" });
  const methods = `createRun createRunAndWait getRun listRuns cancelRun listRunEvents streamRun getRunSession listRunArtifacts
    downloadArtifact approveRunAction denyRunAction continueRun getRunTurns closeRun iterateRuns getRunRecord deleteRun forkRun
    upload listRunFiles readRunFile readRunLog downloadWorkspace pushRun listKeys createKey revokeKey rotateKey listWorkspaces createWorkspace`;
  assert.deepEqual(Object.keys(client).sort(), methods.split(/\s+/).sort());
  for (const name of "createSession getSession sendMessage listSessionEvents streamSession closeSession".split(" ")) {
    assert.equal(client[name], undefined);
  }
});

test("codex and claudeCode add nothing but the kind", () => {
  assert.deepEqual(sdk.codex(), { kind: "codex" });
  assert.deepEqual(sdk.codex({ mode: "read_only", model: "m" }), { kind: "codex", mode: "read_only", model: "m" });
  assert.deepEqual(sdk.claudeCode(), { kind: "claude_code" });
  assert.deepEqual(sdk.claudeCode({ permissionMode: "plan" }), { kind: "claude_code", permissionMode: "plan" });
});

test("an error carries its code, details, status and name", () => {
  const error = new sdk.AgentRouterError("wait_timeout", "too late", { runId: "r" }, 418);
  assert.ok(error instanceof Error);
  const { name, code: kind, message, details, statusCode } = error;
  assert.deepEqual([name, kind, message, details, statusCode], ["AgentRouterError", "wait_timeout", "too late", { runId: "r" }, 418]);
  assert.match(String(error), /^AgentRouterError: too late/);
});

// It was 30 kB before there were keys and workspaces: six calls and a header.
test("the code is under 31 kB", () => {
  const size = code.reduce((sum, name) => sum + statSync(new URL(name, dist)).size, 0);
  assert.ok(size < 31_000, `${size} bytes`);
});

test("the code imports only itself and names nothing of Node.js", () => {
  for (const name of code) {
    const text = readFileSync(new URL(name, dist), "utf8");
    for (const [, from] of text.matchAll(/\bfrom "([^"]+)"/g)) assert.match(from, /^\.\/\w+\.js$/, name);
    assert.doesNotMatch(text, /\b(process|Buffer|require|__dirname|setImmediate)\b|node:|import\(/, name);
  }
});

test("every file has a source map whose sources are in the package", () => {
  for (const name of code) {
    for (const map of [`${name}.map`, name.replace(/js$/, "d.ts.map")]) {
      const { sources } = JSON.parse(readFileSync(new URL(map, dist), "utf8"));
      for (const source of sources) assert.ok(statSync(new URL(source, dist)).isFile(), source);
    }
  }
});

test("a stack trace points into the source although the code is indented otherwise", async () => {
  const { readFile } = await import("node:fs/promises");
  const { SourceMap } = await import("node:module");
  for (const name of code) {
    const lines = (await readFile(new URL(name, dist), "utf8")).split("\n");
    const map = new SourceMap(JSON.parse(await readFile(new URL(`${name}.map`, dist), "utf8")));
    lines.forEach((line, n) => {
      const at = line.indexOf("throw ");
      if (at < 0 || line.indexOf("throwIf") >= 0) return;
      const { originalSource, originalLine, originalColumn } = map.findEntry(n, at);
      const source = readFileSync(new URL(originalSource, dist), "utf8").split("\n")[originalLine];
      assert.equal(source.slice(originalColumn, originalColumn + 6), "throw ", `${name}:${n + 1}`);
    });
  }
});

test("the lockfile names no registry and nothing is needed at run time", () => {
  const read = (name) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
  for (const entry of Object.values(JSON.parse(read("package-lock.json")).packages)) assert.equal(entry.resolved, undefined);
  assert.equal(JSON.parse(read("package.json")).dependencies, undefined);
});
