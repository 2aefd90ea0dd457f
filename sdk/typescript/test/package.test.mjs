import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Project, root } from "./support/project.mjs";

test("the packed package", async (t) => {
  const project = await Project.create(t, "test/types", "test/samples", "examples");

  await t.test("holds code, declarations, maps and sources, and nothing else", () => {
    for (const name of ["dist/index.js", "dist/index.d.ts", "dist/index.js.map", "dist/index.d.ts.map", "src/index.ts", "README.md", "package.json"]) {
      assert.ok(project.files.includes(name), name);
    }
    for (const name of project.files) assert.match(name, /^(dist|src)\/\w+(\.d)?\.(js|ts)(\.map)?$|^(README|CHANGELOG|reference)\.md$|^(package\.json|LICENSE)$/);
  });

  for (const mode of ["bundler", "nodenext"]) {
    await t.test(`type-checks strictly in a new project under ${mode}, with every sample and example`, async () => {
      assert.equal(await project.check(mode, ["test/types", "test/samples", "examples"]), "");
    });
  }

  await t.test("is imported by its name, and has no other entry", async () => {
    const script = 'console.log(Object.keys(await import("@agentrouterhq/sdk")).join()); await import("@agentrouterhq/sdk/dist/client.js").catch((error) => console.log(error.code));';
    const { stdout } = await project.node(["--input-type=module", "-e", script]);
    assert.equal(stdout, "AgentRouterError,agentrouter,claudeCode,codex,runAgent,streamAgent\nERR_PACKAGE_PATH_NOT_EXPORTED\n");
  });

  await t.test("the reference is that of this code", async () => {
    const committed = readFileSync(join(root, "reference.md"), "utf8");
    const { stdout } = await project.node([join(root, "scripts/reference.mjs"), "--print"]);
    assert.equal(stdout, committed, "npm run reference");
  });
});
