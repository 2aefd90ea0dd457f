// The body that asks for a run.

#include <algorithm>

#include "api/body.h"
#include "api/query.h"
#include "api/schema.h"
#include "api/tag_limits.h"
#include "api/workspace_body.h"
#include "base/ascii.h"
#include "base/utf8.h"
#include "model/defaults.h"
#include "runs/options.h"
#include "runs/placement.h"

namespace agentrouter::api {

namespace {

const Names codex_modes{"default", "read_only", "full_access", "auto_review"};
const Names claude_modes{"default", "acceptEdits", "plan", "auto", "dontAsk", "bypassPermissions"};
const Names workspace_keys{"source", "repoUrl", "checkout"};
const Names tool_keys{"model",   "tools",        "mcpServers", "rawArgs",
                      "cliArgs", "providerArgs", "codexArgs",  "claudeArgs"};
const Names isolations{"process", "user-kernel", "vm"};
const Names later_workspaces{"artifactId"};
const Names known_keys{"task",          "runtime",          "approvalMode", "metadata",
                       "workspace",     "priority",         "tags",         "approvalTimeoutSeconds",
                       "approvalScope", "requireIsolation", "waitForQuota", "mcp",
                       "policy",        "limits",           "image",    "requires"};
constexpr Bounds priority_bounds{-100, 100};
constexpr Bounds approval_timeout_bounds{1, 604'800};
constexpr std::size_t max_mcp_servers = 16;

std::string_view view(const json::string& text) {
  return {text.data(), text.size()};
}

tl::unexpected<base::Error> unsupported(const std::string& option, const std::string& what) {
  json::object details;
  details["option"] = option;
  return base::fail(base::Code::invalid, "\"" + option + "\" is not supported by this version: " + what,
                    "unsupported_option", base::to_text(details));
}

base::Result<void> refuse_foreign_keys(const json::object& object) {
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (holds(workspace_keys, key)) {
      return base::fail(
          base::Code::invalid,
          "\"" + std::string(key) + "\" is not supported: attach a workspace with \"workspace\"",
          "unsupported_workspace_attachment", "{}");
    }
    if (holds(tool_keys, key)) {
      return base::fail(
          base::Code::invalid,
          "\"" + std::string(key) +
              "\" is not supported: tools and arguments of the agent are configured on the server",
          "unsupported_tool_configuration", "{}");
    }
  }
  return {};
}

// What this version refuses instead of ignoring. Values that ask for what happens anyway are no reason to.
base::Result<void> refuse_later_options(const json::object& object) {
  for (const auto& member : object) {
    const std::string key(member.key().data(), member.key().size());
    const auto& value = member.value();
    if (key != "workspace" || !value.is_object()) continue;
    for (const auto& part : value.get_object()) {
      const std::string_view name(part.key().data(), part.key().size());
      if (holds(later_workspaces, name)) {
        return unsupported("workspace." + std::string(name), "use \"path\", \"upload\", \"git\" or \"fromRun\"");
      }
    }
  }
  return {};
}

bool is_model_name(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '_' || c == ':' || c == '/' || c == '-';
  });
}

model::Runtime runtime_of(Issues& issues, const json::value* value) {
  model::Runtime runtime;
  const auto* object = value ? object_of(issues, {"runtime"}, *value) : nullptr;
  if (!object) return runtime;
  const Names kinds{"codex", "claude_code"};
  const auto kind = choice_of(issues, {"runtime", "kind"}, object->if_contains("kind"), kinds, "");
  if (!object->contains("kind")) issues.not_one_of({"runtime", "kind"}, kinds);
  if (kind.empty()) return runtime;
  const bool codex = kind == "codex";
  const std::string_view mode_key = codex ? "mode" : "permissionMode";
  runtime.kind = codex ? model::RuntimeKind::codex : model::RuntimeKind::claude_code;
  check_keys(issues, {"runtime"}, *object, {"kind", mode_key, "model"});
  runtime.mode = choice_of(issues, {"runtime", std::string(mode_key)}, object->if_contains(mode_key),
                           codex ? codex_modes : claude_modes, "default");
  if (const auto* model = object->if_contains("model")) {
    if (auto name = text_of(issues, {"runtime", "model"}, model, {1, 128})) {
      if (!is_model_name(*name)) issues.bad_format({"runtime", "model"}, "/^[A-Za-z0-9._:/-]+$/");
      runtime.model = std::move(*name);
    }
  }
  return runtime;
}

model::Tags tags_of(Issues& issues, const json::value* value) {
  model::Tags tags;
  if (!value) return tags;
  const auto* object = value->if_object();
  if (!object) {
    issues.wrong_type({"tags"}, "record", value);
    return tags;
  }
  if (object->size() > max_tags) {
    issues.other({"tags"}, "Too big: expected at most 32 tags");
    return tags;
  }
  for (const auto& member : *object) {
    const std::string name(member.key().data(), member.key().size());
    const auto* text = member.value().if_string();
    if (!is_tag_name(name)) issues.bad_format({"tags", name}, tag_name_pattern);
    if (!text) {
      issues.wrong_type({"tags", name}, "string", &member.value());
    } else if (static_cast<std::int64_t>(base::utf16_length(view(*text))) > max_tag_value) {
      issues.too_long({"tags", name}, max_tag_value);
    } else {
      tags.emplace_back(name, view(*text));
    }
  }
  std::sort(tags.begin(), tags.end());
  return tags;
}

bool is_mcp_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    const char lower = base::ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

