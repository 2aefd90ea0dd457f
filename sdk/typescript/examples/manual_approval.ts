// Lets nothing start that was not approved: here by a rule, in your application by a person.
import { codex, streamAgent } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const client = connect();
const stream = await streamAgent({
  client,
  task: "Run the repository tests and summarize failures.",
  runtime: codex({ mode: "full_access" }),
  approvalMode: "manual"
});

for await (const part of stream.fullStream) {
  if (part.type === "approval_request") {
    console.log(`${part.text} (${part.actionDigest.slice(0, 15)}…)`);
    const { actionId, actionDigest } = part;
    await client.approveRunAction({ runId: stream.run.id, actionId, actionDigest, reason: "The example approves everything" });
  }
  if (part.type === "approval_decision") console.log(part.decision);
  if (part.type === "execution") console.log(part.status);
}
console.log((await stream.finalResult).status);
