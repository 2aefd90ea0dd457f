#pragma once
// Small things that several sources of this room count and show with. Internal to egress.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/counted.h"
#include "base/utf8.h"

namespace agentrouter::egress {

// What a record shows of foreign bytes.
inline std::string shown(std::string_view text, std::size_t max_bytes) {
  const auto valid = base::to_utf8(text.substr(0, max_bytes));
  return std::string(base::cut_utf8(valid, max_bytes));
}

// So many denials are reported one by one, then every power of two.
inline bool is_worth_reporting(std::uint64_t denials, std::uint64_t reported) {
  return denials <= reported || std::has_single_bit(denials);
}

}  // namespace agentrouter::egress
