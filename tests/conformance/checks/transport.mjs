// Authentication, routes, methods, HEAD.
import { check as define } from "../lib/session.mjs";
import { unknownRun } from "../lib/context.mjs";

const check = (name, sentence, run) => define(name, sentence, run, { sim: false });

check("health/answers", "GET /healthz answers 200.", async (t) => t.status(await t.get("/healthz"), 200));

check("health/body", "The body of /healthz is {\"ok\":true}.", async (t) => {
  const reply = await t.get("/healthz");
  t.equal(reply.json, { ok: true });
});

check("health/needs-no-key", "/healthz is answered without a key.", async (t) => {
  t.equal((await t.get("/healthz", { key: null })).json, { ok: true });
  t.equal((await t.get("/healthz", { key: "wrong" })).json, { ok: true });
});

for (const [name, sentence, options] of [
  ["missing", "A request without Authorization is 401 unauthorized.", { key: null }],
  ["wrong", "A wrong key is 401 unauthorized.", { key: "wrong-key" }],
  ["empty", "An empty token is 401 unauthorized.", { key: null, headers: { Authorization: "Bearer " } }],
  ["no-token", "A scheme without a token is 401 unauthorized.", { key: null, headers: { Authorization: "Bearer" } }],
  ["basic", "Another scheme than Bearer is 401 unauthorized.", { key: null, headers: { Authorization: "Basic YWJj" } }],
]) {
  check(`auth/${name}`, sentence, async (t) => t.error(await t.get("/v1/runs", options), 401, "unauthorized"));
}

check("auth/lower-case-scheme", "The scheme is spelled exactly \"Bearer \": \"bearer \" is 401.", async (t) =>
  t.error(await t.get("/v1/runs", { key: null, headers: { Authorization: `bearer ${t.session.key}` } }), 401, "unauthorized"));

check("auth/bare-key", "The key without a scheme is 401.", async (t) =>
  t.error(await t.get("/v1/runs", { key: null, headers: { Authorization: t.session.key } }), 401, "unauthorized"));

check("auth/longer-key", "The whole key is compared: one that only begins with the right key is 401.", async (t) =>
  t.error(await t.get("/v1/runs", { key: t.session.key + "x" }), 401, "unauthorized"));

check("auth/shorter-key", "The whole key is compared: a part of the right key is 401.", async (t) =>
  t.error(await t.get("/v1/runs", { key: t.session.key.slice(0, -1) }), 401, "unauthorized"));

check("auth/trimmed", "The token is trimmed.", async (t) =>
  t.status(await t.get("/v1/runs?limit=1", { key: null, headers: { Authorization: `Bearer   ${t.session.key}  ` } }), 200));

check("auth/details", "The details of unauthorized are {}.", async (t) =>
  t.equal((await t.get("/v1/runs", { key: null })).json.error?.details, {}, "details"));

check("auth/not-in-query", "The key is taken from the Authorization header only.", async (t) =>
  t.error(await t.get(`/v1/runs?key=${t.session.key}&token=${t.session.key}`, { key: null }), 401, "unauthorized"));

check("auth/before-body", "Authentication comes before the body: a malformed body without a key is 401.", async (t) =>
  t.error(await t.post("/v1/runs", "{broken", { key: null }), 401, "unauthorized"));

check("auth/before-route", "An unknown route without a key is 401.", async (t) => {
  t.error(await t.get("/v1/nothing-here", { key: null }), 401, "unauthorized");
  t.error(await t.get("/nothing-here", { key: null }), 401, "unauthorized");
});

check("auth/before-validation", "A request that does not fit its schema is 401 without a key.", async (t) =>
  t.error(await t.get("/v1/runs?limit=0", { key: null }), 401, "unauthorized"));

check("auth/before-existence", "Without a key it cannot be told whether a run exists.", async (t) =>
  t.error(await t.get(`/v1/runs/${unknownRun}`, { key: null }), 401, "unauthorized"));

