// Bodies, sizes, media types, headers of every reply.
import { check as define } from "../lib/session.mjs";
import { unknownRun } from "../lib/context.mjs";

const check = (name, sentence, run) => define(name, sentence, run, { sim: false });

async function badRequest(t, reply, status) {
  const error = t.error(reply, status, "bad_request");
  t.ok(!("details" in error), "bad_request has details");
}

for (const [name, body] of [["broken", "{broken"], ["cut", '{"task":"x"'], ["two-values", '{"task":"x"} {"task":"y"}'], ["single-quotes", "{'task':'x'}"], ["trailing-comma", '{"task":"x",}']]) {
  check(`body/malformed-${name}`, "Malformed JSON is 400 bad_request without details.", async (t) => badRequest(t, await t.post("/v1/runs", body), 400));
}

for (const [name, body] of [["array", "[]"], ["string", '"text"'], ["null", "null"], ["number", "1"]]) {
  check(`body/not-an-object-${name}`, "A body that is JSON but no object is 400 validation_error.", async (t) => t.invalid(await t.post("/v1/runs", body)));
}

check("body/empty-create", "An empty body counts as {}: creating a run then lacks its task.", async (t) =>
  t.invalid(await t.request("POST", "/v1/runs", { headers: { "Content-Type": "application/json" } }), "task"));

check("body/blank-create", "A body of white space counts as {}.", async (t) => t.invalid(await t.post("/v1/runs", " \n\t "), "task"));

check("body/too-large", "A body over 1 MiB is 413 bad_request without details.", async (t) =>
  badRequest(t, await t.post("/v1/runs", JSON.stringify({ task: "x", metadata: { a: "b".repeat(1 << 20) } })), 413));

check("body/declared-too-large", "A body that is declared over 1 MiB is 413 before any of it is read.", async (t) => {
  const headers = t.headersOf({ headers: { "Content-Type": "application/json" } });
  headers.push(["Content-Length", "99999999999"]);
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const [reply] = await t.raw(`POST /v1/runs HTTP/1.1\r\n${lines}\r\n`);
  t.ok(reply, "no answer");
  await badRequest(t, reply, 413);
});

check("body/almost-too-large", "A body of less than 1 MiB is read.", async (t) =>
  t.invalid(await t.post("/v1/runs", JSON.stringify({ metadata: { a: "b".repeat((1 << 20) - 200) } })), "task"));

check("body/media-type", "Another media type than JSON is 415 bad_request without details.", async (t) =>
  badRequest(t, await t.post("/v1/runs", "task=x", { headers: { "Content-Type": "application/x-www-form-urlencoded" } }), 415));

check("body/charset", "application/json with a charset is JSON.", async (t) =>
  t.invalid(await t.post("/v1/runs", {}, { headers: { "Content-Type": "application/json; charset=utf-8" } }), "task"));

check("body/chunked", "A request body may come in chunks.", async (t) => {
  const headers = t.headersOf({ headers: { "Content-Type": "application/json", "Transfer-Encoding": "chunked" } });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const [reply] = await t.raw(`POST /v1/runs HTTP/1.1\r\n${lines}\r\n5\r\n{"tas\r\n6\r\nk":""}\r\n0\r\n\r\n`);
  t.ok(reply, "no answer");
  t.invalid(reply, "task");
});

for (const [name, body] of [
  ["nul", '{"task":"a\\u0000b"}'], ["lone-high-surrogate", '{"task":"a\\ud800b"}'], ["lone-low-surrogate", '{"task":"a\\udc00b"}'],
  ["surrogate-in-metadata", '{"task":"x","metadata":{"a":"\\ud800"}}'], ["surrogate-in-key", '{"task":"x","metadata":{"\\udfff":1}}'],
  ["huge-number", '{"task":"x","metadata":{"a":1e999}}'], ["huge-negative-number", '{"task":"x","metadata":{"a":-1e999}}'],
  ["invalid-utf8", Buffer.from([...Buffer.from('{"task":"a'), 0xff, 0xfe, ...Buffer.from('"}')])],
]) {
  check(`body/${name}`, "Lone surrogates, invalid UTF-8, NUL and numbers beyond double anywhere in a body are 400 validation_error.", async (t) =>
    t.invalid(await t.post("/v1/runs", body)));
}

check("body/cancel-takes-nothing", "The body of cancel is {} or none: any key is 400.", async (t) =>
  t.invalid(await t.post(`/v1/runs/${unknownRun}/cancel`, { a: 1 })));

check("body/close-takes-nothing", "The body of close is {} or none: any key is 400.", async (t) =>
  t.invalid(await t.post(`/v1/runs/${unknownRun}/close`, { a: 1 })));

check("head-limit/too-large", "Headers are read up to a bound; beyond it the answer is a 4xx in the envelope.", async (t) => {
  const reply = await t.get("/v1/runs", { headers: { "X-Long": "y".repeat(100_000) } });
  t.ok(reply.status === 431 || reply.status === 400 || reply.status === 413, `status ${reply.status}`);
  t.equal(reply.json.error?.code, "bad_request", "code");
});

