#pragma once
// Request bodies about keys and workspaces.

#include <chrono>
#include <optional>

#include "api/issues.h"
#include "tenancy/keys.h"
#include "tenancy/workspaces.h"

namespace agentrouter::api {

struct KeyBody {
  std::string name;
  // None: that of the request. An empty list: every workspace ("*").
  std::optional<std::vector<std::string>> workspaces = {};
  std::vector<tenancy::Scope> scopes;
  std::optional<base::Time> expires_at = {};
};

// {name, scopes, workspaces?: [id...] | "*", expiresAt?}. Errors: invalid (validation_error).
[[nodiscard]] base::Result<KeyBody> parse_key_body(const json::value& body);

// {overlapSeconds?}: 0 to 30 days, an hour without it. Errors: invalid (validation_error).
[[nodiscard]] base::Result<std::chrono::seconds> parse_key_rotation(const json::value& body);

// {id, name?}. Errors: invalid (validation_error).
[[nodiscard]] base::Result<tenancy::NewWorkspace> parse_new_workspace(const json::value& body);

// {name?, disabled?}. Errors: invalid (validation_error).
[[nodiscard]] base::Result<tenancy::WorkspaceChange> parse_workspace_change(const json::value& body);

}  // namespace agentrouter::api
