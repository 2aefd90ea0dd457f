// Shows a run while it happens.
import { codex, streamAgent } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const stream = await streamAgent({
  client: connect(),
  task: "Create notes/today.md and explain what you changed.",
  runtime: codex({ mode: "full_access" })
});

for await (const part of stream.fullStream) {
  if (part.type === "progress") console.log(`… ${part.text}`);
  if (part.type === "execution") console.log(`… ${part.text}`);
  if (part.type === "message") console.log(`agent: ${part.text}`);
  if (part.type === "text") console.log(`answer: ${part.text}`);
  if (part.type === "error") console.error(`failed: ${part.text}`);
}

const final = await stream.finalResult;
console.log(final.status);
