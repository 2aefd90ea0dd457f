// The policies that are always there.

#include <algorithm>
#include <array>

#include "policy/plain_read.h"
#include "policy/rules.h"

namespace agentrouter::policy {

namespace {

constexpr std::string_view reads = R"(
  {"id": "launch", "tool": "launch", "verdict": "allow", "reason": "approvalMode is what gates the launch"},
  {"id": "own-notes", "tool": ["todo", "subagent"], "verdict": "allow",
   "reason": "nothing outside of the agent changes by it"},
  {"id": "reads", "tool": "read", "verdict": "allow", "reason": "it only reads"},
  {"id": "reading-commands", "tool": "shell", "verdict": "allow", "command": READERS,
   "reason": "it only reads"},
  {"id": "find", "tool": "shell", "verdict": "allow", "command": "find",
   "without": ["-delete", "-fprint*", "-fls", "-files0*"], "reason": "it only looks for files"},
  {"id": "rg", "tool": "shell", "verdict": "allow", "command": "rg",
   "without": ["--pre*", "--hostname-bin*"], "reason": "it only searches files"})";

constexpr std::string_view builds = R"(
  {"id": "git-files", "tool": "edit", "verdict": "deny", "path": [".git", ".git/**", "**/.git", "**/.git/**"],
   "reason": "what git itself reads is not changed by hand"},
  {"id": "edits", "tool": "edit", "verdict": "allow", "path": "**", "reason": "it changes files of the workspace"},
  {"id": "make", "tool": "shell", "verdict": "allow", "command": ["make", "ninja"], "without": "*=*",
   "options": ["-j*", "-k", "-s", "-v"], "reason": "it builds"},
  {"id": "ctest", "tool": "shell", "verdict": "allow", "command": "ctest",
   "options": ["-j*", "-R", "-L", "-V", "--output-on-failure", "--test-dir"], "reason": "it tests"},
  {"id": "cargo", "tool": "shell", "verdict": "allow",
   "command": ["cargo build", "cargo check", "cargo test", "cargo clippy", "cargo fmt"],
   "options": ["--release", "--all*", "--workspace", "--locked", "--offline", "--lib", "--bins", "--tests", "-p", "-q", "-v"],
   "reason": "it builds or tests"},
  {"id": "go", "tool": "shell", "verdict": "allow", "command": ["go build", "go test", "go vet"],
   "options": ["-v", "-race", "-short", "-count=*", "-run"], "reason": "it builds or tests"},
  {"id": "npm", "tool": "shell", "verdict": "allow",
   "command": ["npm test", "npm run build", "npm run lint", "npm run test", "pnpm test", "yarn test"],
   "options": ["--silent", "-s"], "without": "--", "reason": "it builds or tests"},
  {"id": "pytest", "tool": "shell", "verdict": "allow", "command": ["pytest", "python3 -m pytest", "python -m pytest"],
   "options": ["-q", "-v", "-vv", "-x", "-s", "-k", "-m", "--tb=*", "--maxfail=*", "--lf", "--ff"],
   "reason": "it tests"},
  {"id": "git", "tool": "shell", "verdict": "allow",
   "command": ["git status", "git diff", "git log", "git show", "git rev-parse", "git ls-files", "git add", "git commit"],
   "options": ["-s", "-sb", "-b", "-p", "-n", "-1", "-2", "-3", "-5", "-10", "-20", "-m", "-a", "-am", "-A", "-q", "--short",
               "--branch", "--porcelain", "--stat", "--oneline", "--cached", "--staged", "--name-only", "--name-status",
               "--abbrev-ref", "--show-toplevel", "--all"],
   "reason": "it looks at or records changes"})";

std::string quoted_list(const auto& words) {
  std::string text;
  for (const auto& word : words) text.append(text.empty() ? "[\"" : ", \"").append(word).append("\"");
  return text + "]";
}

Rules rules_of(std::string_view name, std::string_view top, std::string_view rules) {
  std::string text = "{\"name\": \"" + std::string(name) + "\", " + std::string(top) + ", \"rules\": [" +
                     std::string(rules) + "]}";
  if (const auto at = text.find("READERS"); at != std::string::npos)
    text.replace(at, 7, "[\"[\", " + quoted_list(plain_readers()).substr(1));
  const auto document = base::value_or_throw(base::parse_json(text));
  return base::value_or_throw(Rules::parse(document.as_object()));
}

using Named = std::pair<std::string, Rules>;

const std::vector<Named>& all_presets() {
  static const std::vector<Named> all = [] {
    const std::string reading(reads);
    const std::string launch = reading.substr(0, reading.find("{\"id\": \"reads\"") - 4);
    std::vector<Named> made;
    const auto add = [&](const char* name, const char* top, const std::string& rules) {
      made.emplace_back(name, rules_of(name, top, rules));
    };
    add("observe",
        R"("description": "Records what ask-writes would ask about, and asks nothing",)"
        R"( "default": "ask", "mode": "dry-run")",
        reading);
    add("ask-writes", R"("description": "Reading is allowed, everything else is asked", "default": "ask")",
        reading);
    add("ask-all", R"("description": "Everything is asked", "default": "ask")", launch);
    add("ci-safe",
        R"("description": "Nobody is asked: reading, changes of the workspace, builds and tests; no network",)"
        R"( "default": "deny", "not_understood": "deny")",
        reading + "," + std::string(builds));
    add("locked", R"("description": "Reading and nothing else", "default": "deny", "not_understood": "deny")",
        reading);
    return made;
  }();
  return all;
}

}  // namespace

const Rules* preset(std::string_view name) {
  for (const auto& [known, rules] : all_presets()) {
    if (known == name) return &rules;
  }
  return nullptr;
}

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> known;
    for (const auto& entry : all_presets()) known.push_back(entry.first);
    return known;
  }();
  return names;
}

}  // namespace agentrouter::policy
