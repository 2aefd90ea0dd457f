//#region sample
import { agentrouter, codex, streamAgent } from "@agentrouterhq/sdk";

const client = agentrouter({
  baseUrl: process.env.AGENTROUTER_API_BASE_URL ?? "http://127.0.0.1:8787",
  apiKey: process.env.AGENTROUTER_API_KEY!
});

const stream = await streamAgent({
  client,
  task: "Create reports/agent-smoke.txt and explain what you changed.",
  runtime: codex({ mode: "full_access" }),
  pollIntervalMs: 1000,
  maxWaitMs: 10 * 60 * 1000
});

for await (const part of stream.fullStream) {
  if (part.type === "progress") console.log("process:", part.text);
  if (part.type === "message") console.log("agent:", part.text);
  if (part.type === "text") process.stdout.write(part.text);
  if (part.type === "error") console.error(part.text);
}

const final = await stream.finalResult;
console.log(final.status);
//#endregion
