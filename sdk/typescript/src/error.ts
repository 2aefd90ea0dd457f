/**
 * What every failed call throws, except a request that never got an answer: that surfaces as `fetch`'s own error.
 *
 * Codes of the server are kept. Codes of the SDK: `wait_timeout` (the run goes on; `details` has `runId` and `status`),
 * `request_timeout`, `invalid_run_agent_request`, `invalid_stream_agent_request`, and `api_error` for a reply that does
 * not say what went wrong.
 */
export class AgentRouterError extends Error {
  override readonly name = "AgentRouterError";
  readonly code: string;
  readonly details?: Record<string, unknown>;
  /** The HTTP status, when the server answered. */
  readonly statusCode?: number;
  /** The server's name for the request, for its log. */
  requestId?: string;

  constructor(code: string, message: string, details?: Record<string, unknown>, statusCode?: number) {
    super(message);
    this.code = code;
    this.details = details;
    this.statusCode = statusCode;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** Reads the error of a reply that is not 2xx, whatever its body looks like. */
export async function errorOf(response: Response): Promise<AgentRouterError> {
  let error: unknown;
  try {
    const body: unknown = await response.json();
    error = isRecord(body) ? body.error : undefined;
  } catch {
    // No JSON, or the connection broke: the status still stands.
  }
  const known = isRecord(error) ? error : {};
  const result = new AgentRouterError(
    typeof known.code === "string" ? known.code : "api_error",
    typeof known.message === "string" ? known.message : "AgentRouter API error",
    isRecord(known.details) && !Array.isArray(known.details) ? known.details : undefined,
    response.status
  );
  const requestId = response.headers?.get("x-request-id");
  if (requestId) result.requestId = requestId;
  return result;
}
