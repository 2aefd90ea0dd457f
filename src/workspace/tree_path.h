#pragma once
// Paths of an archive's entries, judged as text before anything is done with them.

#include <string>
#include <string_view>
#include <vector>

#include "workspace/unpack.h"

namespace agentrouter::workspace {

// "./a//b/" as {"a", "b"}; none for the tree itself.
//
// Errors: those of unpack() for a path.
[[nodiscard]] base::Result<std::vector<std::string>> parts_of(std::string_view path,
                                                              const UnpackLimits& limits);

// A link in the folder `parts` (its path without its name) with this target stays in the tree, as far as the
// text says: links on the way may still lead elsewhere.
[[nodiscard]] bool stays_inside(std::size_t folder_depth, std::string_view target);

// The error of an entry that is not made, or of a limit, naming the entry.
[[nodiscard]] tl::unexpected<base::Error> refused(std::string_view entry, std::string_view why);
[[nodiscard]] tl::unexpected<base::Error> over_limit(std::string_view entry, std::string_view limit,
                                                     std::uint64_t most, std::string_view why);

}  // namespace agentrouter::workspace
