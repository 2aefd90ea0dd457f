#pragma once
// What this program was started with: where its libraries are, so that it can run where the host's are not.

#include <vector>

#include "base/fd.h"

namespace agentrouter::sandbox {

struct OwnLibraries {
  base::Fd loader;                // of the program's interpreter
  std::vector<base::Fd> folders;  // empty: it is static, and needs neither
};

// Errors: those of open(2).
[[nodiscard]] base::Result<OwnLibraries> open_own_libraries();

// Closes what init has left open above 63 for the loader, which is done with it. For a program that init started.
void leave_loader();

}  // namespace agentrouter::sandbox
