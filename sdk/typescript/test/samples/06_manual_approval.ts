import { agentrouter, codex, streamAgent } from "@agentrouterhq/sdk";

const client = agentrouter({ apiKey: process.env.AGENTROUTER_API_KEY! });

//#region sample
const stream = await streamAgent({
  client,
  task: "Run the repository tests and summarize failures.",
  runtime: codex({ mode: "full_access" }),
  approvalMode: "manual"
});

for await (const part of stream.fullStream) {
  if (part.type === "approval_request") {
    await client.approveRunAction({
      runId: stream.run.id,
      actionId: part.actionId,
      actionDigest: part.actionDigest,
      reason: "Approved by CI policy"
    });
  }

  if (part.type === "execution") {
    console.log(part.status);
  }
}
//#endregion
