import { claudeCode } from "@agentrouterhq/sdk";

//#region sample
claudeCode({ permissionMode: "default" });
claudeCode({ permissionMode: "plan" });
claudeCode({ permissionMode: "acceptEdits" });
claudeCode({ permissionMode: "bypassPermissions" });
//#endregion
