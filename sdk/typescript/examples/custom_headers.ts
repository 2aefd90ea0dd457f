// Headers of your own on every request, such as a tenant or a trace id.
import { agentrouter, runAgent } from "@agentrouterhq/sdk";
import { apiKey, baseUrl } from "./client.js";

const client = agentrouter({
  baseUrl,
  apiKey: apiKey(),
  defaultHeaders: { "x-request-source": "example", "x-trace-id": "4bf92f3577b34da6" }
});

const result = await runAgent({ client, task: "Reply exactly HEADERS" });
console.log(result.text);
