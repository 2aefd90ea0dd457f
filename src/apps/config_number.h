#pragma once
// Numbers in the configuration file and its environment.

#include <cstdint>
#include <string>

#include "base/error.h"

namespace agentrouter::apps {

// The whole of `text`, from `least` to `most`. Errors: invalid ("usage"), which names `key` and what is
// wanted.
[[nodiscard]] base::Result<std::int64_t> whole_number(const std::string& key, const std::string& text,
                                                      std::int64_t least, std::int64_t most);

}  // namespace agentrouter::apps
