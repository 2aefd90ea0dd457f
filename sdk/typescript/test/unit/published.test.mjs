import assert from "node:assert/strict";
import { test } from "node:test";
import { agentrouter, runAgent, streamAgent } from "../../dist/index.js";
import { publishedRun, publishedServer } from "../support/published_server.mjs";
import { collect, event, fastTime, RUN, run, serve, virtualTime } from "../support/server.mjs";

const client = (server) => agentrouter({ apiKey: "k", baseUrl: server.url });
const numbers = (events) => events.map((item) => item.sequence);
const streams = (server) => server.lines().filter((line) => line.includes("/stream")).length;

test("a run on a server that streams in batches is followed by polling, each event once and in order", async (t) => {
  fastTime(t, 20);
  const timeline = publishedRun();
  const total = timeline.length;
  const server = await publishedServer(t, timeline);
  const stream = await streamAgent({ client: client(server), task: "t", pollIntervalMs: 1000 });
  const [events, text, final] = await Promise.all([collect(stream.events), collect(stream.textStream), stream.finalResult]);
  assert.deepEqual(numbers(events), Array.from({ length: total }, (_, n) => n + 1));
  assert.deepEqual([text, final.text, final.eventCursor.lastEventSeq], [["Done."], "Done.", total]);
  assert.equal(streams(server), 1);
});

test("four readers share one polling", async (t) => {
  fastTime(t, 20);
  const server = await publishedServer(t, publishedRun());
  const stream = await streamAgent({ client: client(server), task: "t" });
  await Promise.all([collect(stream.events), collect(stream.fullStream), collect(stream.textStream), stream.finalResult]);
  const looks = server.lines().filter((line) => line === `GET /v1/runs/${RUN}`).length;
  assert.ok(looks <= publishedRun().length + 2, `${looks} looks`);
});

test("a run that has ended is read until lastEventSeq, also when its last events appear after the status", async (t) => {
  fastTime(t, 20);
  const timeline = publishedRun(0);
  const trailing = [event(timeline.length + 1, "sandbox.parked"), event(timeline.length + 2, "sandbox.suspended")];
  const total = timeline.length + 2;
  const server = await publishedServer(t, timeline, { trailing });
  const seen = [];
  const result = await runAgent({ client: client(server), task: "t", onEvent: (item) => void seen.push(item.sequence) });
  assert.deepEqual(seen, Array.from({ length: total }, (_, n) => n + 1));
  assert.equal(result.eventCursor.lastEventSeq, total);
});

test("a run that has ended and whose last events are late is asked for them once per interval", async (t) => {
  fastTime(t, 20);
  let looks = 0;
  const server = await serve(t, (request) => {
    if (!request.path.endsWith("/events")) return run("completed", 1);
    return ++looks < 4 ? { items: [], nextAfterSeq: 0 } : { items: [event(1, "run.completed")], nextAfterSeq: 1 };
  });
  const startedAt = Date.now();
  assert.equal((await collect(agentrouter({ apiKey: "k", baseUrl: server.url, live: false }).streamRun(RUN))).length, 1);
  const took = Date.now() - startedAt;
  assert.equal(looks, 4);
  assert.ok(took >= 2900, `${took} ms`);
});

test("an ended run's further pages are asked for at once", async (t) => {
  const events = Array.from({ length: 1200 }, (_, n) => event(n + 1));
  const server = await serve(t, (request) => {
    if (!request.path.endsWith("/events")) return run("completed", 1200);
    return { items: events.slice(Number(request.query.get("afterSeq"))).slice(0, 500) };
  });
  const stream = await streamAgent({ client: agentrouter({ apiKey: "k", baseUrl: server.url, live: false }), task: "t", pollIntervalMs: 3_600_000 });
  assert.equal((await collect(stream.events)).length, 1200);
});

test("a long run comes in pages", async (t) => {
  fastTime(t, 20);
  const server = await publishedServer(t, publishedRun(1300));
  for (let n = 0; n < 1305; n++) await fetch(`${server.url}/v1/runs/${RUN}`);
  assert.deepEqual(numbers(await collect(client(server).streamRun(RUN))), Array.from({ length: 1305 }, (_, n) => n + 1));
  assert.equal(streams(server), 1);
});

const GROWING = [250, 500, 750, ...Array(40).fill(1000)];

test("continueRun waits for the promotion, with growing pauses", async (t) => {
  const pauses = virtualTime(t);
  const server = await publishedServer(t, [], { promotedAfter: 7000 });
  assert.equal((await client(server).continueRun(RUN, "more")).turnNumber, 2);
  // 250 + 500 + 750 + 6 * 1000 = 7500
  assert.deepEqual(pauses, GROWING.slice(0, 9));
  assert.equal(server.requests.length, 10);
});

