#pragma once
// The provider key never reaches an event or a log, not even when it stood in the workspace already.

#include <string>
#include <string_view>

namespace agentrouter::keeper {

// Replaces each occurrence of `secret` by [REDACTED]; true when there was one. A secret of fewer than 8 bytes
// is no key and is left alone: it would tear every text apart.
bool redact(std::string& text, std::string_view secret);

}  // namespace agentrouter::keeper
