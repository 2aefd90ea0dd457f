// Mutants of authentication, routes, errors and headers.
import { answer, error, isCreate, isDownload, isList, setHeader } from "./walk.mjs";

const run = (x) => {
  const body = JSON.parse(x.requestBody.toString("utf8") || "{}");
  const id = "run_11111111-1111-4111-8111-111111111111";
  return { id, status: "queued", runtime: { kind: "codex", mode: "default" }, task: String(body?.task), input: body, lastEventSeq: 0, sessionId: null, conversationId: id, queuedAt: "2026-01-01T00:00:00.000Z" };
};
const lenient = (x) => {
  try {
    if (isCreate(x)) return answer(x, 201, run(x));
  } catch {
    return answer(x, 201, {});
  }
  answer(x, 200, { items: [] });
};
const when = (test, change) => ({ reply: (x) => void (test(x) && change(x)) });

export const mutants = {
  "open-door": when((x) => x.status === 401, lenient),
  "closed-health": when((x) => x.path === "/healthz" && x.method === "GET", (x) => answer(x, 503, { ok: false })),
  "other-health-body": when((x) => x.path === "/healthz" && x.status === 200, (x) => answer(x, 200, { status: "ok" })),
  "forbidden-instead-of-unauthorized": when((x) => x.status === 401, (x) => {
    x.status = 403;
    if (x.json) x.json.error.code = "forbidden";
  }),
  "token-not-trimmed": when((x) => x.requestHeaders.some(([name, value]) => name === "authorization" && /^Bearer {2}/.test(value)), (x) => answer(x, 401, { error: { code: "unauthorized", message: "no" } })),
  "unknown-routes-as-published": when((x) => x.status === 404 && error(x)?.code === "not_found", (x) =>
    answer(x, 404, { message: `Route ${x.method}:${x.path} not found`, error: "Not Found", statusCode: 404 })),
  "tolerant-routes": when((x) => x.status === 404 && error(x)?.code === "not_found", lenient),
  "wrong-method-is-404": when((x) => x.status === 405, (x) => answer(x, 404, { error: { code: "not_found", message: "no", details: {} } })),
  "no-allow": when((x) => x.status === 405, (x) => setHeader(x, "Allow")),
  "head-unknown": when((x) => x.method === "HEAD", (x) => {
    x.status = 405;
    setHeader(x, "Content-Type", "text/plain");
  }),
  "head-without-the-key": when((x) => x.method === "HEAD" && x.status >= 400, (x) => void (x.status = 200)),
  "head-with-a-body": when((x) => x.method === "HEAD", (x) => {
    x.body = Buffer.from('{"ok":true}');
    x.bodyOnHead = true;
  }),
  "head-without-length": when((x) => x.method === "HEAD", (x) => setHeader(x, "Content-Length", "0")),
  "no-request-id": { reply: (x) => setHeader(x, "X-Request-Id") },
  "one-request-id": { reply: (x) => setHeader(x, "X-Request-Id", "req_1") },
  "text-instead-of-json": when((x) => x.json !== undefined, (x) => setHeader(x, "Content-Type", "text/html")),
  "unread-json": when((x) => x.status === 400 && error(x)?.code === "bad_request", (x) => answer(x, 400, { error: { code: "validation_error", message: "no", details: {} } })),
  "details-on-bad-request": when((x) => error(x)?.code === "bad_request", (x) => void (error(x).details = {})),
  "no-media-types": when((x) => x.status === 415, lenient),
  "any-size": when((x) => [413, 431].includes(x.status), lenient),
  "only-plain-json-type": when((x) => x.requestHeaders.some(([name, value]) => name === "content-type" && /charset/.test(value)), (x) => answer(x, 415, { error: { code: "bad_request", message: "no" } })),
  "no-chunked-bodies": when((x) => x.requestHeaders.some(([name]) => name === "transfer-encoding"), (x) => answer(x, 411, { error: { code: "bad_request", message: "no" } })),
  "accepts-any-framing": when((x) => x.status === 400 && x.requestHeaders.some(([name]) => name === "transfer-encoding" || name === "content-length") && x.method === "POST" && error(x)?.code === "bad_request", lenient),
  "small-bodies-only": when((x) => x.requestBody.length > 100_000, (x) => answer(x, 413, { error: { code: "bad_request", message: "no" } })),
  "empty-body-is-an-error": when((x) => x.method === "POST" && x.requestBody.toString().trim() === "", (x) => answer(x, 400, { error: { code: "bad_request", message: "no" } })),
  "crash-on-bad-input": when((x) => x.status === 400 && isCreate(x), (x) => answer(x, 500, { error: { code: "internal_error", message: "no" } })),
  "crash-on-odd-ids": when((x) => /%|\/x$|run_1$/.test(x.path), (x) => answer(x, 500, { error: { code: "internal_error", message: "no" } })),
  "header-injection": when((x) => /%0d%0a/i.test(x.path), (x) => setHeader(x, "X-Injected", "yes")),
  "validates-nothing": when((x) => x.status === 400 && error(x)?.code === "validation_error", lenient),
  "issues-missing": when((x) => error(x)?.details?.issues, (x) => void (error(x).details = {})),
  "issues-without-path": when((x) => error(x)?.details?.issues, (x) => error(x).details.issues.forEach((issue) => delete issue.path)),
  "only-the-first-issue": when((x) => error(x)?.details?.issues?.length > 1, (x) => void error(x).details.issues.splice(1)),
  "issue-codes-of-our-own": when((x) => error(x)?.details?.issues, (x) => error(x).details.issues.forEach((issue) => void (issue.code = "invalid"))),
  "issues-name-no-keys": when((x) => error(x)?.details?.issues, (x) => error(x).details.issues.forEach((issue) => delete issue.keys)),
  "flat-errors": when((x) => x.status !== 400 && error(x), (x) => void (x.json = { ...error(x) })),
  "flat-refusals": when((x) => x.status === 400 && error(x), (x) => void (x.json = { ...error(x) })),
  "status-in-the-envelope": when((x) => error(x), (x) => {
    error(x).statusCode = x.status;
    x.json.statusCode = x.status;
  }),
  "details-missing": when((x) => error(x)?.details && Object.keys(error(x).details).length === 0, (x) => delete error(x).details),
  "code-of-unknown-runs": when((x) => /^(run|artifact)_not_found$/.test(error(x)?.code), (x) => void (error(x).code = "not_found")),
  "artifact-of-an-unknown-run": when((x) => error(x)?.code === "artifact_not_found", (x) => void (error(x).code = "run_not_found")),
  "unknown-runs-are-empty": when((x) => error(x)?.code === "run_not_found", lenient),
  "unknown-runs-are-empty-for-head": when((x) => x.method === "HEAD" && x.status === 404, (x) => void (x.status = 200)),
  "foreign-artifacts-shown": when((x) => error(x)?.code === "artifact_not_found", lenient),
  "wrong-code-for-unsupported": when((x) => /^unsupported_/.test(error(x)?.code), (x) => void (error(x).code = "validation_error")),
  "unsupported-swapped": when((x) => /^unsupported_/.test(error(x)?.code), (x) => void (error(x).code = error(x).code === "unsupported_tool_configuration" ? "unsupported_workspace_attachment" : "unsupported_tool_configuration")),
  "any-workspace": when((x) => error(x)?.code === "workspace_forbidden", lenient),
  "gzip-downloads": when(isDownload, (x) => setHeader(x, "Content-Encoding", "gzip")),
  "gzip-replies": when((x) => !isDownload(x), (x) => setHeader(x, "Content-Encoding", "gzip")),
  "one-byte-short": { reply: (x) => void (x.method !== "HEAD" && x.body?.length && x.json === undefined && (x.body = x.body.subarray(0, -1))) },
  "no-content-length": when((x) => x.method === "GET" && x.body?.length, (x) => setHeader(x, "Content-Length")),
  "answers-out-of-order": when((x) => x.path === "/healthz" && x.requestHeaders.some(([name, value]) => name === "connection" && value === "keep-alive"), (x) => answer(x, 404, { error: { code: "not_found", message: "no" } })),
  "old-versions-only": when((x) => isList(x) && /surprise/.test(x.query), (x) => answer(x, 400, { error: { code: "validation_error", message: "no", details: {} } })),
};
