// Mutants of approvals, artifacts and conversations.
import { answer, error, events, eventsOf, isDownload, runs, setHeader } from "./walk.mjs";

const when = (test, change) => ({ reply: (x) => void (test(x) && change(x)) });
const decisions = (change) => when((x) => /\/(approve|deny)$/.test(x.path), change);
const artifacts = (change) => when((x) => (/\/artifacts$/.test(x.path) || /\/session$/.test(x.path)) && x.status === 200 && x.json, (x) => {
  for (const artifact of x.json.items ?? x.json.artifacts?.items ?? []) change(artifact, x);
});
const lists = (change) => when((x) => /\/artifacts$/.test(x.path) && x.status === 200 && x.json, (x) => change(x.json, x));
const messages = (change) => when((x) => /\/messages$/.test(x.path), change);
const turns = (change) => when((x) => /\/turns$/.test(x.path) && x.status === 200 && x.json, (x) => change(x.json, x));
const close = (change) => when((x) => /\/close$/.test(x.path) && x.status === 200 && x.json, (x) => change(x.json, x));
const downloadsJson = (change) => when((x) => isDownload(x) && x.status === 200, (x) => {
  try {
    const value = JSON.parse(x.body.toString("utf8"));
    change(value, x);
    x.body = Buffer.from(JSON.stringify(value));
  } catch {
    // Not JSON: another kind.
  }
});
const text = (change) => when((x) => isDownload(x) && x.body?.toString("latin1").startsWith("diff --git"), (x) => void (x.body = Buffer.from(change(x.body.toString("utf8")))));
const ok = (x) => answer(x, 200, {});

