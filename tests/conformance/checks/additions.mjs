// What is added to the published API (contract section 13): problem details, OpenAPI, filters, record.
import { check as define } from "../lib/session.mjs";
import { unknownRun } from "../lib/context.mjs";

const check = define;
const plain = { sim: false };
const wantsProblem = { headers: { Accept: "application/problem+json" } };

check("problem/media-type", "With Accept: application/problem+json an error is a problem document of that type.", async (t) => {
  const reply = await t.get(`/v1/runs/${unknownRun}`, wantsProblem);
  t.status(reply, 404);
  t.match(reply.header("content-type"), /^application\/problem\+json/, "content-type");
}, plain);
check("problem/members", "A problem document has type, title, status and detail, and the code of the envelope.", async (t) => {
  const { json } = await t.get(`/v1/runs/${unknownRun}`, wantsProblem);
  t.equal([json.status, json.code], [404, "run_not_found"], "status and code");
  for (const key of ["type", "title", "detail"]) t.ok(typeof json[key] === "string" && json[key], `${key} is missing`);
}, plain);
check("problem/details", "A problem document keeps the details: the issues of a validation error.", async (t) => {
  const { json } = await t.post("/v1/runs", { task: "" }, wantsProblem);
  t.equal(json.code, "validation_error", "code");
  t.equal(json.details?.issues?.[0]?.path, ["task"], "path of the first issue");
}, plain);
check("problem/401", "A missing key is a problem document too where one is asked for.", async (t) => {
  const reply = await t.get("/v1/runs", { key: null, ...wantsProblem });
  t.match(reply.header("content-type"), /^application\/problem\+json/, "content-type");
  t.equal([reply.status, reply.json.status, reply.json.code], [401, 401, "unauthorized"], "status and code");
}, plain);
check("problem/not-asked-for", "Without asking, errors have the published envelope.", async (t) => {
  const reply = await t.get(`/v1/runs/${unknownRun}`, { headers: { Accept: "*/*" } });
  t.match(reply.header("content-type"), /^application\/json/, "content-type");
  t.error(reply, 404, "run_not_found");
}, plain);
check("problem/success-unchanged", "A success is the same whatever errors should look like.", async (t) => {
  const reply = await t.get("/healthz", wantsProblem);
  t.status(reply, 200);
  t.match(reply.header("content-type"), /^application\/json/, "content-type");
}, plain);

check("openapi/served", "GET /openapi.json gives an OpenAPI 3.1 document without a key.", async (t) => {
  const reply = await t.get("/openapi.json", { key: null });
  t.status(reply, 200);
  t.match(reply.json.openapi, /^3\.1\./, "openapi");
}, plain);
check("openapi/endpoints", "The document lists every endpoint of the contract with its method.", async (t) => {
  const { paths } = (await t.get("/openapi.json")).json;
  const plainPath = (path) => path.replace(/\{[^}]+\}/g, "{}");
  const got = new Set(Object.entries(paths).flatMap(([path, item]) => Object.keys(item).map((method) => `${method} ${plainPath(path)}`)));
  for (const wanted of ["get /v1/runs", "post /v1/runs", "get /v1/runs/{}", "get /v1/runs/{}/session", "get /v1/runs/{}/events", "get /v1/runs/{}/stream", "post /v1/runs/{}/cancel",
    "post /v1/runs/{}/actions/{}/approve", "post /v1/runs/{}/actions/{}/deny", "post /v1/runs/{}/messages", "get /v1/runs/{}/turns", "post /v1/runs/{}/close", "get /v1/runs/{}/artifacts",
    "get /v1/runs/{}/artifacts/{}/download", "get /healthz"]) t.ok(got.has(wanted), `${wanted} is not in it`);
}, plain);
check("ready/answers", "/readyz answers without a key.", async (t) => t.status(await t.get("/readyz", { key: null }), 200), plain);

