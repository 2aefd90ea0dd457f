import { agentrouter, streamAgent } from "@agentrouterhq/sdk";

const client = agentrouter({ apiKey: process.env.AGENTROUTER_API_KEY! });
const stream = await streamAgent({ client, task: "Reply exactly TEXT_ONLY" });

//#region sample
for await (const text of stream.textStream) {
  process.stdout.write(text);
}
//#endregion
