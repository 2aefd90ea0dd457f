#pragma once
// A place in a list of runs as a client carries it: opaque text, and checked, so that a broken one is refused
// instead of giving a wrong page.

#include "store/records.h"

namespace agentrouter::runs {

[[nodiscard]] std::string encode_cursor(const store::RunCursor& cursor);
// Errors: invalid with reason validation_error and details {issues: [{code: "invalid_cursor", ...}]}.
[[nodiscard]] base::Result<store::RunCursor> decode_cursor(std::string_view text);

}  // namespace agentrouter::runs