export const mutants = {
  "approvals-skipped": events((event) => event.type !== "approval.requested" && event.type !== "approval.decided"),
  "executes-before-approval": when((x) => /\/events$/.test(x.path) && x.json?.items?.at(-1)?.type === "approval.requested", (x) => void (x.json.items[1].type = "execution.started")),
  "question-anonymous": eventsOf("approval.requested", (event) => delete event.payload.requestId),
  "question-without-action": eventsOf("approval.requested", (event) => delete event.payload.action),
  "question-with-another-digest": eventsOf("approval.requested", (event) => void (event.payload.argsDigest = "sha256:" + "1".repeat(64))),
  "decision-reply-is-the-run": decisions((x) => x.status === 200 && (x.json = { id: x.json.runId, status: "running" })),
  "decision-reply-with-another-digest": decisions((x) => x.status === 200 && (x.json.payload.actionDigest = "sha256:" + "2".repeat(64))),
  "decision-is-202": decisions((x) => x.status === 200 && (x.status = 202)),
  "decision-repeated-is-new": decisions((x) => x.status === 200 && /second|Still|"actionDigest":"[^"]+"}$/.test(x.requestBody) && (x.json = { ...x.json, sequence: x.json.sequence + 1 })),
  "decision-repeated-is-refused": decisions((x) => x.status === 200 && /second|Still|"actionDigest":"[^"]+"}$|x-again/.test(x.requestBody + x.requestHeaders) && answer(x, 409, { error: { code: "approval_already_decided", message: "no", details: {} } })),
  "decision-can-be-turned": decisions((x) => error(x)?.code === "approval_already_decided" && ok(x)),
  "decision-without-id": eventsOf("approval.decided", (event) => delete event.payload.decisionId),
  "decision-by-nobody": eventsOf("approval.decided", (event) => void (event.payload.actor = "system")),
  "decision-reason-untrimmed": eventsOf("approval.decided", (event) => void (event.payload.reason &&= ` ${event.payload.reason} `)),
  "decision-twice": when((x) => /\/events$/.test(x.path) && x.json?.items, (x) => void (x.json.items = x.json.items.flatMap((event) => (event.type === "approval.decided" ? [event, event] : [event])))),
  "any-action-can-be-decided": decisions((x) => error(x)?.code === "approval_not_requested" && ok(x)),
  "any-digest-is-right": decisions((x) => error(x)?.code === "action_digest_mismatch" && ok(x)),
  "mismatch-without-details": decisions((x) => error(x)?.code === "action_digest_mismatch" && (error(x).details = {})),
  "ended-runs-take-decisions": decisions((x) => /run_not_active|approval_not_pending/.test(error(x)?.code) && ok(x)),
  "unknown-action-is-404": decisions((x) => error(x)?.code === "approval_not_requested" && answer(x, 404, { error: { code: "action_not_found", message: "no", details: {} } })),
  "denied-runs-complete": runs((run) => run.failure?.code === "approval_denied" && (run.status = "completed")),
  "denied-runs-execute": events((event) => void (event.type === "run.failed" && (event.type = "execution.started"))),
  "denial-without-final-state": eventsOf("approval.decided", (event) => delete event.payload.terminalState),
  "denial-code-missing": eventsOf("run.failed", (event) => delete event.payload.code),
  "block-asks": eventsOf("policy.evaluated", (event) => void (event.payload.decision === "blocked" && (event.type = "approval.requested"))),
  "expiry-unsaid": eventsOf("approval.expired", () => false),
  "expiry-anonymous": eventsOf("approval.expired", (event) => void (event.payload = {})),
  "expiry-approves": eventsOf("approval.expired", (event, x) => void (event.sequence && (event.type = "execution.started"))),
  "blank-cause": runs((run) => run.failure && delete run.failure.cause),

  "artifacts-five": lists((value) => value.items.pop()),
  "artifacts-newest-first": lists((value) => value.items.reverse().forEach((artifact, i) => void (artifact.createdAt = `2026-01-01T00:00:0${9 - i}.000Z`))),
  "artifacts-without-logs": lists((value) => void (value.items = value.items.filter((artifact) => artifact.kind !== "stdout_log"))),
  "artifacts-twice": lists((value) => value.items.push(...value.items.slice(0, 1))),
  "artifacts-of-nobody": artifacts((artifact) => delete artifact.runId),
  "artifacts-share-an-id": artifacts((artifact) => void (artifact.id = "artifact_11111111-1111-4111-8111-111111111111")),
  "artifact-sizes-uncompressed": artifacts((artifact) => void (artifact.sizeBytes *= 3)),
  "artifact-sizes-as-text": artifacts((artifact) => void (artifact.sizeBytes = String(artifact.sizeBytes))),
  "artifact-digests-prefixed": artifacts((artifact) => void (artifact.sha256 = "sha256:" + artifact.sha256)),
  "artifact-digests-wrong": artifacts((artifact) => void (artifact.sha256 = "0".repeat(64))),
  "artifact-metadata-null": artifacts((artifact) => void (artifact.metadata = null)),
  "artifact-metadata-empty": artifacts((artifact) => void (artifact.metadata = {})),
  "artifact-keys-flat": artifacts((artifact) => void (artifact.r2Key = artifact.kind)),
  "artifact-types-missing": artifacts((artifact) => delete artifact.contentType),
  "downloads-as-octets": when(isDownload, (x) => setHeader(x, "Content-Type", "application/octet-stream")),
  "downloads-empty": when((x) => isDownload(x) && x.status === 200, (x) => void (x.body = Buffer.alloc(0))),
  "downloads-never-empty": when((x) => isDownload(x) && x.status === 200, (x) => void (x.body = Buffer.concat([x.body, Buffer.from("\n")]))),
  "logs-inflated": when((x) => isDownload(x) && x.body?.[0] === 0x1f, (x) => void (x.body = Buffer.from("{}\n"))),
  "downloads-open": when((x) => isDownload(x) && x.status === 401, (x) => void (x.status = 200)),
  "index-in-other-codes": downloadsJson((value) => value.files?.forEach((file) => void (file.status = "A"))),
  "index-forgets": downloadsJson((value) => void value.files?.shift()),
  "index-lists-the-readme": downloadsJson((value) => void value.files?.push({ status: "??", path: "README.md" })),
  "patch-without-new-files": text((patch) => patch.replaceAll("new file mode 100644\n", "")),
  "patch-with-the-readme": text((patch) => patch + "diff --git a/README.md b/README.md\n"),
  "patch-of-the-turn-only": text((patch) => patch.replace(/diff --git a\/(one|kept)\.txt[\s\S]*?(?=diff --git|$)/, "")),
  "manifest-of-another-cursor": downloadsJson((value) => value.run && (value.run.lastEventSeq -= 1)),
  "manifest-without-events": downloadsJson((value) => value.events && (value.events = [])),
  "manifest-lists-itself": downloadsJson((value) => value.artifacts?.push({ kind: "session_manifest" })),
  "manifest-without-failure": downloadsJson((value) => value.run && delete value.run.failure),
  "archive-without-the-end": when((x) => isDownload(x) && x.body?.toString("latin1").startsWith('{"') && x.body.includes('"run.completed"') && x.body.includes("\n"), (x) => void (x.body = Buffer.from(x.body.toString("utf8").trimEnd().split("\n").slice(0, -1).join("\n") + "\n"))),
  "artifacts-can-be-deleted": when((x) => isDownload(x) && x.status === 405, ok),

  "messages-is-200": messages((x) => x.status === 202 && (x.status = 200)),
  "messages-name-the-first-run": messages((x) => x.status === 202 && (x.json.runId = x.json.conversationId)),
  "messages-name-the-turn-as-conversation": messages((x) => x.status === 202 && (x.json.conversationId = x.json.runId)),
  "messages-say-more": messages((x) => x.status === 202 && (x.json.status = "queued")),
  "turns-from-zero": { reply(x) {
    if (/\/messages$/.test(x.path) && x.status === 202) x.json.turnNumber -= 1;
    if (/\/turns$/.test(x.path)) x.json?.items?.forEach((item) => void (item.turnNumber -= 1));
  } },
  "continuable-later": messages((x) => x.status === 202 && answer(x, 409, { error: { code: "run_not_continuable", message: "no", details: {} } })),
  "busy-runs-take-turns": messages((x) => error(x)?.code === "run_busy" && ok(x)),
  "reviews-are-continuable": messages((x) => error(x)?.code === "run_not_continuable" && ok(x)),
  "closed-takes-turns": messages((x) => error(x)?.code === "session_closed" && answer(x, 202, { runId: "run_1", turnNumber: 9, conversationId: "run_1" })),
  "message-keys-ignored": messages((x) => (error(x)?.code === "idempotency_conflict" || x.headers.some(([name]) => /replayed/i.test(name))) && answer(x, 202, { runId: "run_1", turnNumber: 9, conversationId: "run_1" })),
  "approvals-may-loosen": messages((x) => x.status === 400 && /auto/.test(x.requestBody) && answer(x, 202, { runId: "run_1", turnNumber: 9, conversationId: "run_1" })),
  "turn-2-unasked": events((event) => void (event.payload.decision === "requires_approval" && (event.payload.decision = "allowed"))),
  "turn-in-a-new-sandbox": events((event) => void (event.type === "sandbox.resumed" && (event.type = "sandbox.created"))),
  "turn-answers-nothing": when((x) => /\/session$/.test(x.path) && x.json?.response, (x) => void (x.json.response.text = "not seen")),
  "turns-newest-first": turns((value) => value.items.reverse()),
  "turns-only-the-last": turns((value) => void value.items.splice(0, value.items.length - 1)),
  "turns-in-short": turns((value) => value.items.forEach((item) => void (item.prompt = item.prompt.slice(0, 20)))),
  "turns-bare-ids": turns((value) => value.items.forEach((item) => void (item.id = item.id.replace(/^(turn|run)_/, "")))),
  "turns-with-new-ids": turns((value, x) => value.items.forEach((item) => void (item.id += x.requestHeaders.some(([name]) => name === "x-again") ? "b" : value.items.length))),
  "turns-without-times": turns((value) => value.items.forEach((item) => delete item.createdAt)),
  "turns-of-this-run": turns((value, x) => void (value.conversationId = x.path.split("/")[3])),
  "turns-gone-when-closed": turns((value, x) => x.requestHeaders.some(([name]) => name === "x-again") && (value.items = [])),
  "close-not-reclaimed": close((value) => void (value.reclaimed = false)),
  "close-always-reclaimed": close((value) => void (value.reclaimed = true)),
  "close-names-this-run": close((value, x) => void (value.conversationId = x.path.split("/")[3])),
  "close-cancels-nothing": runs((run, x) => x.requestHeaders && run.status === "cancelling" && (run.status = "running")),
  "close-is-204": close((value, x) => void (x.status = 204)),
  "close-twice-is-409": close((value, x) => x.requestBody.length && value.reclaimed && answer(x, 409, { error: { code: "session_closed", message: "no", details: {} } })),
};
