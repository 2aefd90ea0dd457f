#pragma once
// What a run may carry of tags, in the body that creates it and in the query that looks for it.

#include <cstddef>
#include <cstdint>

namespace agentrouter::api {

inline constexpr std::size_t max_tags = 32;
inline constexpr std::int64_t max_tag_value = 256;  // UTF-16 units

}  // namespace agentrouter::api