for (const [name, path] of [
  ["unknown", "/v1/nothing-here"], ["root-of-api", "/v1"], ["deeper", `/v1/runs/${unknownRun}/events/1`], ["other-version", "/v2/runs"],
]) {
  check(`routes/${name}`, "An unknown route with a key is 404 with the code not_found in the error envelope.", async (t) => {
    const error = t.error(await t.get(path), 404, "not_found");
    t.ok(!("statusCode" in error), "the envelope holds a status");
  });
}

check("routes/post-unknown", "An unknown route is 404 for POST as for GET.", async (t) => t.error(await t.post("/v1/nothing-here", {}), 404, "not_found"));

check("routes/trailing-slash", "There is no tolerance of trailing slashes.", async (t) => {
  t.error(await t.get("/v1/runs/"), 404, "not_found");
  t.error(await t.get(`/v1/runs/${unknownRun}/`), 404, "not_found");
});

check("routes/case", "Paths are case-sensitive.", async (t) => t.error(await t.get("/v1/Runs"), 404, "not_found"));

for (const [method, path] of [["GET", "/v1/sessions"], ["POST", "/v1/sessions"], ["GET", "/v1/sessions/sess_1"], ["POST", "/v1/sessions/sess_1/messages"]]) {
  check(`routes/no-sessions-${method.toLowerCase()}-${path.split("/").length}`, "/v1/sessions and everything below it is 404.", async (t) =>
    t.error(await t.request(method, path, method === "POST" ? { body: {} } : {}), 404, "not_found"));
}

for (const [method, path, allowed] of [
  ["DELETE", "/v1/runs", ["GET", "POST"]], ["PUT", "/v1/runs", ["GET", "POST"]], ["POST", `/v1/runs/${unknownRun}/events`, ["GET"]],
  ["POST", `/v1/runs/${unknownRun}/session`, ["GET"]], ["GET", `/v1/runs/${unknownRun}/cancel`, ["POST"]], ["GET", `/v1/runs/${unknownRun}/messages`, ["POST"]],
  ["GET", `/v1/runs/${unknownRun}/close`, ["POST"]], ["POST", `/v1/runs/${unknownRun}/turns`, ["GET"]],
  ["GET", `/v1/runs/${unknownRun}/actions/action_1/approve`, ["POST"]], ["POST", `/v1/runs/${unknownRun}/artifacts`, ["GET"]],
]) {
  const name = `${method.toLowerCase()}-${path.split("/").slice(2).filter((part) => part !== unknownRun).join("-")}`;
  check(`methods/${name}`, "A wrong method is 405 method_not_allowed with Allow.", async (t) => {
    const reply = await t.request(method, path, method === "GET" ? {} : { body: {} });
    t.error(reply, 405, "method_not_allowed");
    const allow = (reply.header("allow") ?? "").split(",").map((word) => word.trim());
    for (const wanted of allowed) t.ok(allow.includes(wanted), `Allow lacks ${wanted}: ${allow}`);
  });
}

async function sameWithoutBody(t, path) {
  const get = await t.get(path);
  const head = await t.request("HEAD", path);
  t.equal(head.status, get.status, "status of HEAD");
  t.equal(head.header("content-type"), get.header("content-type"), "content-type of HEAD");
  t.equal(head.body.length, 0, "bytes after the head");
}

