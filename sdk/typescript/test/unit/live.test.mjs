import assert from "node:assert/strict";
import { once, setMaxListeners } from "node:events";
import { test } from "node:test";
import { agentrouter, streamAgent } from "../../dist/index.js";
import { collect, event, frame, history, RUN, run, serve, serveLive, session } from "../support/server.mjs";

const client = (server, more) => agentrouter({ apiKey: "k", baseUrl: server.url, ...more });
const start = (server, more) => streamAgent({ client: client(server), task: "t", ...more });
const numbers = (events) => events.map((item) => item.sequence);
const upTo = (n) => Array.from({ length: n }, (_, k) => k + 1);
const count = (server, word) => server.lines().filter((line) => line.includes(word)).length;
const head = (response) => response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });

/** Answers the n-th stream connection with `parts[n]`, written one after another; the connection is then cut. */
function cutting(...parts) {
  return async (_request, response) => {
    const own = parts.shift();
    if (!own) return false;
    head(response);
    for (const piece of own) await new Promise((resolve) => response.write(piece, resolve));
    await new Promise((resolve) => setImmediate(resolve));
    response.destroy();
    return true;
  };
}

test("one connection serves events, parts, text and the final result", async (t) => {
  const events = [event(1), event(2, "agent.response", { text: "Done." }), event(3, "run.completed")];
  const server = await serveLive(t, events);
  const stream = await start(server);
  const [raw, parts, text, final] = await Promise.all([collect(stream.events), collect(stream.fullStream), collect(stream.textStream), stream.finalResult]);
  assert.deepEqual(raw, events);
  assert.deepEqual(parts.map((part) => part.type), ["progress", "text", "done"]);
  assert.deepEqual(text, ["Done."]);
  assert.deepEqual([final.id, final.status, final.text], [RUN, "completed", "Done."]);
  assert.deepEqual(server.lines(), [
    "POST /v1/runs",
    `GET /v1/runs/${RUN}/stream?afterSeq=0`,
    `GET /v1/runs/${RUN}`,
    `GET /v1/runs/${RUN}/session`
  ]);
  assert.equal(server.requests[1].headers.accept, "text/event-stream");
  assert.equal(server.requests[1].headers["last-event-id"], undefined);
});

test("nothing is asked before something is read", async (t) => {
  const server = await serveLive(t, history(3));
  const stream = await start(server);
  assert.deepEqual(server.lines(), ["POST /v1/runs"]);
  assert.equal(stream.run.id, RUN);
  assert.deepEqual([stream.conversationId, stream.turnNumber], [RUN, undefined]);
});

test("events are handed out as they happen", async (t) => {
  const events = [event(1)];
  let live;
  const server = await serveLive(t, events, {
    stream: (_, response) => {
      head(response).write(`retry: 1000\n\n${frame(events[0])}`);
      live = response;
      return true;
    }
  });
  const stream = await start(server);
  assert.equal((await stream.events.next()).value.sequence, 1);
  const next = stream.events.next();
  events.push(event(2));
  live.write(frame(events[1]));
  assert.equal((await next).value.sequence, 2);
  const end = stream.events.next();
  events.push(event(3, "run.cancelled", {}));
  live.end(frame(events[2]));
  assert.equal((await end).value.type, "run.cancelled");
  assert.equal((await stream.events.next()).done, true);
  assert.equal(count(server, "/events"), 0);
});

test("deltas, heartbeats, comments and other line ends are no events", async (t) => {
  const events = history(2);
  const server = await serveLive(t, events, {
    stream: (_, response) => {
      head(response);
      response.write("retry: 5\r\n\r\n: hi\r\n\r\nevent: delta\ndata: {\"text\":\"x\"}\n\nevent: heartbeat\ndata: {}\n\n");
      return void response.end(events.map((item) => frame(item).replaceAll("\n", "\r\n")).join("")) ?? true;
    }
  });
  assert.deepEqual(await collect((await start(server)).events), events);
});

test("a connection cut in the middle of a frame is resumed behind the last event", async (t) => {
  const events = history(5);
  const server = await serveLive(t, events, {
    stream: cutting([`retry: 1\n\n${frame(events[0])}${frame(events[1])}${frame(events[2]).slice(0, 70)}`], [`retry: 1\n\n${frame(events[2])}`, "id: 4\ndata"])
  });
  assert.deepEqual(await collect((await start(server)).events), events);
  const resumed = server.requests.filter((request) => request.path.endsWith("/stream"));
  assert.deepEqual(resumed.map((request) => [request.query.get("afterSeq"), request.headers["last-event-id"]]), [["0", undefined], ["2", "2"], ["3", "3"]]);
  assert.equal(count(server, "/events"), 0);
});

test("a connection cut before its first event stays a live one once the server has shown that it streams", async (t) => {
  const events = history(3);
  const server = await serveLive(t, events, { stream: cutting([`retry: 1\n\n${frame(events[0])}`], [""]) });
  assert.deepEqual(await collect((await start(server)).events), events);
  assert.equal(count(server, "/stream"), 3);
  assert.equal(count(server, "/events"), 0);
});

