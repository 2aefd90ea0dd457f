import { agentrouter, streamAgent } from "@agentrouterhq/sdk";

const client = agentrouter({ apiKey: process.env.AGENTROUTER_API_KEY! });
const stream = await streamAgent({ client, task: "sim: repeat 4 sh cat missing.txt\nsim: reply Gave up." });

//#region sample
for await (const part of stream.fullStream) {
  if (part.type === "no_progress") {
    console.warn(`Agent may be stuck: ${part.signal} - ${part.text}`);
    // Your app can cancel the run, ask for approval, or let the user continue.
  }
}
//#endregion
