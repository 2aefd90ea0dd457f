#include "tenancy/scope.h"

#include <algorithm>

namespace agentrouter::tenancy {

const std::vector<std::string_view>& scope_names() {
  static const std::vector<std::string_view> names{"runs:read", "runs:write", "approvals:decide", "admin"};
  return names;
}

std::string_view to_string(Scope scope) {
  return scope_names()[static_cast<std::size_t>(scope)];
}

std::optional<Scope> parse_scope(std::string_view text) {
  const auto& names = scope_names();
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) return std::nullopt;
  return static_cast<Scope>(found - names.begin());
}

}  // namespace agentrouter::tenancy
