// Prints the final answer and nothing else.
import { streamAgent } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const stream = await streamAgent({ client: connect(), task: "Reply exactly HELLO" });
for await (const text of stream.textStream) process.stdout.write(`${text}\n`);
