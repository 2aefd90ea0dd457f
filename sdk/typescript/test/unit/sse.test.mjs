import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameParser } from "../../dist/sse.js";

const TEXT = 'retry: 1000\n\n: hello\n\nid: 1\nevent: a\ndata: {"x":\ndata:1}\n\nevent: heartbeat\ndata: {}\n\ndata\n\nid:2\ndata:  y\n\nid: 3\ndata: lost';
const FRAMES = [
  { retry: 1000 },
  { id: "1", event: "a", data: '{"x":\n1}' },
  { event: "heartbeat", data: "{}" },
  { data: "" },
  { id: "2", data: " y" }
];

for (const [name, end] of [["LF", "\n"], ["CRLF", "\r\n"], ["CR", "\r"]]) {
  test(`frames with ${name} are the same however they are cut`, () => {
    const text = TEXT.replaceAll("\n", end);
    for (let size = 1; size <= text.length; size++) {
      const parser = new FrameParser();
      const frames = [];
      for (let at = 0; at < text.length; at += size) frames.push(...parser.push(text.slice(at, at + size)));
      assert.deepEqual(frames, FRAMES, `pieces of ${size}`);
      assert.ok(parser.live);
    }
  });
}

test("events alone do not show that a server streams; a comment or retry does", () => {
  const parser = new FrameParser();
  parser.push("id: 1\ndata: {}\nunknown: x\nretry: soon\n\n");
  assert.equal(parser.live, false);
  parser.push(": keep-alive\n");
  assert.equal(parser.live, true);
});

test("a frame of 8 MB in small pieces takes time in proportion to its size", () => {
  const parser = new FrameParser();
  parser.push("data: ");
  for (let n = 0; n < 100_000; n++) parser.push("x".repeat(80));
  assert.equal(parser.push("\n\n")[0].data.length, 8_000_000);
});
