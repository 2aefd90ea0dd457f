// Every sample and every example runs as a program in a new project, against the real server.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Project, root } from "../support/project.mjs";

const samples = {
  "01_quickstart": /^completed\n.*Inspect this repo/s,
  "02_result": /^completed\n/,
  "03_streaming": /process: Sandbox ready\n.*process: Agent started\n.*agent-smoke\.txt.*\ncompleted\n$/s,
  "04_text_only": /^TEXT_ONLY$/,
  "05_no_progress": /^$/,
  "06_manual_approval": /^started\ncompleted\n$/,
  "07_continue": /Sandbox ready|Agent started/,
  "08_continue_and_wait": /^completed\n$/,
  "09_claude_code": /^.*\n$/,
  "10_low_level_client": /^1 run\.claimed\n(\d+ [\w.]+\n)+\d+ run\.completed\ncompleted 6\n$/,
  "11_codex_options": /^$/,
  "12_claude_code_options": /^$/,
  "13_custom_headers": /^function\n$/,
  "14_custom_fetch": /^\d+\n$/,
  "15_error_handling": /^$/
};

const examples = {
  quickstart: /^run_\S+ completed: .*src\/hello\.ts.*\n {2}\w+ \(\d+ bytes\)/s,
  streaming: /… Sandbox ready\n.*… Execution started\n.*answer: .*notes\/today\.md.*\ncompleted\n$/s,
  text_only: /^HELLO\n$/,
  raw_events: /^ {3}1 worker {6}run\.claimed\n.* worker {6}run\.completed\n$/s,
  no_progress: /^cancelled\n$/,
  manual_approval: /^Approval requested for codex\.launch \(sha256:\w+…\)\napproved\nstarted\ncompleted\ncompleted\n$/,
  continue: /^turn 1: .*src\/fib\.ts.*\nturn 2 of the same conversation\n.*\n\+\+\+ b\/src\/fib\.ts\n.*\n1\. Create src\/fib\.ts.*\n2\. Run exactly: cat src\/fib\.ts\.\nclosed\n$/s,
  continue_and_wait: /^completed: CONTINUED\n$/,
  low_level_client: /\d+ run\.completed\ncompleted .*out\/report\.txt.*\n\+\+\+ b\/out\/report\.txt\n.*\n1 of the completed runs/s,
  runtime_options: /{"kind":"codex"}\n.*{"kind":"codex","mode":"read_only"} READY\n$/s,
  custom_headers: /^HEADERS\n$/,
  custom_fetch: /^POST \/v1\/runs 201\nGET \/v1\/runs\/{run}\/stream 200\nGET \/v1\/runs\/{run} 200\nGET \/v1\/runs\/{run}\/session 200\nFETCHED\n$/,
  error_handling: /^unknown run: run_not_found 404 .*\nempty task: validation_error 400 .*\nwrong key: unauthorized 401 .*\nneither task nor message: invalid_run_agent_request \(no reply\) undefined\nno patience: wait_timeout \(no reply\) {"runId":"run_[^"]+","status":"\w+"}\n$/,
  record_and_tags: /^true completed { team: 'docs' }\n.*'run'/s
};
const warnings = { "05_no_progress": /Agent may be stuck: repeated_command - /, no_progress: /stuck \(repeated_command\): / };

test("programs that use the package", async (t) => {
  const project = await Project.create(t, "test/samples", "examples");
  const redirect = join(root, "test/e2e/redirect.mjs");
  assert.equal(await project.check("nodenext", ["test/samples", "examples"], "out"), "");

  await t.test("each has a test", () => {
    const names = (folder) => readdirSync(join(project.folder, folder)).map((name) => name.slice(0, -3));
    assert.deepEqual(names("test/samples"), Object.keys(samples));
    assert.deepEqual(names("examples").filter((name) => name !== "client").sort(), Object.keys(examples).sort());
  });

  const programs = [
    ...Object.entries(samples).map(([name, output]) => [name, `out/test/samples/${name}.js`, output]),
    ...Object.entries(examples).map(([name, output]) => [name, `out/examples/${name}.js`, output]),
    ["continue", "out/examples/continue.js", examples.continue, "claude_code"]
  ];
  const run = async ([name, file, output, ...args]) => {
    const { code, stdout, stderr } = await project.node(["--enable-source-maps", "--import", redirect, file, ...args]);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, output);
    assert.match(stderr, warnings[name] ?? /^$/);
  };
  // Four at a time, as many as the server runs at once.
  const results = new Map();
  const queue = [...programs];
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) results.set(next, await run(next).then(() => undefined, (error) => error));
  };
  await Promise.all([1, 2, 3, 4].map(worker));
  for (const program of programs) {
    await t.test(`${[program[1].slice(4, -3), ...program.slice(3)].join(" ")} runs and says what it should`, () => {
      const error = results.get(program);
      if (error) throw error;
    });
  }

  await t.test("every example refuses the placeholder of a key", async () => {
    const refusals = await Promise.all(
      Object.keys(examples).map((name) => project.node([`out/examples/${name}.js`], { AGENTROUTER_API_KEY: "ar_dev_local_change_me" }))
    );
    for (const { code, stderr } of refusals) {
      assert.equal(code, 2);
      assert.match(stderr, /ar_dev_local_change_me is a placeholder and is refused/);
    }
  });
});
