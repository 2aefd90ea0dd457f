// Everything that goes wrong is an AgentRouterError, but a network that gives no answer.
import { AgentRouterError, agentrouter, runAgent } from "@agentrouterhq/sdk";
import { apiKey, baseUrl, connect } from "./client.js";

async function report(name: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
    console.log(`${name}: went well`);
  } catch (error) {
    if (!(error instanceof AgentRouterError)) throw error;
    console.log(`${name}: ${error.code} ${error.statusCode ?? "(no reply)"} ${JSON.stringify(error.details)}`);
  }
}

const client = connect();
await report("unknown run", () => client.getRun("run_00000000-0000-4000-8000-000000000000"));
await report("empty task", () => client.createRun({ task: " " }));
await report("wrong key", () => agentrouter({ baseUrl, apiKey: `${apiKey()}x` }).listRuns());
await report("neither task nor message", () => runAgent({ client } as never));
// The wait is over, the run is not: it can be waited for again, or cancelled.
await report("no patience", async () => {
  try {
    await runAgent({ client, task: "sim: sleep 30\nsim: reply Too late.", maxWaitMs: 500 });
  } catch (error) {
    if (error instanceof AgentRouterError && error.code === "wait_timeout") await client.cancelRun(String(error.details?.runId));
    throw error;
  }
});
