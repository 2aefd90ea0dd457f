#pragma once
// What both parsers of HTTP ask of Beast 1.81.

#include <boost/beast/core/string.hpp>
#include <cstddef>
#include <string_view>

namespace agentrouter::net {

// Raw bytes of framing (chunk sizes, trailers) that may wait for their end.
inline constexpr std::size_t max_framing_bytes = 8 * 1024;

// Beast asserts when it is offered less than "0\r\n\r\n" of a last chunk that it has seen the begin of.
// No chunked body can end in fewer bytes, so it is safe to wait for them.
inline constexpr std::size_t least_framing_bytes = 5;

using StringView = boost::beast::string_view;

[[nodiscard]] inline std::string_view view(StringView text) {
  return {text.data(), text.size()};
}

}  // namespace agentrouter::net
