#pragma once
// Which shell commands plainly do nothing but read: words that anybody can see through, from a short list of
// programs. Everything that is not understood is no plain read, so a mistake costs a question and nothing
// else. What stands between the agent and the machine is the sandbox, not this.

#include <span>
#include <string>
#include <string_view>

namespace agentrouter::policy {

// The script inside `/bin/bash -lc '...'`, which is how Codex shows its commands; else `command` itself.
[[nodiscard]] std::string script_of(std::string_view command);

// Whether a format of printf has a %n, which sets the variable that is named behind it.
[[nodiscard]] bool sets_variables(std::string_view format);

// The programs that only read whatever their options are, printf and test as far as they name no variable,
// date as far as it sets no clock.
[[nodiscard]] std::span<const std::string_view> plain_readers();

// Whether every command of `script` is one of the list, joined by `|`, `&&`, `||` or `;`. No redirection,
// expansion, substitution, variable, group, comment, background job or line end.
[[nodiscard]] bool only_reads(std::string_view script);

}  // namespace agentrouter::policy