for (const [name, head] of [
  ["length-and-chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked"], ["two-lengths", "Content-Length: 5\r\nContent-Length: 6"], ["negative-length", "Content-Length: -1"],
]) {
  check(`framing/${name}`, "A request whose framing is ambiguous is refused with 400.", async (t) => {
    const lines = t.headersOf({}).map(([key, value]) => `${key}: ${value}\r\n`).join("");
    const [reply] = await t.raw(`POST /v1/runs HTTP/1.1\r\n${lines}Content-Type: application/json\r\n${head}\r\n\r\n0\r\n\r\n`, { method: "POST" });
    t.ok(reply, "no answer");
    t.status(reply, 400);
  });
}

check("framing/pipelining", "Requests of one connection are answered in order.", async (t) => {
  const first = t.bytesOf("GET", "/healthz", { headers: { Connection: "keep-alive" } });
  const second = t.bytesOf("GET", "/v1/nothing-here");
  const replies = await t.raw(Buffer.concat([first, second]), { count: 2 });
  t.equal(replies.map((reply) => reply.status), [200, 404], "statuses");
});

check("framing/crlf-in-path", "A line end in a path never becomes a header of the reply.", async (t) => {
  const reply = await t.get("/v1/runs/a%0d%0aX-Injected:%20yes");
  t.ok(reply.status === 404 || reply.status === 400, `status ${reply.status}`);
  t.equal(reply.header("x-injected"), undefined, "injected header");
});

for (const [name, method, path, options] of [
  ["ok", "GET", "/healthz", {}], ["list", "GET", "/v1/runs?limit=1", {}], ["unauthorized", "GET", "/v1/runs", { key: null }], ["not-found", "GET", `/v1/runs/${unknownRun}`, {}],
  ["unknown-route", "GET", "/v1/nothing-here", {}], ["wrong-method", "PUT", "/v1/runs", { body: {} }], ["malformed", "POST", "/v1/runs", { body: "{" }], ["invalid", "POST", "/v1/runs", { body: {} }],
]) {
  check(`reply/request-id-${name}`, "Every reply has an X-Request-Id.", async (t) => {
    const reply = await t.request(method, path, options);
    t.ok(reply.header("x-request-id"), "no X-Request-Id");
  });
}

check("reply/request-ids-differ", "Every request has an id of its own.", async (t) => {
  const ids = [(await t.get("/healthz")).header("x-request-id"), (await t.get("/healthz", { headers: { "X-Again": "1" } })).header("x-request-id")];
  t.ok(ids[0] && ids[1] && ids[0] !== ids[1], `ids ${ids}`);
});

for (const [name, method, path, options] of [
  ["list", "GET", "/v1/runs?limit=1", {}], ["health", "GET", "/healthz", {}], ["error", "GET", `/v1/runs/${unknownRun}`, {}], ["invalid", "POST", "/v1/runs", { body: {} }],
]) {
  check(`reply/json-${name}`, "Replies are JSON in UTF-8 and say so.", async (t) => {
    const reply = await t.request(method, path, options);
    t.match(reply.header("content-type"), /^application\/json(; ?charset=utf-8)?$/i, "content-type");
    t.ok(typeof reply.json === "object", "no JSON");
  });
}

check("reply/length", "A reply that is not streamed has its true Content-Length.", async (t) => {
  const reply = await t.get("/v1/runs?limit=5");
  t.equal(Number(reply.header("content-length")), reply.body.length, "content-length");
});

check("reply/not-compressed", "Nothing is compressed, whatever the client accepts.", async (t) => {
  const reply = await t.get("/v1/runs?limit=5", { headers: { "Accept-Encoding": "gzip, br, deflate" } });
  t.equal(reply.header("content-encoding"), undefined, "content-encoding");
  t.ok(Array.isArray(reply.json.items), "no items");
});

check("envelope/shape", "An error is {\"error\":{code, message, details?}} and nothing else.", async (t) => {
  const value = (await t.get(`/v1/runs/${unknownRun}`)).json;
  t.equal(Object.keys(value), ["error"], "keys");
  t.equal(Object.keys(value.error).sort(), ["code", "details", "message"], "keys of error");
});

check("envelope/issues", "validation_error has details.issues with code, path and message of each finding.", async (t) => {
  const issues = t.invalid(await t.post("/v1/runs", { task: 7, runtime: { kind: "codex", mode: "wild" } }));
  t.equal(issues.map((issue) => issue.path.join(".")).sort(), ["runtime.mode", "task"], "paths");
});

check("envelope/issue-of-wrong-type", "An issue about a wrong type has the code invalid_type.", async (t) =>
  t.equal(t.invalid(await t.post("/v1/runs", { task: 7 }), "task")[0].code, "invalid_type", "code"));

check("envelope/issue-of-unknown-key", "An issue about a key that is not known has the code unrecognized_keys and names it.", async (t) => {
  const issue = t.invalid(await t.post("/v1/runs", { task: "x", surprise: 1 })).find((one) => one.code === "unrecognized_keys");
  t.ok(issue, "no unrecognized_keys");
  t.equal(issue.keys, ["surprise"], "keys");
});

check("envelope/query-issue", "A query parameter that does not fit is named by its issue.", async (t) => t.invalid(await t.get("/v1/runs?limit=0"), "limit"));
