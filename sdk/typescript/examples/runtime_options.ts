// What can be chosen about the agent. The server fills in what is left out.
import { claudeCode, codex, runAgent, type RuntimeSelection } from "@agentrouterhq/sdk";
import { connect } from "./client.js";

const choices: RuntimeSelection[] = [
  codex(),
  codex({ mode: "read_only" }),
  codex({ mode: "full_access", model: "gpt-5.5" }),
  codex({ mode: "auto_review" }),
  claudeCode({ permissionMode: "plan" }),
  claudeCode({ permissionMode: "bypassPermissions", model: "claude-sonnet-4-6" })
];
for (const choice of choices) console.log(JSON.stringify(choice));

const result = await runAgent({ client: connect(), task: "Reply exactly READY", runtime: codex({ mode: "read_only" }) });
console.log(JSON.stringify(result.run.runtime), result.text);
