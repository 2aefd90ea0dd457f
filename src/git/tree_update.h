#pragma once
// A git tree from another one and what a run changed: what did not change is not looked at.

#include <optional>
#include <string>
#include <vector>

#include "git/handle.h"

namespace agentrouter::git {

// A file or link that is there now, or (no blob) is not any more. A path that is there takes the place of
// whatever stood at it or on the way to it, except for a submodule: what lies in one belongs to another
// repository and is left out.
struct TreeEdit {
  std::string path;
  std::optional<git_oid> blob;
  git_filemode_t mode = GIT_FILEMODE_BLOB;
};

// `before` may be null. None: nothing is left in it.
// Errors: invalid (a name that git does not take), unavailable.
[[nodiscard]] base::Result<std::optional<git_oid>> update_tree(git_repository* repository, const git_tree* before,
                                                               std::vector<TreeEdit> edits);

}  // namespace agentrouter::git
