// Pages of events, and the stream: one batch, or live.
import { check as define } from "../lib/session.mjs";
import { isoTime, terminalEvents } from "../lib/context.mjs";

const check = define;
const page = (t, id, query) => t.get(`/v1/runs/${id}/events${query}`);

check("events/200", "GET events is 200 {items:[RunEvent], nextAfterSeq}.", async (t) => {
  const reply = await page(t, (await t.fixture("done")).id, "");
  t.status(reply, 200);
  t.ok(Array.isArray(reply.json.items) && Number.isInteger(reply.json.nextAfterSeq), "items or nextAfterSeq is missing");
});
check("events/from-one", "Sequences are 1, 2, 3... without gaps, internal events included.", async (t) => {
  const { events } = await t.fixture("done");
  t.equal(events.map((event) => event.sequence), events.map((_, i) => i + 1), "sequences");
  t.ok(events.length > 10, `only ${events.length} events`);
});
check("events/ascending", "Items are ascending and beyond afterSeq.", async (t) => {
  const { items } = (await page(t, (await t.fixture("done")).id, "?afterSeq=3&limit=5")).json;
  t.equal(items.map((event) => event.sequence), [4, 5, 6, 7, 8], "sequences");
});
check("events/next-after-seq", "nextAfterSeq is the sequence of the last item.", async (t) =>
  t.equal((await page(t, (await t.fixture("done")).id, "?afterSeq=2&limit=3")).json.nextAfterSeq, 5, "nextAfterSeq"));
check("events/next-after-seq-empty", "On an empty page nextAfterSeq is the given afterSeq.", async (t) => {
  const { json } = await page(t, (await t.fixture("done")).id, "?afterSeq=9000");
  t.equal(json, { items: [], nextAfterSeq: 9000 }, "page");
});
check("events/all-pages", "Walking by nextAfterSeq gives every event once.", async (t) => {
  const { id, events } = await t.fixture("done");
  const seen = [];
  for (let after = 0, i = 0; i < 100; ++i) {
    const { items, nextAfterSeq } = (await page(t, id, `?afterSeq=${after}&limit=4`)).json;
    if (!items.length) break;
    seen.push(...items.map((event) => event.sequence));
    after = nextAfterSeq;
  }
  t.equal(seen, events.map((event) => event.sequence), "sequences");
});
check("events/default-after-seq", "afterSeq defaults to 0.", async (t) => t.equal((await page(t, (await t.fixture("done")).id, "")).json.items[0]?.sequence, 1, "first sequence"));
check("events/limit", "limit bounds the items.", async (t) => t.equal((await page(t, (await t.fixture("done")).id, "?limit=2")).json.items.length, 2, "items"));
check("events/limit-500", "limit is at most 500.", async (t) => {
  const { id, events } = await t.fixture("done");
  t.equal((await page(t, id, "?limit=500")).json.items.length, events.length, "items");
});
for (const [name, query, wanted] of [["blank", "afterSeq=", 1], ["hex", "afterSeq=0x2", 3], ["negative", "afterSeq=-5", 1], ["exponent", "afterSeq=1e1", 11], ["padded", "afterSeq=%203%20", 4]]) {
  check(`events/after-seq-${name}`, "afterSeq is read laxly: blank is 0, hex, negative and exponent forms are accepted.", async (t) => {
    const reply = await page(t, (await t.fixture("done")).id, `?${query}&limit=1`);
    t.status(reply, 200);
    t.equal(reply.json.items[0]?.sequence, wanted, "first sequence");
  });
}
for (const [name, query] of [["after-seq-fraction", "afterSeq=1.5"], ["after-seq-word", "afterSeq=abc"], ["limit-zero", "limit=0"], ["limit-501", "limit=501"], ["limit-fraction", "limit=1.5"],
  ["limit-blank", "limit="], ["limit-word", "limit=abc"], ["after-seq-twice", "afterSeq=1&afterSeq=2"], ["limit-negative", "limit=-3"]]) {
  check(`events/refused-${name}`, "A cursor or limit that is no whole number in its range, or is repeated, is 400.", async (t) =>
    t.invalid(await page(t, (await t.fixture("done")).id, `?${query}`), query.split("=")[0]));
}
check("events/unknown-key", "Unknown query keys are ignored.", async (t) => t.status(await page(t, (await t.fixture("done")).id, "?surprise=1"), 200));

