// Mutants of runs, the list, cancelling, sessions, idempotency.
import { answer, error, everyObject, isCreate, isList, runs, setHeader } from "./walk.mjs";

const when = (test, change) => ({ reply: (x) => void (test(x) && change(x)) });
const created = (change) => when((x) => isCreate(x) && x.status < 300 && x.json, (x) => change(x.json, x));
const session = (change) => when((x) => /\/session$/.test(x.path) && x.status === 200 && x.json, (x) => change(x.json, x));
const list = (change) => when((x) => isList(x) && x.status === 200 && x.json, (x) => change(x.json, x));
const cancel = (change) => when((x) => /\/cancel$/.test(x.path) && x.status === 200 && x.json, (x) => change(x.json, x));
const refuse = (x, path) => answer(x, 400, { error: { code: "validation_error", message: "no", details: { issues: [{ code: "custom", path, message: "no" }] } } });

let served = 0;

export const mutants = {
  "create-is-200": when((x) => isCreate(x) && x.status === 201, (x) => void (x.status = 200)),
  "create-always-201": when((x) => isCreate(x) && x.status === 200, (x) => void (x.status = 201)),
  "starts-before-it-answers": created((run) => void (run.status = "starting")),
  "bare-uuids": runs((run) => void (run.id = run.id.replace(/^run_/, ""))),
  "last-event-ahead": runs((run) => void (run.lastEventSeq += 1)),
  "session-id-omitted": runs((run) => delete run.sessionId),
  "session-id-is-the-runs": runs((run) => void (run.sessionId &&= run.id)),
  "session-id-at-once": runs((run) => void (run.sessionId ??= "sess_11111111-1111-4111-8111-111111111111")),
  "session-per-turn": runs((run) => void (run.sessionId &&= "sess_" + run.id.slice(4))),
  "conversation-null": runs((run) => void (run.conversationId = null)),
  "conversation-is-the-run": runs((run) => void (run.conversationId = run.id)),
  "times-in-seconds": runs((run) => {
    for (const key of ["queuedAt", "startedAt", "completedAt", "cancelRequestedAt"]) if (run[key]) run[key] = run[key].replace(/\.\d+Z/, "Z");
  }),
  "times-null-when-unset": runs((run) => {
    for (const key of ["startedAt", "completedAt", "cancelRequestedAt"]) run[key] ??= null;
  }),
  "failure-on-success": runs((run) => void (run.failure ??= {})),
  "no-failure-codes": runs((run) => void (run.failure && (run.failure = { reason: run.failure.code }))),
  "one-failure-code": runs((run) => void (run.failure && (run.failure = { code: "worker_failed" }))),
  "times-backwards": runs((run) => ([run.queuedAt, run.completedAt] = [run.completedAt ?? run.queuedAt, run.queuedAt])),
  "queued-at-moves": when((x) => !isCreate(x), (x) => runs((run) => void (run.queuedAt = "2025-01-01T00:00:00.000Z")).reply(x)),
  "replay-is-new": when((x) => isCreate(x) && x.status === 200, (x) => void (x.json.queuedAt = "2025-01-01T00:00:00.000Z")),
  "tasks-in-full": runs((run) => void (run.task = run.input?.task ?? run.task)),
  "tasks-cut-by-bytes": runs((run) => void (run.task = Buffer.from(run.task).subarray(0, 500).toString("utf8").replace(/\ufffd$/, ""))),
  "tasks-cut-by-characters": runs((run) => void (run.task = [...(run.input?.task ?? "")].slice(0, 500).join(""))),
  "tasks-hidden": runs((run) => void (run.task = "")),
  "input-cut": runs((run) => void (run.input && (run.input.task = run.input.task.slice(0, 500)))),
  "input-untrimmed": runs((run) => void (run.input && (run.input.task += " "))),
  "input-ascii": runs((run) => void (run.input && (run.input.task = run.input.task.replace(/[^ -~\n]/g, "?")))),
  "input-without-defaults": runs((run) => delete run.input?.runtime?.mode),
  "input-with-more-defaults": runs((run) => run.input && (run.input.approvalMode ??= "auto")),
  "input-without-metadata": runs((run) => delete run.input?.metadata),
  "input-without-approval": runs((run) => delete run.input?.approvalMode),
  "metadata-as-text": runs((run) => run.input?.metadata && everyObject(run.input.metadata, (object) => Object.keys(object).forEach((key) => typeof object[key] === "number" && (object[key] = String(object[key]))))),
  "metadata-inherited": runs((run) => run.input && (run.input.metadata ??= { turn: 1 })),
  "runtime-in-short": runs((run) => void (run.runtime = { kind: run.runtime.kind })),
  "runtime-always-default": runs((run) => void (run.runtime = { kind: "codex", mode: "default" })),
  "runtime-model-null": runs((run) => run.runtime && (run.runtime.model ??= null)),
  "models-refused": when((x) => isCreate(x) && /"model"/.test(x.requestBody.toString()) && x.status === 201, (x) => refuse(x, ["runtime", "model"])),
  "modes-refused": when((x) => isCreate(x) && x.status === 201 && /(mode|permissionMode|approvalMode)"\s*:/.test(x.requestBody.toString()), (x) => refuse(x, ["runtime"])),
  "long-tasks-refused": when((x) => isCreate(x) && x.status === 201 && x.requestBody.length > 1500, (x) => refuse(x, ["task"])),
  "runs-change": runs((run, x) => /GET/.test(x.method) && (run.input.task += " (seen)")),
  "runs-lost": when((x) => x.method === "GET" && /^\/v1\/runs\/[^/]+$/.test(x.path) && x.status === 200, (x) => answer(x, 404, { error: { code: "run_not_found", message: "no", details: {} } })),
  "never-ends": runs((run) => run.status === "completed" && (run.status = "running")),
  "completed-is-succeeded": runs((run) => run.status === "completed" && (run.status = "succeeded")),
  "failed-is-completed": runs((run) => run.status === "failed" && (run.status = "completed")),
  "started-at-missing": runs((run) => delete run.startedAt),
  "waiting-is-queued": runs((run, x) => x.method === "GET" && ["starting", "running"].includes(run.status) && (run.status = "queued")),
  "good-runs-fail": runs((run) => run.status === "completed" && (run.status = "failed")),
  "cancelled-is-failed": runs((run) => run.status === "cancelled" && (run.status = "failed")),
  "ended-runs-move": runs((run, x) => x.method === "GET" && run.completedAt && (run.completedAt = new Date(1.7e12 + ++served).toISOString())),

  "session-without-run-times": session((value) => delete value.run?.completedAt),
  "session-cursor-behind": session((value) => void (value.eventCursor.lastEventSeq -= 1)),
  "session-without-response": session((value) => void (value.response = null)),
  "session-response-in-short": session((value) => value.response && (value.response = { text: value.response.text.slice(0, 20000), parts: [] })),
  "session-response-always": session((value) => void (value.response ??= { text: "", parts: [] })),
  "session-response-anonymous": session((value) => value.response && (value.response = { text: value.response.text, parts: value.response.parts })),
  "session-manifest-missing": session((value) => void (value.artifactManifest = { status: "missing" })),
  "session-manifest-always": session((value) => void (value.artifactManifest.status = "available")),
  "session-without-artifacts": session((value) => delete value.artifacts),
  "session-artifacts-cut": session((value) => value.artifacts?.items.pop()),

  "list-oldest-first": list((value) => value.items.reverse()),
  "list-of-20": list((value) => void value.items.splice(20)),
  "list-of-fifty-at-most": list((value, x) => /limit=100&/.test(x.query) && void value.items.splice(50)),
  "list-ignores-limit": list((value) => value.items.push(...structuredClone(value.items.slice(0, 1)))),
  "list-empty": list((value) => void (value.items = [])),
  "list-is-bare": list((value, x) => void (x.json = value.items)),
  "list-of-summaries": list((value) => value.items.forEach((run) => delete run.input)),
  "list-ignores-status": list((value, x) => /status=/.test(x.query) && value.items[0] && (value.items = ["queued", "starting", "running", "cancelling", "completed", "failed", "cancelled"].map((status) => ({ ...value.items[0], status })))),
  "list-status-shifted": list((value, x) => /status=/.test(x.query) && (value.items.length ? value.items.forEach((run) => void (run.status = "odd")) : value.items.push({ status: "odd" }))),
  "list-numbers-strict": when((x) => /=(0x|%20|[0-9]e|-|&|$)/.test(x.query) && x.status === 200 && x.method === "GET", (x) => refuse(x, ["limit"])),

  "cancel-is-202": when((x) => /\/cancel$/.test(x.path) && x.status === 200, (x) => void (x.status = 202)),
  "cancel-shows-the-old-state": cancel((run) => run.status === "cancelling" && (run.status = "running")),
  "cancel-never-cancels": runs((run) => run.status === "cancelled" && (run.status = "cancelling")),
  "cancel-without-a-time": runs((run) => delete run.cancelRequestedAt),
  "cancel-touches-ended-runs": cancel((run) => void (run.cancelRequestedAt = "2027-01-01T00:00:00.000Z")),
  "cancel-fails-the-run": runs((run) => run.status === "cancelled" && (run.failure = { code: "run_cancelled" })),

  "replay-silent": { reply: (x) => setHeader(x, "Idempotent-Replayed") },
  "replay-always-said": { reply: (x) => setHeader(x, "Idempotent-Replayed", "true") },
  "replay-as-created": when((x) => isCreate(x) && x.status === 200, (x) => void (x.json.status = "queued")),
  "keys-ignored": when((x) => isCreate(x) && (x.status === 200 || error(x)?.code === "idempotency_conflict"), (x) => {
    const id = "run_22222222-2222-4222-8222-222222222222";
    answer(x, 201, { ...(x.json.id ? x.json : {}), id, queuedAt: "2026-01-01T00:00:00.000Z" });
  }),
  "keys-compare-bytes": when((x) => isCreate(x) && x.status === 200, (x) => answer(x, 409, { error: { code: "idempotency_conflict", message: "no", details: {} } })),
  "keys-never-conflict": when((x) => error(x)?.code === "idempotency_conflict", (x) => answer(x, 200, {})),
  "conflict-code-of-our-own": when((x) => error(x)?.code === "idempotency_conflict", (x) => void (error(x).code = "conflict")),
  "one-run-for-all": when((x) => isCreate(x) && x.status === 201, (x) => {
    x.status = 200;
    x.json.id = "run_33333333-3333-4333-8333-333333333333";
  }),
  "concurrent-keys-crash": when((x) => isCreate(x) && x.status === 200 && /concurrent/.test(x.requestHeaders.find(([name]) => name === "idempotency-key")?.[1] ?? ""), (x) => answer(x, 500, { error: { code: "internal_error", message: "no" } })),
};
