// Runs one task and prints the answer.
import { codex, runAgent } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const result = await runAgent({
  client: connect(),
  task: "Create src/hello.ts with a hello() function.",
  runtime: codex({ mode: "full_access" })
});

console.log(`${result.id} ${result.status}: ${result.text}`);
for (const artifact of result.artifacts.items) console.log(`  ${artifact.kind} (${artifact.sizeBytes} bytes)`);