check("event/keys", "A RunEvent has runId, sequence, type, source, visibility, payload, isTruncated and createdAt.", async (t) => {
  const { id, events } = await t.fixture("done");
  t.ok(events.length > 0, "no events");
  for (const event of events) {
    t.equal(event.runId, id, "runId");
    t.match(event.type, /^[a-z_]+(\.[a-z_]+)+$/, "type");
    t.ok(event.payload && typeof event.payload === "object" && !Array.isArray(event.payload), "payload is no object");
    t.equal(typeof event.isTruncated, "boolean", `isTruncated of ${event.type}`);
  }
});
check("event/source", "source is worker, api, codex or claude_code.", async (t) => {
  for (const event of (await t.fixture("done")).events) t.ok(["worker", "api", "codex", "claude_code"].includes(event.source), `source ${event.source}`);
});
check("event/visibility", "visibility is public, internal or redacted.", async (t) => {
  for (const event of (await t.fixture("done")).events) t.ok(["public", "internal", "redacted"].includes(event.visibility), `visibility ${event.visibility}`);
});
check("event/created-at", "createdAt is a time in ISO 8601 and never runs backwards.", async (t) => {
  const times = (await t.fixture("done")).events.map((event) => event.createdAt);
  for (const time of times) t.match(time, isoTime, "createdAt");
  t.equal(times, [...times].sort(), "createdAt");
});
check("event/terminal-last", "Nothing is appended to a run after its terminal event.", async (t) => {
  for (const name of ["done", "approved", "denied", "blocked", "cancelledRunning", "failed"]) {
    const types = (await t.fixture(name)).events.map((event) => event.type);
    t.equal(types.findIndex((type) => terminalEvents.has(type)), types.length - 1, `place of the terminal event of ${name}`);
  }
});
check("event/immutable", "An event that was read once reads the same ever after.", async (t) => {
  const { id, events, eventsWhileWaiting } = await t.fixture("approved");
  t.ok(eventsWhileWaiting.length > 0, `no events of ${id}`);
  t.equal(events.slice(0, eventsWhileWaiting.length), eventsWhileWaiting, "events");
});

// One batch.
check("batch/200", "Without opting in, the stream answers 200 with the events there are, and ends.", async (t) => {
  const { batch, events } = await t.fixture("done");
  t.equal(batch.head.status, 200, "status");
  t.equal(batch.events().length, events.length, "events");
});
check("batch/content-type", "The stream is text/event-stream; charset=utf-8.", async (t) =>
  t.match((await t.fixture("done")).batch.head.header("content-type"), /^text\/event-stream; ?charset=utf-8$/, "content-type"));
