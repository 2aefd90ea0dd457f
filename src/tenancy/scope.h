#pragma once
// What a key allows. `admin` allows everything in the workspaces that the key opens, and to make and take
// away keys for them.

#include <optional>
#include <string_view>
#include <vector>

namespace agentrouter::tenancy {

enum class Scope { runs_read, runs_write, approvals_decide, admin };

// runs:read, runs:write, approvals:decide, admin
[[nodiscard]] std::string_view to_string(Scope scope);
[[nodiscard]] std::optional<Scope> parse_scope(std::string_view text);
[[nodiscard]] const std::vector<std::string_view>& scope_names();

}  // namespace agentrouter::tenancy
