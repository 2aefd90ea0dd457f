export { runAgent, streamAgent } from "./agent.js";
export { agentrouter } from "./client.js";
export { AgentRouterError } from "./error.js";
export { claudeCode, codex } from "./runtime.js";
export * from "./types.js";
