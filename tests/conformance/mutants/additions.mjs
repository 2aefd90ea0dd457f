// Mutants of problem details, OpenAPI, filters, pages and the record.
import { answer, isCreate, isList, setHeader } from "./walk.mjs";

const when = (test, change) => ({ reply: (x) => void (test(x) && change(x)) });
const asked = (x) => x.requestHeaders.some(([name, value]) => name === "accept" && /problem/.test(value));
const problems = (change) => when((x) => asked(x) && x.status >= 400 && x.json, (x) => change(x.json, x));
const lists = (test, change) => when((x) => isList(x) && x.status === 200 && test.test(x.query) && x.json, (x) => change(x.json, x));
const record = (change) => when((x) => /\/record$/.test(x.path) && x.status === 200 && x.json, (x) => change(x.json, x));
const foreign = (value) => value.items.push({ id: "run_44444444-4444-4444-8444-444444444444" });

export const mutants = {
  "problems-as-envelopes": problems((value, x) => {
    setHeader(x, "Content-Type", "application/json");
    x.json = { error: { code: value.code, message: value.detail, details: value.details } };
  }),
  "problems-as-plain-json": problems((value, x) => setHeader(x, "Content-Type", "application/json")),
  "problems-without-code": problems((value) => delete value.code),
  "problems-without-title": problems((value) => delete value.title),
  "problems-without-details": problems((value) => delete value.details),
  "problems-always": when((x) => x.status >= 400 && x.json?.error && /\*/.test(x.requestHeaders.find(([name]) => name === "accept")?.[1] ?? ""), (x) => {
    setHeader(x, "Content-Type", "application/problem+json");
    x.json = { type: "about:blank", title: "No", status: x.status, code: x.json.error.code };
  }),
  "problems-on-success": when((x) => asked(x) && x.status < 400, (x) => setHeader(x, "Content-Type", "application/problem+json")),
  "openapi-behind-the-key": when((x) => x.path === "/openapi.json" && !x.requestHeaders.some(([name]) => name === "authorization"), (x) => answer(x, 401, { error: { code: "unauthorized", message: "no" } })),
  "openapi-of-old": when((x) => x.path === "/openapi.json" && x.json, (x) => void (x.json.openapi = "3.0.3")),
  "openapi-incomplete": when((x) => x.path === "/openapi.json" && x.json, (x) => void (x.json.paths = Object.fromEntries(Object.entries(x.json.paths).filter(([path]) => !/turns/.test(path))))),
  "workspaces-ignored": when((x) => x.path === "/v1/runs" && x.requestHeaders.some(([name]) => name === "x-workspace-id"), (x) => answer(x, 200, { items: [] })),
  "workspaces-ignored-by-id": when((x) => x.path !== "/v1/runs" && x.requestHeaders.some(([name]) => name === "x-workspace-id"), (x) => answer(x, 403, { error: { code: "forbidden", message: "no" } })),
  "never-ready": when((x) => x.path === "/readyz", (x) => answer(x, 503, { ok: false })),
  "cursors-missing": lists(/limit=2$/, (value) => delete value.nextCursor),
  "cursors-to-the-end": lists(/limit=2&cursor/, (value) => void (value.nextCursor = null)),
  "cursors-repeat": lists(/cursor=/, (value) => value.items.unshift({ ...value.items[0], id: "run_44444444-4444-4444-8444-444444444444" })),
  "tag-filters-loose": lists(/tag\.team/, foreign),
  "tag-filters-any": lists(/tag\.stage/, foreign),
  "runtime-filter-loose": lists(/runtime=/, foreign),
  "conversation-filter-loose": lists(/conversationId=/, foreign),
  "conversation-filter-oldest-first": lists(/conversationId=/, (value) => value.items.reverse()),
  "time-filters-crossed": lists(/created(Before|After)=/, (value) => void (value.items = [])),
  "search-finds-nothing": lists(/(^|&)q=/, (value) => void (value.items = [])),
  "search-is-an-expression": when((x) => isList(x) && /q=(%22|a\*|NEAR)/.test(x.query), (x) => answer(x, 500, { error: { code: "internal_error", message: "no" } })),
  "tags-not-kept": when((x) => isCreate(x) && x.json?.input?.tags, (x) => delete x.json.input.tags),
  "record-in-short": record((value, x) => void (x.json = { run: value.run })),
  "record-of-another-run": record((value) => void (value.run.id = "run_1")),
  "record-state-behind": record((value) => void (value.state = "running")),
  "record-phase-missing": record((value) => delete value.phase),
  "record-cursor-ahead": record((value) => void (value.eventCursor.lastEventSeq += 1)),
  "record-without-usage": record((value) => void (value.usage = null)),
  "record-without-decisions": record((value) => value.actions.forEach((action) => delete action.policy)),
  "record-without-artifacts": record((value) => void (value.artifacts.items = [])),
  "record-without-patch": record((value) => void (value.patch = null)),
  "record-of-another-runtime": record((value) => void (value.runtime = { kind: "claude_code", permissionMode: "default" })),
  "record-counts-no-files": record((value) => value.patch && (value.patch.fileCount = 0)),
  "record-offers-everything": record((value) => void (value.operations = ["cancel", "continue"])),
  "record-offers-nothing": record((value) => void (value.operations = [])),
  "record-hides-questions": record((value) => void (value.pendingApprovals = [])),
};
