#pragma once
// Hosts and paths of requests in the one form that rules, and the bindings of secrets, compare.

#include <string>
#include <string_view>

namespace agentrouter::policy {

// a.b.c.d, each number as it is usually written.
[[nodiscard]] bool is_ipv4_text(std::string_view host);
// Labels of letters, digits, `-` and `_`, the last not a number: what every parser takes for a name.
[[nodiscard]] bool is_name_text(std::string_view host);

// `unclear`: an encoded slash (npm's names have one), an empty segment or parameters (";v=1"), which servers
// drop or do not, and which matter only where a path is looked at. `ambiguous`: dot segments, a backslash,
// control characters, a broken or doubled percent sign: then `text` says what is odd.
enum class PathKind { plain, unclear, ambiguous };
struct DecodedPath {
  PathKind kind = PathKind::plain;
  std::string text;  // decoded
};
[[nodiscard]] DecodedPath egress_path(std::string_view sent);

}  // namespace agentrouter::policy
