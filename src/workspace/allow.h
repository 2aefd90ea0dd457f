#pragma once
// Which folders of this machine may become a run's workspace. A path is judged by what it really names:
// links are resolved first, so that neither ".." nor a link leads out of an allow-listed root.

#include <filesystem>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace agentrouter::workspace {

struct AllowRules {
  std::vector<std::filesystem::path> roots;  // a root that does not exist allows nothing
  std::filesystem::path data_directory;      // never inside a workspace, nor a workspace inside it
};

// The folder's real absolute path.
//
// Errors, all to be answered with 400: invalid, with reason workspace_not_found (nothing there, or not a
// folder) or workspace_forbidden (not absolute, outside the roots, "/", the kernel's own trees, or it would
// show the data directory to an agent). Outside the roots nothing is said about what exists.
[[nodiscard]] base::Result<std::filesystem::path> admit(std::string_view path, const AllowRules& rules);

}  // namespace agentrouter::workspace
