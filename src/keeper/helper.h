#pragma once
// Our own program, started in the sandbox for one piece of work, which says on a pipe what came of it.

#include <chrono>
#include <string>

#include "base/fd.h"
#include "keeper/notices.h"

namespace agentrouter::keeper {

struct Helper {
  pid_t pid = -1;
  base::Fd report;
  const char* what = "";  // of messages: "cannot ..."
};

// What it said once it has ended, at most 4096 bytes. One that takes longer than `patience` is killed with
// everything else in the sandbox. Errors: timeout, unavailable (it said nothing).
[[nodiscard]] base::Task<base::Result<std::string>> wait_for_report(Sandbox& sandbox, Notices& notices, Helper helper,
                                                                    std::chrono::milliseconds patience);

}  // namespace agentrouter::keeper