/** Answers the first connection with `text` and holds it open; later ones are answered as they should be. */
function holdingFirst(text) {
  let first = true;
  return (_, response) => {
    if (!first) return false;
    first = false;
    head(response).write(text);
    return true;
  };
}

test("events that a server sends twice are given once, and the connection is kept", async (t) => {
  const events = history(4);
  const twice = [...events.slice(0, 3), ...events].map(frame).join("");
  const server = await serveLive(t, events, { stream: holdingFirst(`retry: 1\n\n${twice}`) });
  assert.deepEqual(await collect((await start(server)).events), events);
  assert.equal(count(server, "/stream"), 1);
});

test("a gap is never handed out: what is missing is asked for again", async (t) => {
  const events = history(4);
  const server = await serveLive(t, events, { stream: holdingFirst(`retry: 1\n\n${frame(events[0])}${frame(events[2])}`) });
  assert.deepEqual(await collect((await start(server)).events), events);
  assert.equal(server.requests.filter((request) => request.path.endsWith("/stream"))[1].headers["last-event-id"], "1");
});

test("garbage in a frame does not end the reading", async (t) => {
  const events = history(3);
  const server = await serveLive(t, events, { stream: cutting([`retry: 1\n\n${frame(events[0])}id: 2\ndata: {"sequence":\n\n`]) });
  assert.deepEqual(await collect((await start(server)).events), events);
});

test("characters of several bytes survive any cut", async (t) => {
  const events = [event(1, "agent.message", { text: "grüße 🎉 漢字\u2028" }), event(2, "run.completed")];
  const server = await serveLive(t, events);
  const byteByByte = async (url, init) => {
    const response = await fetch(url, init);
    if (!String(url).includes("/stream")) return response;
    const bytes = new Uint8Array(await response.arrayBuffer());
    let at = 0;
    const body = new ReadableStream({
      pull: (controller) => (at < bytes.length ? controller.enqueue(bytes.subarray(at, ++at)) : controller.close())
    });
    return new Response(body, { headers: response.headers });
  };
  assert.deepEqual(await collect(client(server, { fetchImpl: byteByByte }).streamRun(RUN)), events);
});

test("a server that refuses for now is asked again after Retry-After", async (t) => {
  const events = history(2);
  let refusals = 1;
  const server = await serveLive(t, events, {
    stream: (_, response) => refusals-- > 0 && Boolean(response.writeHead(503, { "retry-after": "0" }).end())
  });
  assert.deepEqual(await collect((await start(server)).events), events);
  assert.equal(count(server, "/stream"), 2);
});

test("a server that goes on refusing streams is polled", async (t) => {
  const events = history(3);
  const server = await serveLive(t, events, { stream: (_, response) => Boolean(response.writeHead(503).end()) });
  assert.deepEqual(await collect((await start(server)).events), events);
  assert.equal(count(server, "/stream"), 2);
  assert.equal(count(server, "/events"), 1);
});

for (const [name, answer] of [
  ["no route for it", (response) => response.writeHead(404, { "content-type": "application/json" }).end("{}")],
  ["JSON", (response) => response.writeHead(200, { "content-type": "application/json" }).end('{"items":[]}')],
  ["an empty stream", (response) => head(response).end()]
]) {
  test(`a server whose stream is ${name} is polled`, async (t) => {
    const events = history(3);
    const server = await serveLive(t, events, { stream: (_, response) => Boolean(answer(response)) });
    assert.deepEqual(await collect((await start(server)).events), events);
    assert.equal(count(server, "/stream"), 1);
  });
}

test("the stream of an unknown run throws what the server says", async (t) => {
  const gone = [404, { error: { code: "run_not_found", message: "no run" } }];
  const server = await serve(t, () => gone);
  await assert.rejects(client(server).streamRun(RUN).next(), { code: "run_not_found", statusCode: 404 });
});

test("a run that has ended before is read at once, and past its end nothing is given", async (t) => {
  const server = await serveLive(t, history(3));
  assert.deepEqual(numbers(await collect(client(server).streamRun(RUN))), [1, 2, 3]);
  assert.deepEqual(numbers(await collect(client(server).streamRun(RUN, { afterSeq: 1 }))), [2, 3]);
  assert.deepEqual(await collect(client(server).streamRun(RUN, { afterSeq: 3 })), []);
  assert.equal(count(server, "/events"), 0);
});

test("what a server appends after its terminal event is read, since lastEventSeq says so", async (t) => {
  const events = history(3);
  const server = await serveLive(t, events, {
    answer: (request) => {
      if (request.path === `/v1/runs/${RUN}` && events.length === 3) {
        events.push(event(4, "sandbox.parked"));
        return run("completed", 4);
      }
      return request.path === `/v1/runs/${RUN}` ? run("completed", 4) : undefined;
    }
  });
  assert.deepEqual(numbers(await collect(client(server).streamRun(RUN))), [1, 2, 3, 4]);
});

