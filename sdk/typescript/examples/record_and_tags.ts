// Additions of AgentRouter: tags to find runs by, limits, and one record with everything about a run.
import { codex, runAgent } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const client = connect();
const result = await runAgent({
  client,
  task: "Create hello.txt",
  runtime: codex({ mode: "full_access" }),
  tags: { team: "docs" },
  approvalTimeoutSeconds: 600
});

for await (const run of client.iterateRuns({ tags: { team: "docs" }, limit: 10 })) console.log(run.id === result.id, run.status, run.tags);
console.log(Object.keys(await client.getRunRecord(result.id)));
