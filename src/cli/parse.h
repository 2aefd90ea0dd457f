#pragma once
// Command lines to Commands. With definitions.h the only place that knows the parser library.

#include <span>
#include <string>
#include <vector>

#include "cli/command.h"

namespace agentrouter::cli {

struct Parsed {
  Command command;
  // Set when there is nothing to run: the text to print, and the exit code (0: help was asked for, to stdout;
  // 2: usage, to stderr).
  bool stop = false;
  int exit_code = 0;
  std::string text;
};

// `arguments` begin with the command's name, which must be one of describe_commands().
[[nodiscard]] Parsed parse(std::span<const std::string> arguments);

// In the order of the help.
[[nodiscard]] std::vector<CommandInfo> describe_commands();

}  // namespace agentrouter::cli