// Names of MCP servers, each once.
std::vector<std::string> mcp_of(Issues& issues, const json::value* value) {
  std::vector<std::string> names;
  if (!value) return names;
  const auto* list = value->if_array();
  if (!list) {
    issues.wrong_type({"mcp"}, "array", value);
    return names;
  }
  if (list->size() > max_mcp_servers) issues.other({"mcp"}, "Too big: expected at most 16 servers");
  for (const auto& item : *list) {
    const auto* text = item.if_string();
    const bool fits = text && is_mcp_name(view(*text));
    const bool again = fits && std::find(names.begin(), names.end(), view(*text)) != names.end();
    if (!fits || again) {
      issues.other({"mcp"}, "Invalid names: expected 1 to 64 of A-Z a-z 0-9 _ -, each once");
      return names;
    }
    names.emplace_back(view(*text));
  }
  return names;
}

// The name of a policy.
std::string policy_of(Issues& issues, const json::value* value) {
  if (!value) return {};
  auto name = text_of(issues, {"policy"}, value, {1, 64}).value_or("");
  const bool fits = std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; });
  if (!fits) issues.bad_format({"policy"}, "/^[a-z0-9_-]+$/");
  return name;
}

// The name of an image.
std::string image_of(Issues& issues, const json::value* value) {
  if (!value) return {};
  auto name = text_of(issues, {"image"}, value, {1, 64}).value_or("");
  const bool fits = !name.starts_with('.') && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
  if (!fits) issues.bad_format({"image"}, "/^[a-z0-9_-][a-z0-9._-]*$/");
  return name;
}

// Labels that the worker must have.
void check_requirements(Issues& issues, const json::value* value) {
  if (!value) return;
  const auto* object = value->if_object();
  if (!object) return issues.wrong_type({"requires"}, "record", value);
  if (object->size() > runs::needs_at_most) return issues.other({"requires"}, "Too big: expected at most 16 labels");
  constexpr std::string_view pattern = "/^[A-Za-z0-9._-]{1,64}$/";
  for (const auto& member : *object) {
    const std::string name(member.key().data(), member.key().size());
    const auto* text = member.value().if_string();
    if (!runs::is_label_text(name)) issues.bad_format({"requires", name}, pattern);
    if (!text) {
      issues.wrong_type({"requires", name}, "string", &member.value());
    } else if (!runs::is_label_text(view(*text))) {
      issues.bad_format({"requires", name}, pattern);
    } else if (name == "isolation" && !holds(isolations, view(*text))) {
      issues.not_one_of({"requires", name}, isolations);
    }
  }
}

// What is only checked: the run keeps it in its input, or it has one value in this version.
void check_settled(Issues& issues, const json::object& object) {
  std::ignore = approval_scope_of(issues, object.if_contains("approvalScope"));
  const auto* wait = object.if_contains("waitForQuota");
  if (wait && !wait->is_bool()) issues.wrong_type({"waitForQuota"}, "boolean", wait);
  const auto* metadata = object.if_contains("metadata");
  if (metadata && !metadata->is_object()) issues.wrong_type({"metadata"}, "record", metadata);
}

// What the run keeps: the body with its defaults, strings trimmed.
std::string input_of(const CreateBody& result, const json::object& body) {
  json::object input;
  input["task"] = result.task;
  input["runtime"] = result.runtime.to_json();
  if (body.contains("approvalMode")) input["approvalMode"] = to_string(result.approval_mode);
  if (!result.limits.empty()) input["limits"] = result.limits.to_json();
  for (const auto key : known_keys) {
    if (input.contains(key) || key == "limits") continue;
    if (const auto* value = body.if_contains(key)) input[key] = *value;
  }
  return base::to_text(input);
}

}  // namespace

base::Result<CreateBody> parse_create_body(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  if (auto foreign = refuse_foreign_keys(*object); !foreign) return tl::unexpected(foreign.error());
  if (auto later = refuse_later_options(*object); !later) return tl::unexpected(later.error());
  CreateBody result;
  const auto limit = static_cast<std::int64_t>(model::defaults::task_chars);
  result.task = text_of(issues, {"task"}, object->if_contains("task"), {1, limit}).value_or("");
  result.runtime = runtime_of(issues, object->if_contains("runtime"));
  result.approval_mode =
      approval_mode_of(issues, object->if_contains("approvalMode")).value_or(model::ApprovalMode::automatic);
  result.workspace = workspace_of(issues, object->if_contains("workspace"));
  result.tags = tags_of(issues, object->if_contains("tags"));
  if (const auto* value = object->if_contains("priority"))
    result.priority = static_cast<int>(integer_of(issues, {"priority"}, *value, priority_bounds).value_or(0));
  if (const auto* value = object->if_contains("approvalTimeoutSeconds")) {
    const auto seconds = integer_of(issues, {"approvalTimeoutSeconds"}, *value, approval_timeout_bounds);
    result.approval_timeout = std::chrono::seconds(seconds.value_or(1));
  }
  result.policy = policy_of(issues, object->if_contains("policy"));
  result.isolation = model::parse_isolation(choice_of(
      issues, {"requireIsolation"}, object->if_contains("requireIsolation"), isolations, "process"));
  result.image = image_of(issues, object->if_contains("image"));
  result.mcp = mcp_of(issues, object->if_contains("mcp"));
  result.limits = limits_of(issues, object->if_contains("limits"));
  check_requirements(issues, object->if_contains("requires"));
  check_settled(issues, *object);
  check_keys(issues, {}, *object, known_keys);
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  result.input = input_of(result, *object);
  if (object->contains("requires")) result.isolation = runs::options_of(result.input).isolation;
  return result;
}

}  // namespace agentrouter::api
