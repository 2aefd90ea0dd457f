#pragma once
// What both halves write alike: server-sent events as chunks, text in deltas, and token counts.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "sim/reply.h"

namespace agentrouter::sim {

struct TokenCounts {
  std::size_t input = 0;
  std::size_t output = 0;
  std::size_t reasoning = 0;
};

// About four bytes make a token.
[[nodiscard]] std::size_t tokens(std::size_t bytes);

// `text` in pieces, at most about 256 of them, no character cut. Views into `text`.
[[nodiscard]] std::vector<std::string_view> deltas(std::string_view text);

[[nodiscard]] std::string event_bytes(std::string_view type, const json::object& data);

// Cuts a stream in the middle of its first event of type `finishing`, so that the client holds nothing
// finished and can safely ask again.
[[nodiscard]] Reply cut_in_the_middle(Reply whole, std::string_view finishing);

}  // namespace agentrouter::sim