check("head/health", "HEAD works on every GET route: /healthz.", (t) => sameWithoutBody(t, "/healthz"));
check("head/runs", "HEAD works on every GET route: the list of runs.", (t) => sameWithoutBody(t, "/v1/runs?limit=1"));
check("head/unknown-run", "HEAD of an unknown run is 404 like its GET.", async (t) => {
  t.status(await t.request("HEAD", `/v1/runs/${unknownRun}`), 404);
});
check("head/needs-the-key", "HEAD needs the key as GET does.", async (t) => t.status(await t.request("HEAD", "/v1/runs", { key: null }), 401));
check("head/no-bytes-follow", "A HEAD response has no body, so that the next response on the connection is read right.", async (t) => {
  const first = t.bytesOf("HEAD", "/healthz", { headers: { Connection: "keep-alive" } });
  const second = t.bytesOf("GET", "/healthz");
  const connection = t.connect(Buffer.concat([first, second]));
  let text = "";
  for (let piece; (piece = await connection.next(t.session.seconds)) !== null; ) text += piece.toString("latin1");
  const [head, rest] = [text.slice(0, text.indexOf("\r\n\r\n")), text.slice(text.indexOf("\r\n\r\n") + 4)];
  t.match(head, /^HTTP\/1\.1 200 /, "the first response");
  t.match(rest, /^HTTP\/1\.1 200 /, "what follows the head");
  t.ok(rest.endsWith('{"ok":true}'), "the second response is cut");
});

for (const part of ["", "/session", "/events", "/artifacts", "/turns", "/stream"]) {
  define(`head/run${part.replace("/", "-")}`, `HEAD works on every GET route: /v1/runs/{runId}${part}.`, async (t) => {
    const { id } = await t.fixture("done");
    await sameWithoutBody(t, `/v1/runs/${id}${part}`);
  });
}
define("head/download", "HEAD works on every GET route: the download of an artifact, with its Content-Length.", async (t) => {
  const { id, artifacts } = await t.fixture("done");
  const artifact = artifacts.json.items[0];
  const head = await t.request("HEAD", `/v1/runs/${id}/artifacts/${artifact.id}/download`);
  t.status(head, 200);
  t.equal(Number(head.header("content-length")), artifact.sizeBytes, "content-length");
  t.equal(head.body.length, 0, "bytes after the head");
});

for (const [name, method, path, code] of [
  ["run", "GET", "", "run_not_found"], ["session", "GET", "/session", "run_not_found"], ["events", "GET", "/events", "run_not_found"],
  ["stream", "GET", "/stream", "run_not_found"], ["cancel", "POST", "/cancel", "run_not_found"], ["messages", "POST", "/messages", "run_not_found"],
  ["turns", "GET", "/turns", "run_not_found"], ["close", "POST", "/close", "run_not_found"], ["artifacts", "GET", "/artifacts", "run_not_found"],
  ["approve", "POST", "/actions/action_1/approve", "run_not_found"], ["deny", "POST", "/actions/action_1/deny", "run_not_found"],
  ["record", "GET", "/record", "run_not_found"],
]) {
  const body = name === "messages" ? { message: "x" } : /approve|deny/.test(name) ? { actionDigest: "sha256:0" + "0".repeat(63) } : {};
  check(`unknown-run/${name}`, `An unknown run is 404 ${code} on ${method} /v1/runs/{runId}${path}, with details {}.`, async (t) => {
    const error = t.error(await t.request(method, `/v1/runs/${unknownRun}${path}`, method === "POST" ? { body } : {}), 404, code);
    t.equal(error.details, {}, "details");
  });
}

check("unknown-run/download", "The download route answers artifact_not_found also for an unknown run.", async (t) => {
  const error = t.error(await t.get(`/v1/runs/${unknownRun}/artifacts/artifact_1/download`), 404, "artifact_not_found");
  t.equal(error.details, {}, "details");
});

check("unknown-run/odd-id", "An id that no server made is just unknown: 404, never 500.", async (t) => {
  for (const id of ["x", "run_1", "%F0%9F%98%80", "a%20b", "..%2F..%2Fetc"]) t.error(await t.get(`/v1/runs/${id}`), 404, "run_not_found");
});

check("unknown-run/nul-in-id", "A NUL in the path is 400 or 404, never 500.", async (t) => {
  const reply = await t.get("/v1/runs/a%00b");
  t.ok([400, 404].includes(reply.status), `status ${reply.status}`);
});
