#pragma once
// gzip members. Equal input gives equal bytes (no time, no name), so that work repeated after a crash
// produces the same artifact; members put one after another are one valid gzip file.

#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::base {

[[nodiscard]] std::string gzip(std::string_view bytes);
// All members. Errors: corrupt; exhausted when the content is over `max_bytes`.
[[nodiscard]] Result<std::string> gunzip(std::string_view bytes, std::size_t max_bytes);

}  // namespace agentrouter::base
