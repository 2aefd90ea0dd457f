// Prints every event as it is stored: for audit, dashboards, and whoever needs sequence numbers.
import { streamAgent } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const stream = await streamAgent({ client: connect(), task: "Run exactly: ls -la." });
for await (const event of stream.events) {
  console.log(String(event.sequence).padStart(4), event.source.padEnd(11), event.type);
}
