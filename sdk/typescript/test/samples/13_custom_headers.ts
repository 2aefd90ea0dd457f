import { agentrouter } from "@agentrouterhq/sdk";

//#region sample
const client = agentrouter({
  baseUrl: "https://agentrouter.example.com",
  apiKey: process.env.AGENTROUTER_API_KEY!,
  defaultHeaders: {
    "x-workspace-id": "workspace_123"
  }
});
//#endregion

console.log(typeof client.createRun);