check("batch/cache-control", "cache-control is no-cache, no-transform.", async (t) => t.equal((await t.fixture("done")).batch.head.header("cache-control"), "no-cache, no-transform", "cache-control"));
check("batch/every-event", "The stream of a finished run holds every event, equal to /events.", async (t) => {
  const { batch, events } = await t.fixture("done");
  t.equal(batch.events(), events, "events");
});
check("batch/frame", "A frame is id, event and data, each on one line, in this order.", async (t) => {
  for (const frame of (await t.fixture("done")).batch.frames) t.match(frame.text, /^id: \d+\nevent: [a-z_.]+\ndata: \{.*\}$/, "frame");
});
check("batch/id-and-event", "The id of a frame is the sequence, its event the type.", async (t) => {
  const { batch } = await t.fixture("done");
  t.ok(batch.frames.length > 0, "no frames");
  for (const frame of batch.frames) {
    const event = JSON.parse(frame.data);
    t.equal([frame.id, frame.event], [String(event.sequence), event.type], "id and event");
  }
});
check("batch/lf-only", "Lines end with LF: there is no CR in a stream.", async (t) => {
  const { batch, stream } = await t.fixture("done");
  t.ok(batch.frames.length > 0, "no frames");
  for (const frame of [...batch.frames, ...stream.frames]) t.ok(!frame.text.includes("\r"), "a CR");
});
check("batch/after-seq", "afterSeq begins the batch after that sequence.", async (t) => {
  const { id, events } = await t.fixture("done");
  t.equal((await t.get(`/v1/runs/${id}/stream?afterSeq=5`)).events[0], events[5], "first event");
});
check("batch/last-event-id", "Without afterSeq an all-digit Last-Event-ID is the cursor.", async (t) => {
  const { id, events } = await t.fixture("done");
  t.equal((await t.get(`/v1/runs/${id}/stream`, { headers: { "Last-Event-ID": "7" } })).events[0], events[7], "first event");
});
check("batch/last-event-id-odd", "A Last-Event-ID that is not all digits counts as 0.", async (t) => {
  const { id } = await t.fixture("done");
  t.equal((await t.get(`/v1/runs/${id}/stream`, { headers: { "Last-Event-ID": "7x" } })).events[0]?.sequence, 1, "first event");
});
check("batch/after-seq-wins", "Where both are given, afterSeq wins over Last-Event-ID in a batch.", async (t) => {
  const { id } = await t.fixture("done");
  t.equal((await t.get(`/v1/runs/${id}/stream?afterSeq=3`, { headers: { "Last-Event-ID": "7" } })).events[0]?.sequence, 4, "first event");
});
check("batch/heartbeat", "With nothing to send there is one frame event: heartbeat, data: {}, and the end.", async (t) => {
  const { id } = await t.fixture("done");
  const reply = await t.get(`/v1/runs/${id}/stream?afterSeq=9000`);
  t.equal(reply.text, "event: heartbeat\ndata: {}\n\n", "body");
});
check("batch/queued-run", "The stream of a run that has not begun answers and ends.", async (t) => {
  const created = await t.create({ task: "sim: reply Queued." });
  const reply = await t.get(`/v1/runs/${created.json.id}/stream?afterSeq=9000`);
  await t.post(`/v1/runs/${created.json.id}/cancel`, {});
  t.status(reply, 200);
  t.equal(reply.frames.map((frame) => frame.event), ["heartbeat"], "frames");
});
check("batch/running-run", "The batch of a run that goes on ends as well.", async (t) => {
  const { id } = await t.fixture("waiting");
  const reply = await t.get(`/v1/runs/${id}/stream`);
  t.status(reply, 200);
  t.equal(reply.events[reply.events.length - 1]?.type, "approval.requested", "last event");
});
check("batch/refused-cursor", "A cursor of the stream that is no whole number is 400.", async (t) => t.invalid(await t.get(`/v1/runs/${(await t.fixture("done")).id}/stream?afterSeq=abc`), "afterSeq"));
check("batch/needs-the-key", "The stream needs the key.", async (t) => t.error(await t.get(`/v1/runs/${(await t.fixture("done")).id}/stream`, { key: null }), 401, "unauthorized"));

