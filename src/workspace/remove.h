#pragma once
// Taking away what stands below a folder.

#include <string>

#include "base/error.h"

namespace agentrouter::workspace {

// What stands at `name`, with everything below; folders that keep their owner out are opened for it. No link
// is followed and no mount crossed. What is not there is fine.
//
// Errors: exhausted (more than `depth` folders in each other), those of unlinkat(2). Something may be gone
// then.
[[nodiscard]] base::Result<void> remove(int folder, const std::string& name, unsigned depth);

}  // namespace agentrouter::workspace