check("workspace/looks-missing", "A workspace that the key does not open looks missing.", async (t) => {
  t.status(await t.get("/v1/runs", { headers: { "x-workspace-id": "no-such-workspace-of-ours" } }), 404);
}, plain);
check("workspace/not-by-id", "A run is not found through a workspace that the key does not open.", async (t) => {
  t.status(await t.get(`/v1/runs/${unknownRun}`, { headers: { "x-workspace-id": "no-such-workspace-of-ours" } }), 404);
}, plain);

const ids = (reply) => reply.json.items.map((run) => run.id);
check("page/next-cursor", "A page that is not the last has a nextCursor, and the cursor gives the page that follows.", async (t) => {
  const { pages } = await t.fixture("tagged");
  t.ok(typeof pages[0].json.nextCursor === "string" && pages[0].json.nextCursor, "no nextCursor");
  t.equal(ids(pages[0]).length, 2, "items");
  t.equal(ids(pages[1]).filter((id) => ids(pages[0]).includes(id)), [], "runs in both pages");
});
check("page/all", "Walking by cursor gives every run once, newest first.", async (t) => {
  const { pages, created } = await t.fixture("tagged");
  t.equal(pages.flatMap(ids), created.map((reply) => reply.json.id).reverse(), "runs");
});
check("page/last", "nextCursor is absent at the end.", async (t) => {
  const { pages } = await t.fixture("tagged");
  t.ok(pages.length > 1, "one page only");
  t.ok(!("nextCursor" in pages[pages.length - 1].json), "nextCursor is there");
});
check("page/broken-cursor", "A broken cursor is 400.", async (t) => t.invalid(await t.get("/v1/runs?cursor=nonsense"), "cursor"), plain);
check("filter/tag", "tag.<k>=<v> gives the runs with that tag, and only them.", async (t) => {
  const { byTag, created } = await t.fixture("tagged");
  t.equal(ids(byTag).sort(), created.slice(0, 2).map((reply) => reply.json.id).sort(), "runs");
});
check("filter/tags-together", "Several tag filters must all hold.", async (t) => {
  const { byBoth, created } = await t.fixture("tagged");
  t.equal(ids(byBoth), [created[1].json.id], "runs");
});
check("filter/runtime", "runtime gives the runs of that kind.", async (t) => {
  const { claude, created } = await t.fixture("tagged");
  t.equal(ids(claude), [created[2].json.id], "runs");
});
check("filter/unknown-runtime", "A runtime that does not exist is 400.", async (t) => t.invalid(await t.get("/v1/runs?runtime=other"), "runtime"), plain);
check("filter/conversation", "conversationId gives the turns of one conversation, newest first.", async (t) => {
  const { first, second, third } = await t.fixture("talk");
  t.equal(ids(await t.get(`/v1/runs?conversationId=${first.id}`)), [third.id, second.id, first.id], "runs");
});
check("filter/created-after", "createdAfter and createdBefore bound queuedAt.", async (t) => {
  const { mark, created } = await t.fixture("tagged");
  const at = created[1].json.queuedAt;
  const before = await t.get(`/v1/runs?tag.mark=${mark}&createdBefore=${at}`);
  const after = await t.get(`/v1/runs?tag.mark=${mark}&createdAfter=${at}`);
  t.ok(ids(before).includes(created[0].json.id) && !ids(before).includes(created[3].json.id), "createdBefore");
  t.ok(ids(after).includes(created[3].json.id) && !ids(after).includes(created[0].json.id), "createdAfter");
});
check("filter/bad-time", "A time that is none is 400.", async (t) => t.invalid(await t.get("/v1/runs?createdAfter=yesterday"), "createdAfter"), plain);
check("filter/text", "q finds runs by the words of their task.", async (t) => {
  const { word, found, created } = await t.fixture("tagged");
  t.equal(ids(found), [created[3].json.id], `runs with ${word}`);
});
check("filter/final-answer", "q finds runs by the words of their final answer.", async (t) => {
  const { answered, id } = await t.fixture("answered");
  t.equal(ids(answered), [id], "runs");
});
check("filter/text-is-data", "q is text, never an expression that can fail.", async (t) => {
  for (const q of ['"', "a*(", "NEAR(", "x OR", "-", "col:x"]) t.status(await t.get(`/v1/runs?q=${encodeURIComponent(q)}`), 200);
}, plain);
check("tags/echo", "tags of a request are in its input.", async (t) => {
  const { created, mark } = await t.fixture("tagged");
  t.equal(created[1].json.input.tags, { mark, team: "a", stage: "two" }, "tags");
});
for (const [name, tags] of [["list", ["a"]], ["number", { a: 1 }], ["null", null], ["text", "a"]]) {
  check(`tags/refused-${name}`, "tags is a map of strings.", async (t) => t.invalid(await t.post("/v1/runs", { task: "sim: reply x", tags }), "tags"), plain);
}

