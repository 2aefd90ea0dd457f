#include "api/key_body.h"

#include <algorithm>

#include "api/query.h"
#include "api/schema.h"

namespace agentrouter::api {

namespace {

constexpr std::int64_t longest_key_name = 100;
constexpr std::int64_t usual_overlap = 3600;
constexpr std::string_view workspace_pattern = "/^[a-z0-9][a-z0-9_-]{0,63}$/";

// Texts of an array, each once; `check` says whether one of them will do, and tells of it if not.
template <class Check>
std::vector<std::string> texts_of(Issues& issues, const std::string& key, const json::value* value,
                                  std::size_t most, Check check) {
  std::vector<std::string> texts;
  const auto* list = value ? value->if_array() : nullptr;
  if (!list) {
    issues.wrong_type({key}, "array", value);
    return texts;
  }
  if (list->empty() || list->size() > most)
    issues.other({key}, "Invalid number of items: expected 1 to " + std::to_string(most));
  for (std::size_t i = 0; i < std::min(list->size(), most); ++i) {
    const Path path{key, std::to_string(i)};
    const auto* text = (*list)[i].if_string();
    if (!text) {
      issues.wrong_type(path, "string", &(*list)[i]);
    } else if (const std::string one(*text);
               check(path, one) && std::ranges::find(texts, one) == texts.end()) {
      texts.push_back(one);
    }
  }
  return texts;
}

std::optional<std::vector<std::string>> workspaces_of(Issues& issues, const json::value* value) {
  if (!value) return std::nullopt;
  if (value->is_string() && value->get_string() == "*") return std::vector<std::string>();
  auto all = texts_of(issues, "workspaces", value, tenancy::most_workspaces_of_key,
                      [&](const Path& path, const std::string& text) {
                        if (tenancy::is_workspace_id(text)) return true;
                        issues.bad_format(path, workspace_pattern);
                        return false;
                      });
  return all;
}

std::vector<tenancy::Scope> scopes_of(Issues& issues, const json::value* value) {
  const auto& known = tenancy::scope_names();
  const auto names =
      texts_of(issues, "scopes", value, known.size(), [&](const Path& path, const std::string& text) {
        if (tenancy::parse_scope(text)) return true;
        issues.not_one_of(path, known);
        return false;
      });
  std::vector<tenancy::Scope> scopes;
  for (const auto& name : names) scopes.push_back(*tenancy::parse_scope(name));
  return scopes;
}

std::optional<base::Time> key_time_of(Issues& issues, const json::value* value) {
  if (!value) return std::nullopt;
  const auto* text = value->if_string();
  const auto time = text ? parse_time(std::string_view(*text)) : std::nullopt;
  if (!time) issues.bad_time({"expiresAt"});
  return time;
}

}  // namespace

base::Result<KeyBody> parse_key_body(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  KeyBody result;
  result.name = text_of(issues, {"name"}, object->if_contains("name"), {1, longest_key_name}).value_or("");
  result.workspaces = workspaces_of(issues, object->if_contains("workspaces"));
  result.scopes = scopes_of(issues, object->if_contains("scopes"));
  result.expires_at = key_time_of(issues, object->if_contains("expiresAt"));
  check_keys(issues, {}, *object, {"name", "scopes", "workspaces", "expiresAt"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Result<std::chrono::seconds> parse_key_rotation(const json::value& body) {
  constexpr auto most = std::chrono::seconds(tenancy::longest_overlap).count();
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  std::int64_t overlap = usual_overlap;
  if (const auto* value = object->if_contains("overlapSeconds"))
    overlap = integer_of(issues, {"overlapSeconds"}, *value, {0, most}).value_or(0);
  check_keys(issues, {}, *object, {"overlapSeconds"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return std::chrono::seconds(overlap);
}

base::Result<tenancy::NewWorkspace> parse_new_workspace(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  tenancy::NewWorkspace result;
  if (auto id = text_of(issues, {"id"}, object->if_contains("id"), {1, longest_key_name})) {
    if (!tenancy::is_workspace_id(*id)) issues.bad_format({"id"}, workspace_pattern);
    result.id = std::move(*id);
  }
  if (const auto* name = object->if_contains("name"))
    result.name = text_of(issues, {"name"}, name, {1, longest_key_name}).value_or("");
  check_keys(issues, {}, *object, {"id", "name"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Result<tenancy::WorkspaceChange> parse_workspace_change(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  tenancy::WorkspaceChange result;
  if (const auto* name = object->if_contains("name"))
    result.name = text_of(issues, {"name"}, name, {1, longest_key_name});
  if (const auto* disabled = object->if_contains("disabled")) {
    if (disabled->is_bool()) result.disabled = disabled->get_bool();
    if (!disabled->is_bool()) issues.wrong_type({"disabled"}, "boolean", disabled);
  }
  check_keys(issues, {}, *object, {"name", "disabled"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

}  // namespace agentrouter::api
