import { agentrouter, codex, runAgent } from "@agentrouterhq/sdk";

const client = agentrouter({
  baseUrl: "http://127.0.0.1:8787",
  apiKey: process.env.AGENTROUTER_API_KEY!
});

const result = await runAgent({
  client,
  task: "Inspect this repo and summarize the test strategy.",
  runtime: codex({ mode: "default", model: "gpt-4o" })
});

console.log(result.status);
console.log(result.text);

//#region sample
result.id;               // run id
result.status;           // completed | failed | cancelled
result.text;             // final agent response text, when available
result.artifacts.items;  // generated logs, patches, and workspace artifacts
result.eventCursor;      // last observed event sequence
//#endregion
