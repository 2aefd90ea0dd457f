export { runAgent, streamAgent } from "./agent.js";
export { agentrouter } from "./client.js";
export { AgentRouterError } from "./error.js";
export { claudeCode, codex } from "./runtime.js";
export type * from "./calls.js";
export type * from "./requests.js";
export type * from "./types.js";
