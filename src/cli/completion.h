#pragma once
// Completion scripts for shells, made from the same descriptions as the help.

#include <string>
#include <string_view>

namespace agentrouter::cli {

// `shell` is bash, zsh or fish. The script completes commands, flags, the values of flags that have a fixed
// set, and files elsewhere.
[[nodiscard]] std::string completion_script(std::string_view shell);

}  // namespace agentrouter::cli
