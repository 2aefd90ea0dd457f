//#region sample
import { agentrouter, codex, runAgent, streamAgent } from "@agentrouterhq/sdk";

const client = agentrouter({
  baseUrl: "http://127.0.0.1:8787",
  apiKey: process.env.AGENTROUTER_API_KEY!
});

const firstTurn = await runAgent({
  client,
  task: "Create src/fib.ts with a fib(n) function.",
  runtime: codex({ mode: "full_access" })
});

const secondTurn = await streamAgent({
  client,
  continueRun: firstTurn.id,
  message: "Now add tests for fib(n)."
});

for await (const part of secondTurn.fullStream) {
  if (part.type === "progress") console.log(part.text);
  if (part.type === "text") process.stdout.write(part.text);
}

await client.closeRun(firstTurn.id);
//#endregion
