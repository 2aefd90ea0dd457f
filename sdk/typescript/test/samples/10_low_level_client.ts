import { agentrouter, codex } from "@agentrouterhq/sdk";

const client = agentrouter({ apiKey: process.env.AGENTROUTER_API_KEY! });

//#region sample
const run = await client.createRun({
  task: "Run the test suite and summarize failures.",
  runtime: codex({ mode: "read_only" }),
  metadata: { source: "ci" },
  idempotencyKey: "pr-123-review"
});

for await (const event of client.streamRun(run.id)) {
  console.log(event.sequence, event.type);
}

const runSession = await client.getRunSession(run.id);
const artifacts = await client.listRunArtifacts(run.id);
//#endregion

console.log(runSession.run.status, artifacts.items.length);
