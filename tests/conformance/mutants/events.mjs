// Mutants of events, streams and the chain.
import { answer, events, eventsOf, isStream, setHeader } from "./walk.mjs";

const when = (test, change) => ({ reply: (x) => void (test(x) && change(x)) });
const pages = (change) => when((x) => /\/events$/.test(x.path) && x.status === 200 && x.json, (x) => change(x.json, x));
const live = (frame) => ({ frame: (text, x) => (x.live ? frame(text, x) : text) });
const batches = (frame) => ({ frame: (text, x) => (x.live ? text : frame(text, x)) });
let served = 0;
const hex = "0".repeat(64);
const without = (type) => eventsOf(type, () => false);
const change = (type, key, value) => eventsOf(type, (event) => void (event.payload[key] = value));
const control = (alter) => events((event) => void ("actionDigest" in event.payload && alter(event.payload, event)));

const gap = (text) => {
  const event = text.match(/^id: (\d+)/);
  return event && event[1] === "5" ? null : text;
};

export const mutants = {
  "event-dropped-from-pages": pages((page) => void (page.items = page.items.filter((event) => event.sequence !== 5))),
  "event-dropped-from-live-streams": live(gap),
  "event-dropped-from-batches": batches(gap),
  "event-twice": { reply: pages((page) => void (page.items[1] && page.items.splice(1, 0, page.items[1]))).reply, frame: (text) => (/^id: 2\n/.test(text) ? [text, text] : text) },
  "sequence-repeated": events((event) => void (event.sequence === 6 && (event.sequence = 5))),
  "sequences-from-zero": events((event) => void (event.sequence -= 1)),
  "internal-events-hidden": events((event) => event.visibility !== "internal"),
  "pages-descending": pages((page) => page.items.reverse()),
  "pages-include-the-cursor": pages((page, x) => page.items.length && /afterSeq=[1-9]/.test(x.query) && page.items.unshift({ ...page.items[0], sequence: page.items[0].sequence - 1 })),
  "next-after-seq-ahead": pages((page) => void (page.nextAfterSeq += 1)),
  "next-after-seq-zero-when-empty": pages((page) => void (page.items.length || (page.nextAfterSeq = 0))),
  "next-after-seq-missing": pages((page) => delete page.nextAfterSeq),
  "pages-of-ten": pages((page) => void page.items.splice(10)),
  "pages-of-500-refused": when((x) => /\/events$/.test(x.path) && x.query === "limit=500", (x) => answer(x, 400, { error: { code: "validation_error", message: "no", details: { issues: [] } }, items: [] })),
  "pages-ignore-limit": pages((page) => page.items.length && page.items.push({ ...page.items[page.items.length - 1] })),
  "cursors-strict": when((x) => /afterSeq=(&|$|0x|-|%20|1e)/.test(x.query) && x.status === 200, (x) => answer(x, 400, { error: { code: "validation_error", message: "no", details: { issues: [{ code: "custom", path: ["afterSeq"], message: "no" }] } } })),
  "unknown-query-keys-refused": when((x) => /surprise/.test(x.query), (x) => answer(x, 400, { error: { code: "validation_error", message: "no", details: { issues: [] } } })),
  "events-without-run": events((event) => delete event.runId),
  "events-without-truncation-mark": events((event) => delete event.isTruncated),
  "events-never-truncated": events((event) => void (event.isTruncated = false)),
  "events-large": events((event) => void (event.type !== "agent.response" && event.type !== "agent.message" && event.isTruncated && (event.payload.more = "z".repeat(40_000)))),
  "event-times-in-seconds": events((event) => void (event.createdAt = event.createdAt.replace(/\.\d+Z/, "Z"))),
  "event-times-shuffled": events((event) => void (event.sequence % 2 && (event.createdAt = "2027-01-01T00:00:00.000Z"))),
  "events-change": events((event, x) => void (/limit=500/.test(x.query) && (event.payload.seen = ++served))),
  "other-sources": events((event) => void (event.source = event.source === "worker" ? "system" : "worker")),
  "other-visibilities": events((event) => void (event.visibility = event.visibility === "public" ? "internal" : "shown")),
  "types-in-camel-case": events((event) => void (event.type = event.type.replace(/_(.)/g, (_, letter) => letter.toUpperCase()))),
  "event-after-the-end": pages((page) => {
    const last = page.items[page.items.length - 1];
    if (last && /^run\.(completed|failed|cancelled)$/.test(last.type)) page.items.push({ ...last, sequence: last.sequence + 1, type: "sandbox.reclaimed" });
  }),
  "terminal-event-not-last": pages((page) => {
    const at = page.items.findIndex((event) => /^run\.(completed|failed|cancelled)$/.test(event.type));
    if (at > 0) [page.items[at].type, page.items[at - 1].type] = [page.items[at - 1].type, page.items[at].type];
  }),

  "streams-with-crlf": { frame: (text, x) => ((x.separator = "\r\n\n"), text.replace(/\n/g, "\r\n")) },
  "streams-as-text": when(isStream, (x) => x.status === 200 && setHeader(x, "Content-Type", "text/plain")),
  "streams-without-charset": when(isStream, (x) => x.status === 200 && setHeader(x, "Content-Type", "text/event-stream")),
  "streams-cached": when(isStream, (x) => setHeader(x, "Cache-Control", "no-cache")),
  "streams-buffered": when(isStream, (x) => setHeader(x, "X-Accel-Buffering")),
  "frames-without-id": { frame: (text) => text.replace(/^id: .*\n/, "") },
  "frames-named-message": { frame: (text) => text.replace(/^event: (?!heartbeat).*$/m, "event: message") },
  "frames-data-first": { frame: (text) => text.split("\n").reverse().join("\n") },
  "frames-off-by-one": { frame: (text) => text.replace(/^id: (\d+)/, (_, n) => `id: ${Number(n) + 1}`) },
  "frames-of-other-runs": live((text) => text.replace(/"runId":"run_[^"]+"/, '"runId":"run_1"')),
  "batches-never-beat": batches((text) => (/heartbeat/.test(text) ? null : text)),
  "batches-beat-with-time": batches((text) => text.replace("data: {}", 'data: {"time":1}')),
  "batches-from-the-start": batches((text, x) => (/after-seq|[1-9]/.test(x.query) || x.requestHeaders.some(([name]) => name === "last-event-id") ? text.replace(/"sequence":(\d+)/, '"sequence":1') : text)),
  "batches-read-odd-cursors": when((x) => isStream(x) && x.requestHeaders.some(([name, value]) => name === "last-event-id" && /x/.test(value)), (x) => void (x.body = Buffer.from("event: heartbeat\ndata: {}\n\n"))),
  "batches-cut-the-end": batches((text) => (/^event: (run\.completed|approval\.requested)$/m.test(text) ? null : text)),
  "batch-of-queued-runs-is-404": when((x) => isStream(x) && /9000/.test(x.query), (x) => answer(x, 404, { error: { code: "run_not_found", message: "no", details: {} } })),
  "live-without-retry": live((text) => (/^retry/.test(text) ? null : text)),
  "live-with-data-frames-of-its-own": live((text) => (/^retry/.test(text) ? [text, 'event: hello\ndata: {"hello":true}'] : text)),
  "live-never-beats": live((text) => (/^:/.test(text) ? null : text)),
  "live-beats-as-event": live((text) => (/^:/.test(text) ? "event: heartbeat\ndata: {}" : text)),
  "live-ignores-cursors": live((text) => text.replace(/"sequence":(\d+)/, (_, n) => `"sequence":${Number(n) - 1}`)),
  "live-cut-before-the-end": { ...live((text) => (/^event: run\./m.test(text) ? null : text)) },
  "live-cut-short": { cut: true },
  "live-hides-questions": live((text) => (/^event: approval\.requested/m.test(text) ? null : text)),
  "live-never-204": when((x) => isStream(x) && x.status === 204, (x) => void (x.status = 200)),
  "live-head-is-404": when((x) => isStream(x) && x.method === "HEAD", (x) => void (x.status = 404)),

  "no-claim": without("run.claimed"), "no-sandbox-event": without("sandbox.created"), "no-boundary-event": without("credential_boundary.verified"), "no-policy-event": without("policy.evaluated"),
  "no-agent-started": without("agent.started"), "no-agent-completed": without("agent.completed"), "no-stdout-event": without("provider.stdout"), "no-response-event": without("agent.response"),
  "no-usage": without("usage.recorded"), "no-index-event": without("workspace.file_index_collected"), "no-patch-event": without("workspace.patch_collected"), "no-checkpoint": without("checkpoint.created"),
  "no-tool-events": without("agent.tool_started"), "no-messages": without("agent.message"), "no-progress-events": without("agent.progress"), "no-loop-events": without("agent.no_progress"),
  "no-agent-error": without("agent.error"), "no-run-failed": without("run.failed"), "no-run-cancelled": without("run.cancelled"), "no-execution-failed": without("execution.failed"), "no-action": without("action.proposed"),
  "no-executions": events((event) => !/^execution\./.test(event.type)), "no-resumed": without("sandbox.resumed"),
  "claim-without-worker": eventsOf("run.claimed", (event) => delete event.payload.workerId),
  "sandbox-anonymous": events((event) => void (/^sandbox\./.test(event.type) && (event.payload = {}))),
  "boundary-unproven": change("credential_boundary.verified", "credentialStrategy", "none"),
  "boundary-partial": change("credential_boundary.verified", "checkedSurfaces", ["env"]),
  "causes-missing": events((event) => delete event.payload.priorEventId),
  "causes-wrong": events((event) => void (event.payload.priorEventId && (event.payload.priorEventId = event.payload.eventId))),
  "first-event-with-a-cause": change("action.proposed", "priorEventId", "evt_1"),
  "one-event-id": control((payload) => void (payload.eventId = "evt_11111111-1111-4111-8111-111111111111")),
  "bare-event-ids": control((payload) => void (payload.eventId = payload.eventId.slice(4))),
  "bare-action-ids": control((payload) => void (payload.actionId = payload.actionId.slice(7))),
  "action-id-per-event": control((payload) => void (payload.actionId = "action_" + payload.eventId.slice(4))),
  "digest-without-prefix": control((payload) => void (payload.actionDigest = payload.actionDigest.replace("sha256:", ""))),
  "digest-of-something-else": control((payload) => void (payload.actionDigest = "sha256:" + hex)),
  "args-digest-of-something-else": control((payload) => void (payload.argsDigest = "sha256:" + hex)),
  "digest-changes": control((payload, event) => void (event.type === "execution.started" && (payload.actionDigest = "sha256:" + hex))),
  "one-actor": control((payload) => void (payload.actor = "worker")),
  "action-of-another-schema": control((payload) => payload.action && (payload.action.schemaVersion = payload.schemaVersion = "v2")),
  "action-without-args": control((payload) => payload.action && (payload.action.args = {})),
  "action-with-the-prompt": control((payload) => payload.action && (payload.action.args.argvWithoutPrompt = ["Do three things."])),
  "prompt-digest-untrimmed": control((payload) => payload.action?.args && (payload.action.args.promptSha256 = "sha256:" + hex)),
  "action-name-of-our-own": control((payload) => void (payload.actionName && (payload.actionName = "agent.start"))),
  "target-missing": control((payload) => delete payload.targetResource),
  "policy-always-asks": change("policy.evaluated", "decision", "requires_approval"),
  "policy-always-allows": change("policy.evaluated", "decision", "allowed"),
  "policy-without-reason": eventsOf("policy.evaluated", (event) => delete event.payload.reason),
  "policy-final-state-missing": events((event) => delete event.payload.terminalState),
  "approval-events-in-auto": eventsOf("execution.started", (event) => void (event.type = "approval.decided")),
  "execution-id-per-event": events((event) => void (event.payload.executionId && (event.payload.executionId = "execution_" + event.sequence))),
  "execution-status-missing": events((event) => void (/^execution\./.test(event.type) && delete event.payload.status)),
  "execution-reason-missing": events((event) => void (/^execution\./.test(event.type) && delete event.payload.reason)),
  "thread-missing": eventsOf("agent.started", (event) => delete event.payload.threadId),
  "thread-per-turn": eventsOf("agent.started", (event) => void (event.payload.threadId += event.runId)),
  "provider-missing": events((event) => delete event.payload.provider),
  "completion-without-message": eventsOf("run.completed", (event) => void (event.payload.message = "done")),
  "protocol-names-as-types": events((event) => void (event.providerEventType && (event.providerEventType = event.providerEventType.replace(".", "/")))),
  "agent-events-twice": { reply: pages((page) => void (page.items = page.items.flatMap((event) => (/^(agent|provider)\./.test(event.type) ? [event, event] : [event])))).reply },
  "messages-cut": eventsOf("agent.message", (event) => void (event.payload.text = event.payload.text.slice(0, 5))),
  "response-cut": eventsOf("agent.response", (event) => void (event.payload.text = event.payload.text.slice(0, 8192))),
  "response-without-parts": eventsOf("agent.response", (event) => delete event.payload.parts),
  "progress-without-summary": eventsOf("agent.progress", (event) => delete event.payload.summary),
  "tools-unnamed": eventsOf("agent.tool_started", (event) => void (event.payload.tool = "command")),
  "tool-exit-codes-missing": eventsOf("agent.tool_completed", (event) => delete event.payload.exitCode),
  "usage-of-zero": change("usage.recorded", "inputTokens", 0),
  "loop-counted-twice": change("agent.no_progress", "occurrences", 6),
  "loop-without-reason": eventsOf("agent.no_progress", (event) => delete event.payload.reason),
  "loops-everywhere": eventsOf("agent.progress", (event) => void (event.type = "agent.no_progress")),
  "failure-without-reason": eventsOf("run.failed", (event) => void (event.payload = {})),
  "error-without-message": eventsOf("agent.error", (event) => delete event.payload.message),
  "checkpoints-unnumbered": eventsOf("checkpoint.created", (event) => delete event.payload.turnNumber),
  "artifact-refs-missing": events((event) => delete event.artifactRef),
  "index-without-count": eventsOf("workspace.file_index_collected", (event) => void (event.payload.fileCount = 0)),
  "patch-without-bytes": eventsOf("workspace.patch_collected", (event) => void (event.payload.bytes = 0)),
};