/** A server that holds its only stream open and tells when it is closed. */
async function holding(t, events) {
  let closed;
  const gone = new Promise((resolve) => (closed = resolve));
  const server = await serveLive(t, events, {
    stream: (_, response) => {
      response.on("close", closed);
      head(response).write(`retry: 1\n\n${events.map(frame).join("")}`);
      return true;
    }
  });
  return { server, gone };
}

test("leaving the loop closes the connection", async (t) => {
  const { server, gone } = await holding(t, [event(1), event(2)]);
  const stream = await start(server);
  for await (const part of stream.fullStream) if (part.event.sequence === 2) break;
  await gone;
});

test("the connection stays open for the others until the last has left", async (t) => {
  const { server, gone } = await holding(t, [event(1), event(2)]);
  let closed = false;
  gone.then(() => (closed = true));
  const stream = await start(server);
  const [first, second] = [stream.events, stream.fullStream];
  await first.next();
  await second.next();
  await first.return();
  assert.equal((await second.next()).value.event.sequence, 2);
  assert.equal(closed, false);
  await second.return();
  await gone;
  assert.equal(count(server, "/stream"), 1);
});

test("a signal ends a silent stream, with its reason, and closes the connection", async (t) => {
  const { server, gone } = await holding(t, [event(1)]);
  const controller = new AbortController();
  const stream = await start(server, { signal: controller.signal });
  await stream.events.next();
  const waiting = [stream.events.next(), stream.textStream.next(), stream.finalResult];
  const reason = new Error("enough");
  controller.abort(reason);
  for (const wait of waiting) await assert.rejects(wait, (error) => error === reason);
  await gone;
  await assert.rejects(stream.fullStream.next(), (error) => error === reason);
});

test("a final result that nobody awaits is no unhandled rejection", async (t) => {
  const unhandled = [];
  const note = (error) => unhandled.push(error);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  const server = await serveLive(t, [event(1)]);
  const stream = await start(server, { maxWaitMs: 10 });
  const final = stream.finalResult;
  await assert.rejects(collect(stream.events), { code: "wait_timeout" });
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual(unhandled, []);
  await assert.rejects(final, { code: "wait_timeout", details: { runId: RUN, status: "running" }, statusCode: undefined });
  assert.equal(stream.finalResult, final);
});

test("the time is not over for a run that has ended: it is read to its end", async (t) => {
  const server = await serveLive(t, history(700));
  const stream = await start(server, { maxWaitMs: 0 });
  assert.equal((await collect(stream.events)).length, 700);
  assert.equal((await stream.finalResult).status, "completed");
});

test("a reader that pauses loses nothing, while others go on, and little is kept for it", async (t) => {
  const total = 5000;
  const server = await serveLive(t, history(total));
  const stream = await start(server);
  const slow = stream.events;
  const first = await slow.next();
  assert.equal((await stream.finalResult).status, "completed");
  assert.deepEqual(numbers([first.value, ...(await collect(slow))]), upTo(total));
  const pages = server.requests.filter((request) => request.path.endsWith("/events"));
  assert.ok(pages.length > 5, `${pages.length} pages`);
  for (const page of pages) assert.equal(page.query.get("limit"), "500");
  assert.equal(count(server, "/stream"), 1);
});

test("a late reader begins after afterSeq although the others are far ahead", async (t) => {
  const server = await serveLive(t, history(2000));
  const stream = await start(server, { afterSeq: 10 });
  assert.equal((await collect(stream.events)).length, 1990);
  assert.deepEqual(numbers(await collect(stream.fullStream).then((parts) => parts.map((part) => part.event))), upTo(2000).slice(10));
});

test("a reader that pauses alone holds the server back", async (t) => {
  const big = "x".repeat(20_000);
  const total = 2000;
  let written = 0;
  const server = await serveLive(t, [event(1)], {
    stream: async (_, response) => {
      setMaxListeners(0, response);
      head(response).write("retry: 1\n\n");
      for (let n = 1; n <= total && !response.destroyed; n++) {
        const room = response.write(frame(event(n, "agent.message", { text: big })));
        written = n;
        if (!room) await Promise.race([once(response, "drain"), once(response, "close")]);
      }
      return true;
    }
  });
  const events = client(server).streamRun(RUN);
  await events.next();
  let before = -1;
  while (before !== written) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(written < total, `${written} events of 20 kB were taken in unread`);
  await events.return();
});

test("live: false polls", async (t) => {
  const events = history(3);
  const server = await serveLive(t, events);
  assert.deepEqual(await collect(client(server, { live: false }).streamRun(RUN)), events);
  assert.equal(count(server, "/stream"), 0);
});

test("a client of the caller's own, with the documented methods only, is polled", async () => {
  const events = history(3);
  const own = {
    createRun: async () => run("queued", 0),
    getRun: async () => run("completed", 3),
    getRunSession: async () => session(run("completed", 3)),
    listRunEvents: async (_, { afterSeq }) => ({ items: events.slice(afterSeq), nextAfterSeq: 3 })
  };
  const stream = await streamAgent({ client: own, task: "t" });
  assert.deepEqual(await collect(stream.events), events);
  assert.equal((await stream.finalResult).text, "Done.");
});
