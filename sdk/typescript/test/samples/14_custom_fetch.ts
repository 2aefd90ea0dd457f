import { agentrouter } from "@agentrouterhq/sdk";

const customFetch: typeof fetch = (input, init) => fetch(input, init);

//#region sample
const client = agentrouter({
  apiKey: process.env.AGENTROUTER_API_KEY!,
  fetchImpl: customFetch
});
//#endregion

console.log((await client.listRuns()).items.length);
