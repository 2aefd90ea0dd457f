import { agentrouter, type AgentRouter } from "@agentrouterhq/sdk";

/** The settings of every example: where the server is, and a key of your own. */
export const baseUrl = process.env.AGENTROUTER_API_BASE_URL ?? "http://127.0.0.1:8787";

export function apiKey(): string {
  const key = process.env.AGENTROUTER_API_KEY;
  if (!key || key === "ar_dev_local_change_me") {
    console.error("Set AGENTROUTER_API_KEY to the key of your server. ar_dev_local_change_me is a placeholder and is refused.");
    process.exit(2);
  }
  return key;
}

export function connect(): AgentRouter {
  return agentrouter({ baseUrl, apiKey: apiKey() });
}