test("continueRun gives up after 8 s, and at once on any other refusal", async (t) => {
  const pauses = virtualTime(t);
  const server = await publishedServer(t, [], { promotedAfter: 60_000 });
  await assert.rejects(client(server).continueRun(RUN, "more"), { code: "run_not_continuable", statusCode: 409 });
  assert.deepEqual(pauses, GROWING.slice(0, 10));
  await assert.rejects(client(server).continueRun("run_other", "more"), { code: "api_error", statusCode: 404 });
  assert.equal(pauses.length, 10);
});

test("closeRun repeats until the conversation is reclaimed, for a run that can have one", async (t) => {
  const pauses = virtualTime(t);
  const server = await publishedServer(t, [], { promotedAfter: 5000 });
  server.setStatus("completed");
  assert.deepEqual(await client(server).closeRun(RUN), { closed: true, conversationId: RUN, reclaimed: true });
  assert.deepEqual(pauses, GROWING.slice(0, 7));
  assert.deepEqual(server.lines().slice(0, 3), [`POST /v1/runs/${RUN}/close`, `GET /v1/runs/${RUN}`, `POST /v1/runs/${RUN}/close`]);
});

test("closeRun gives up after 30 s and tells that nothing was reclaimed", async (t) => {
  const pauses = virtualTime(t);
  const server = await publishedServer(t, [], { promotedAfter: 10 ** 9 });
  server.setStatus("completed");
  assert.equal((await client(server).closeRun(RUN)).reclaimed, false);
  assert.deepEqual(pauses, GROWING.slice(0, 32));
});

for (const status of ["failed", "cancelled", "running"]) {
  test(`closeRun does not wait for a run that is ${status}`, async (t) => {
    const server = await publishedServer(t, []);
    server.setStatus(status);
    assert.equal((await client(server).closeRun(RUN)).reclaimed, false);
    assert.equal(server.requests.length, 2);
  });
}

test("a batch that is cut by the network is read on by polling, without loss or repetition", async (t) => {
  fastTime(t, 20);
  const timeline = publishedRun();
  const server = await publishedServer(t, timeline);
  for (let n = 0; n < 8; n++) await fetch(`${server.url}/v1/runs/${RUN}`);
  const cut = async (url, init) => {
    const response = await fetch(url, init);
    if (!String(url).includes("/stream")) return response;
    const text = await response.text();
    let sent = false;
    const body = new ReadableStream({
      pull(controller) {
        if (sent) return controller.error(new TypeError("terminated"));
        sent = true;
        return controller.enqueue(new TextEncoder().encode(text.slice(0, text.length / 2)));
      }
    });
    return new Response(body, { headers: response.headers });
  };
  const own = agentrouter({ apiKey: "k", baseUrl: server.url, fetchImpl: cut });
  assert.deepEqual(numbers(await collect(own.streamRun(RUN))), [1, 2, 3, 4, 5, 6, 7, 8]);
});

test("a stream that opens and stays silent is given up for polling", async (t) => {
  fastTime(t, 50);
  const server = await publishedServer(t, publishedRun());
  const silent = (url, init) => {
    if (!String(url).includes("/stream")) return fetch(url, init);
    return Promise.resolve(new Response(new ReadableStream({}), { headers: { "content-type": "text/event-stream" } }));
  };
  const own = agentrouter({ apiKey: "k", baseUrl: server.url, fetchImpl: silent });
  assert.equal((await collect(own.streamRun(RUN))).length, 8);
});

test("a stream whose head never comes is given up for polling", async (t) => {
  fastTime(t, 100);
  const server = await publishedServer(t, publishedRun());
  const never = (url, init) => (String(url).includes("/stream") ? new Promise(() => {}) : fetch(url, init));
  const own = agentrouter({ apiKey: "k", baseUrl: server.url, fetchImpl: never });
  assert.equal((await collect(own.streamRun(RUN))).length, 8);
});

test("a server that dies while it is polled is waited for, within bounds", async (t) => {
  fastTime(t, 20);
  const server = await publishedServer(t, publishedRun());
  let failures = 2;
  const flaky = (url, init) => (!String(url).includes("/stream") && failures-- > 0 ? Promise.reject(new TypeError("fetch failed")) : fetch(url, init));
  const own = agentrouter({ apiKey: "k", baseUrl: server.url, fetchImpl: flaky });
  assert.equal((await collect(own.streamRun(RUN))).length, 8);
  failures = Infinity;
  await assert.rejects(collect(own.streamRun(RUN)), { name: "TypeError", message: "fetch failed" });
});
