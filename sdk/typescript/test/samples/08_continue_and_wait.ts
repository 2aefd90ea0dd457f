import { agentrouter, codex, runAgent } from "@agentrouterhq/sdk";

const client = agentrouter({ apiKey: process.env.AGENTROUTER_API_KEY! });
const firstTurn = await runAgent({ client, task: "Create src/fib.ts", runtime: codex({ mode: "full_access" }) });

//#region sample
const result = await runAgent({
  client,
  continueRun: firstTurn.id,
  message: "Add edge-case tests for n = 0 and n = 1."
});
//#endregion

console.log(result.status);
await client.closeRun(firstTurn.id);
