import type {
  ClaudeCodeRuntimeOptions,
  ClaudeCodeRuntimeSelection,
  CodexRuntimeOptions,
  CodexRuntimeSelection
} from "./types.js";

/** Selects Codex. What is left out, the server decides. */
export function codex(options: CodexRuntimeOptions = {}): CodexRuntimeSelection {
  return { kind: "codex", ...options };
}

/** Selects Claude Code. What is left out, the server decides. */
export function claudeCode(options: ClaudeCodeRuntimeOptions = {}): ClaudeCodeRuntimeSelection {
  return { kind: "claude_code", ...options };
}
