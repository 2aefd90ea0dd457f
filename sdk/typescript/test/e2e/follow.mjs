// Follows a run and tells its events; in the end, whether they came in order and without polling.
import { agentrouter, streamAgent } from "../../dist/index.js";

const paths = [];
const fetchImpl = (url, init) => (paths.push(new URL(url).pathname), fetch(url, init));
const client = agentrouter({ apiKey: process.env.AGENTROUTER_API_KEY, baseUrl: process.env.AGENTROUTER_API_BASE_URL, fetchImpl });
const stream = await streamAgent({ client, task: "sim: sleep 3\nsim: say Still here.\nsim: reply Survived." });
const sequences = [];
for await (const event of stream.events) {
  sequences.push(event.sequence);
  console.log(event.type);
}
const final = await stream.finalResult;
const inOrder = sequences.every((sequence, n) => sequence === n + 1) && sequences.length === final.eventCursor.lastEventSeq;
console.log(`${final.status}: ${final.text} in order: ${inOrder}, polled: ${paths.some((path) => path.endsWith("/events"))}`);
