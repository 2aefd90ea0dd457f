//#region sample
import { agentrouter, claudeCode, runAgent } from "@agentrouterhq/sdk";

const client = agentrouter({
  baseUrl: "http://127.0.0.1:8787",
  apiKey: process.env.AGENTROUTER_API_KEY!
});

const result = await runAgent({
  client,
  task: "Review the current repository and suggest the highest-impact cleanup.",
  runtime: claudeCode({ permissionMode: "default", model: "claude-sonnet-4-6" })
});

console.log(result.text);
//#endregion
