//#region sample
import { AgentRouterError, agentrouter, codex, runAgent } from "@agentrouterhq/sdk";

const client = agentrouter({
  baseUrl: "http://127.0.0.1:8787",
  apiKey: process.env.AGENTROUTER_API_KEY!
});

try {
  await runAgent({
    client,
    task: "Run tests.",
    runtime: codex({ mode: "default" }),
    maxWaitMs: 60_000
  });
} catch (error) {
  if (error instanceof AgentRouterError) {
    console.error(error.code);
    console.error(error.statusCode);
    console.error(error.details);
  } else {
    throw error;
  }
}
//#endregion
