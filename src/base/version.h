#pragma once

#include <string_view>

namespace agentrouter::base {

inline constexpr std::string_view version = "0.1.0";

}  // namespace agentrouter::base
