#pragma once
// One run of a program with a text on its standard input and a bound on its time and its answer. Internal to
// vault.

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace agentrouter::vault {

struct ProgramRun {
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::chrono::milliseconds timeout;
  std::size_t most_output = 64 * 1024;
};

struct ProgramEnd {
  int exit_code = 0;  // 128 + signal when it was killed
  std::string output;
  std::string complaint;  // the beginning of what it wrote to its standard error
};

// Blocks. The program is the leader of a group of its own, which is killed when it is over time or says too
// much, and when it has ended: nothing that it started goes on.
//
// Errors: not_found and the like (it cannot be started), timeout, exhausted (too much output).
[[nodiscard]] base::Result<ProgramEnd> run_with_input(const ProgramRun& run, std::string_view input);

}  // namespace agentrouter::vault
