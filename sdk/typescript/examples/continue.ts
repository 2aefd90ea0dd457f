// Two turns of one conversation: the second finds the files and the thread of the first. `claude_code` as argument: with Claude Code.
import { claudeCode, codex, runAgent, streamAgent } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const client = connect();
const runtime = process.argv[2] === "claude_code" ? claudeCode({ permissionMode: "acceptEdits" }) : codex({ mode: "full_access" });
const first = await runAgent({ client, task: "Create src/fib.ts with a fib(n) function.", runtime });
console.log(`turn 1: ${first.text}`);

const second = await streamAgent({ client, continueRun: first.id, message: "Run exactly: cat src/fib.ts." });
console.log(`turn ${second.turnNumber} of ${second.conversationId === first.id ? "the same conversation" : "another"}`);
for await (const part of second.fullStream) if (part.type === "text") console.log(part.text);

// The patch of a turn holds what all turns so far have changed.
const patch = (await second.finalResult).artifacts.items.find((artifact) => artifact.kind === "workspace_patch");
if (patch) console.log(new TextDecoder().decode(await client.downloadArtifact(second.run.id, patch.id)));

for (const turn of (await client.getRunTurns(first.id)).items) console.log(`${turn.turnNumber}. ${turn.prompt}`);
const closed = await client.closeRun(first.id);
console.log(closed.closed ? "closed" : "open");
