// A fetch of your own: here one that logs, elsewhere one with a proxy, mutual TLS or a service binding.
import { agentrouter, runAgent } from "@agentrouterhq/sdk";
import { apiKey, baseUrl } from "./client.js";

const logging: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  console.log(`${init?.method} ${new URL(String(input)).pathname.replace(/run_[^/]+/, "{run}")} ${response.status}`);
  return response;
};

const client = agentrouter({ baseUrl, apiKey: apiKey(), fetchImpl: logging });
const result = await runAgent({ client, task: "Reply exactly FETCHED" });
console.log(result.text);
