#include "apps/config_number.h"

#include <charconv>

namespace agentrouter::apps {

base::Result<std::int64_t> whole_number(const std::string& key, const std::string& text, std::int64_t least,
                                        std::int64_t most) {
  std::int64_t value = 0;
  const auto* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec == std::errc() && read.ptr == end && value >= least && value <= most) return value;
  return base::fail(base::Code::invalid,
                    key + " is \"" + text + "\": want a whole number from " + std::to_string(least) + " to " +
                        std::to_string(most),
                    "usage");
}

}  // namespace agentrouter::apps
