// A second turn in one call.
import { runAgent } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const client = connect();
const first = await runAgent({ client, task: "Create docs/plan.md" });
const second = await runAgent({ client, continueRun: first.id, message: "Reply exactly CONTINUED" });
console.log(`${second.status}: ${second.text}`);
await client.closeRun(first.id);