// Live.
check("live/every-event", "A live stream gives every event, in order, until the terminal one, equal to /events.", async (t) => {
  const { stream, events } = await t.fixture("done");
  t.equal(stream.events(), events, "events");
});
check("live/ends", "A live stream ends after the terminal event, whole.", async (t) => {
  const { stream } = await t.fixture("done");
  t.ok(!stream.cut, "the response was cut");
  t.equal(stream.events().pop()?.type, "run.completed", "last event");
});
check("live/content-type", "A live stream is text/event-stream; charset=utf-8.", async (t) => {
  const { head } = (await t.fixture("done")).stream;
  t.equal(head.status, 200, "status");
  t.match(head.header("content-type"), /^text\/event-stream; ?charset=utf-8$/, "content-type");
});
check("live/cache-control", "A live stream has cache-control no-cache, no-transform.", async (t) => t.equal((await t.fixture("done")).stream.head.header("cache-control"), "no-cache, no-transform", "cache-control"));
check("live/not-buffered", "A live stream has X-Accel-Buffering: no.", async (t) => t.equal((await t.fixture("done")).stream.head.header("x-accel-buffering"), "no", "x-accel-buffering"));
check("live/retry-first", "retry: 1000 comes first on a live stream.", async (t) => t.equal((await t.fixture("done")).stream.frames[0]?.text, "retry: 1000", "first frame"));
check("live/at-once", "Events come on a live stream while the run goes on.", async (t) => t.equal((await t.fixture("approved")).liveFrame?.event, "approval.requested", "frame"));
check("live/only-events", "Every frame with data on a live stream is an event.", async (t) => {
  const { stream, id } = await t.fixture("done");
  t.ok(stream.frames.length > 2, "no frames");
  for (const frame of stream.frames) if (frame.data !== undefined) t.equal(JSON.parse(frame.data).runId, id, "runId");
});
check("live/follow", "?follow=true opts in to a live stream as Accept: text/event-stream does.", async (t) => {
  const { id } = await t.fixture("waiting");
  const stream = await t.stream(`/v1/runs/${id}/stream?follow=true`, { live: false });
  t.equal((await stream.next())?.text, "retry: 1000", "first frame");
  stream.close();
});
check("live/held-open", "A live stream of a run that goes on is held open, with comments as heartbeats every 10 s.", async (t) => {
  const { id } = await t.fixture("waiting");
  const stream = await t.stream(`/v1/runs/${id}/stream`);
  const beat = await stream.until((frame) => frame.comment !== undefined, 15);
  t.ok(beat, "the stream has ended");
  t.ok(beat.data === undefined && beat.event === undefined, "a heartbeat is more than a comment");
  t.ok(beat.at < 13_000, `the first heartbeat came after ${beat.at} ms`);
  stream.close();
});
check("live/cursor-after-seq", "The cursor of a live stream is afterSeq.", async (t) => {
  const { id, events } = await t.fixture("done");
  t.equal(await (await t.stream(`/v1/runs/${id}/stream?afterSeq=4`)).all(), events.slice(4), "events");
});
check("live/cursor-last-event-id", "Last-Event-ID resumes a live stream without loss or repetition.", async (t) => {
  const { id, events } = await t.fixture("done");
  t.equal(await (await t.stream(`/v1/runs/${id}/stream`, { headers: { "Last-Event-ID": "6" } })).all(), events.slice(6), "events");
});
check("live/cursor-larger", "The cursor of a live stream is the larger of afterSeq and Last-Event-ID.", async (t) => {
  const { id } = await t.fixture("done");
  t.equal((await (await t.stream(`/v1/runs/${id}/stream?afterSeq=3`, { headers: { "Last-Event-ID": "7" } })).all())[0]?.sequence, 8, "first sequence");
  t.equal((await (await t.stream(`/v1/runs/${id}/stream?afterSeq=9`, { headers: { "Last-Event-ID": "7" } })).all())[0]?.sequence, 10, "first sequence");
});
check("live/204", "A live request at or past the terminal event of an ended run is 204, so that EventSource stops.", async (t) => {
  const { id, events } = await t.fixture("done");
  t.equal((await t.stream(`/v1/runs/${id}/stream?afterSeq=${events.length}`)).head.status, 204, "at the terminal event");
  t.equal((await t.stream(`/v1/runs/${id}/stream`, { headers: { "Last-Event-ID": String(events.length + 5) } })).head.status, 204, "past it");
});
check("live/404", "A live request for an unknown run is 404.", async (t) => {
  const reply = await t.get("/v1/runs/run_00000000-0000-4000-8000-000000000000/stream?follow=true", { headers: { Accept: "text/event-stream" } });
  t.error(reply, 404, "run_not_found");
});
check("live/head", "HEAD of a live stream answers its headers at once.", async (t) => {
  const { id } = await t.fixture("waiting");
  const reply = await t.request("HEAD", `/v1/runs/${id}/stream`, { headers: { Accept: "text/event-stream" } });
  t.status(reply, 200);
  t.match(reply.header("content-type"), /^text\/event-stream/, "content-type");
});
check("live/several", "Several readers of one run get the same events.", async (t) => {
  const { id, events } = await t.fixture("done");
  const all = await Promise.all([1, 2, 3].map(async () => (await t.stream(`/v1/runs/${id}/stream`)).all()));
  for (const got of all) t.equal(got, events, "events");
});
check("live/until-cancelled", "A live stream follows a run through its cancel to run.cancelled.", async (t) => {
  const { live, events } = await t.fixture("cancelledRunning");
  t.equal(live.events(), events, "events");
});
