// Cancels a run whose agent goes round in circles.
import { streamAgent } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const client = connect();
// A script for `agentrouter serve --sim`: the same command fails again and again, and then the agent would wait for long.
const task = process.env.TASK ?? ["sim: repeat 4 sh cat missing.txt", "sim: sleep 60", "sim: reply Never reached."].join("\n");

const stream = await streamAgent({ client, task });
for await (const part of stream.fullStream) {
  if (part.type === "no_progress") {
    console.warn(`stuck (${part.signal}): ${part.text}`);
    await client.cancelRun(stream.run.id);
  }
  if (part.type === "done") console.log(part.status);
}
