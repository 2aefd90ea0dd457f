// The calls underneath: create, follow, look, fetch what the run left.
import { codex } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const client = connect();
const run = await client.createRun({
  task: "Create out/report.txt with one line.",
  runtime: codex({ mode: "full_access" }),
  metadata: { source: "example" },
  idempotencyKey: `example-${Date.now()}-${Math.random()}`
});

for await (const event of client.streamRun(run.id)) console.log(event.sequence, event.type);

const session = await client.getRunSession(run.id);
console.log(session.run.status, session.response?.text);

const { items } = await client.listRunArtifacts(run.id);
const patch = items.find((artifact) => artifact.kind === "workspace_patch");
if (patch) console.log(new TextDecoder().decode(await client.downloadArtifact(run.id, patch.id)));

const newest = await client.listRuns({ status: "completed", limit: 1 });
console.log(`${newest.items.length} of the completed runs, newest first`);