check("record/200", "GET record is 200 with the run, its state and phase, attempt, runtime, usage, actions, pending approvals, patch, artifacts, cursor and operations.", async (t) => {
  const { record } = await t.fixture("recorded");
  t.status(record, 200);
  for (const key of ["run", "state", "phase", "attempt", "runtime", "usage", "actions", "pendingApprovals", "patch", "artifacts", "eventCursor", "operations"]) t.ok(key in record.json, `${key} is missing`);
});
check("record/run", "The record's run is the run.", async (t) => {
  const { record, run } = await t.fixture("recorded");
  t.equal(record.json.run, run.json, "run");
  t.equal(record.json.runtime, run.json.runtime, "runtime");
});
check("record/state", "The record of an ended run says its state, and that it has ended.", async (t) => {
  const { json } = (await t.fixture("recorded")).record;
  t.equal([json.state, json.phase], ["completed", "ended"], "state and phase");
});
check("record/cursor", "The record's cursor is the run's last event.", async (t) => {
  const { record, events } = await t.fixture("recorded");
  t.equal(record.json.eventCursor, { lastEventSeq: events.length }, "eventCursor");
});
check("record/usage", "The record has the usage in tokens.", async (t) => {
  const { usage } = (await t.fixture("recorded")).record.json;
  t.ok(usage?.inputTokens > 0 && usage.outputTokens > 0, JSON.stringify(usage));
});
check("record/actions", "The record lists the actions with policy and decision.", async (t) => {
  const { record, events } = await t.fixture("recorded");
  const proposed = events.find((event) => event.type === "action.proposed").payload;
  t.equal(record.json.actions.map((action) => [action.actionId, action.actionDigest, action.policy?.decision]), [[proposed.actionId, proposed.actionDigest, "allowed"]], "actions");
});
check("record/artifacts", "The record lists the artifacts.", async (t) => {
  const { record, artifacts } = await t.fixture("recorded");
  t.equal(record.json.artifacts.items, artifacts.json.items, "items");
});
check("record/patch", "The record has a summary of the latest patch.", async (t) => {
  const { record, byKind } = await t.fixture("recorded");
  t.equal(record.json.patch?.bytes, byKind.workspace_patch.sizeBytes, "bytes");
  t.equal(record.json.patch.fileCount, 2, "fileCount");
});
check("record/operations-of-ended-runs", "An ended run in an open conversation can be continued and closed, not cancelled.", async (t) => {
  const { operations } = (await t.fixture("recorded")).record.json;
  t.ok(operations.includes("continue") && operations.includes("close") && !operations.includes("cancel"), `operations ${operations}`);
});
check("record/waiting", "The record of a run that waits says so and names the pending approval.", async (t) => {
  const { id, requested } = await t.fixture("waiting");
  const { json } = await t.get(`/v1/runs/${id}/record`);
  t.equal(json.phase, "waiting_for_approval", "phase");
  t.equal(json.pendingApprovals.map(({ actionId, actionDigest }) => [actionId, actionDigest]), [[requested.payload.actionId, requested.payload.actionDigest]], "pendingApprovals");
});
check("record/operations-while-waiting", "A run that waits can be approved, denied, cancelled.", async (t) => {
  const { operations } = (await t.get(`/v1/runs/${(await t.fixture("waiting")).id}/record`)).json;
  for (const wanted of ["approve", "deny", "cancel"]) t.ok(operations.includes(wanted), `operations ${operations}`);
});
