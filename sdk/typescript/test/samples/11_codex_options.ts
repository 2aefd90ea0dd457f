import { codex } from "@agentrouterhq/sdk";

//#region sample
codex({ mode: "default", model: "gpt-4o" });
codex({ mode: "read_only" });
codex({ mode: "full_access" });
codex({ mode: "auto_review" });
//#endregion
