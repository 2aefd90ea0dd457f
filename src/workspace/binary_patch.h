#pragma once
// The `literal` hunk of a GIT binary patch: deflate, then base 85.

#include <string>
#include <string_view>

namespace agentrouter::workspace {

void append_literal(std::string& out, std::string_view content);

}  // namespace agentrouter::workspace
