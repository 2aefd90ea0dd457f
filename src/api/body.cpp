#include "api/body.h"

#include <algorithm>
#include <array>

#include "api/issues.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "model/defaults.h"

namespace agentrouter::api {

namespace {

using Names = std::vector<std::string_view>;

const Names codex_modes{"default", "read_only", "full_access", "auto_review"};
const Names claude_modes{"default", "acceptEdits", "plan", "auto", "dontAsk", "bypassPermissions"};
const Names approval_modes{"auto", "manual", "block"};

constexpr std::array<std::string_view, 3> workspace_keys{"source", "repoUrl", "checkout"};
constexpr std::array<std::string_view, 8> tool_keys{"model",   "tools",        "mcpServers", "rawArgs",
                                                    "cliArgs", "providerArgs", "codexArgs",  "claudeArgs"};

template <class Keys>
bool holds(const Keys& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

void check_keys(Issues& issues, const Path& path, const json::object& object, const Names& known) {
  std::vector<std::string> unknown;
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (!holds(known, key)) unknown.emplace_back(key);
  }
  if (!unknown.empty()) issues.unknown_keys(path, unknown);
}

struct TextLimits {
  std::int64_t least = 1;
  std::int64_t most = 0;
};

// The trimmed text, or nothing with a finding.
std::optional<std::string> text_of(Issues& issues, const Path& path, const json::value* value,
                                   TextLimits limits) {
  const auto* text = value ? value->if_string() : nullptr;
  if (!text) {
    issues.wrong_type(path, "string", value);
    return std::nullopt;
  }
  std::string trimmed(base::trim_js({text->data(), text->size()}));
  const auto length = static_cast<std::int64_t>(base::utf16_length(trimmed));
  if (length < limits.least) {
    issues.too_short(path, limits.least);
  } else if (length > limits.most) {
    issues.too_long(path, limits.most);
  } else {
    return trimmed;
  }
  return std::nullopt;
}

std::string choice_of(Issues& issues, const Path& path, const json::value* value, const Names& values,
                      std::string_view otherwise) {
  if (!value) return std::string(otherwise);
  const auto* text = value->if_string();
  if (text && holds(values, std::string_view(text->data(), text->size())))
    return std::string(text->data(), text->size());
  issues.not_one_of(path, values);
  return std::string(otherwise);
}

bool is_model_name(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '_' || c == ':' || c == '/' || c == '-';
  });
}

model::Runtime runtime_of(Issues& issues, const json::value* value) {
  model::Runtime runtime;
  if (!value) return runtime;
  const auto* object = value->if_object();
  if (!object) {
    issues.wrong_type({"runtime"}, "object", value);
    return runtime;
  }
  const auto kind =
      choice_of(issues, {"runtime", "kind"}, object->if_contains("kind"), {"codex", "claude_code"}, "");
  if (!object->contains("kind")) issues.not_one_of({"runtime", "kind"}, {"codex", "claude_code"});
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

std::string workspace_of(Issues& issues, const json::value* value) {
  if (!value) return {};
  const auto* object = value->if_object();
  if (!object) {
    issues.wrong_type({"workspace"}, "object", value);
    return {};
  }
  check_keys(issues, {"workspace"}, *object, {"path"});
  const auto* path = object->if_contains("path");
  const auto* text = path ? path->if_string() : nullptr;
  if (!text) {
    issues.wrong_type({"workspace", "path"}, "string", path);
    return {};
  }
  std::string result(text->data(), text->size());
  if (result.empty() || result.size() > 4096 || result.front() != '/' ||
      result.find('\0') != std::string::npos) {
    issues.other({"workspace", "path"}, "Invalid path: expected an absolute path of at most 4096 bytes");
  }
  return result;
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

// What the run keeps and what idempotency compares: the body with its defaults, strings trimmed.
void fill_input(CreateBody& result, const json::object& body) {
  json::object input;
  input["task"] = result.task;
  input["runtime"] = result.runtime.to_json();
  if (body.contains("approvalMode")) input["approvalMode"] = to_string(result.approval_mode);
  for (const char* key : {"metadata", "workspace", "priority"}) {
    if (const auto* value = body.if_contains(key)) input[key] = *value;
  }
  result.input = base::to_text(input);
  if (result.approval_mode == model::ApprovalMode::automatic) input.erase("approvalMode");
  result.body_hash = base::Sha256::hex_of(base::to_canonical(input));
}

}  // namespace

base::Result<CreateBody> parse_create_body(const json::value& body) {
  Issues issues;
  const auto* object = body.if_object();
  if (!object) {
    issues.wrong_type({}, "object", &body);
    return tl::unexpected(issues.to_error());
  }
  if (auto foreign = refuse_foreign_keys(*object); !foreign) return tl::unexpected(foreign.error());
  CreateBody result;
  const auto limit = static_cast<std::int64_t>(model::defaults::task_chars);
  if (auto task = text_of(issues, {"task"}, object->if_contains("task"), {1, limit}))
    result.task = std::move(*task);
  result.runtime = runtime_of(issues, object->if_contains("runtime"));
  const auto mode =
      choice_of(issues, {"approvalMode"}, object->if_contains("approvalMode"), approval_modes, "auto");
  result.approval_mode = model::parse_approval_mode(mode).value_or(model::ApprovalMode::block);
  if (const auto* metadata = object->if_contains("metadata"); metadata && !metadata->is_object()) {
    issues.wrong_type({"metadata"}, "record", metadata);
  }
  result.workspace_path = workspace_of(issues, object->if_contains("workspace"));
  if (const auto* priority = object->if_contains("priority")) {
    const auto number = base::get_int(*object, "priority");
    if (!number) {
      issues.wrong_type({"priority"}, "int", priority);
    } else if (*number < -100 || *number > 100) {
      issues.out_of_range({"priority"}, -100, 100, *number < -100);
    } else {
      result.priority = static_cast<int>(*number);
    }
  }
  check_keys(issues, {}, *object, {"task", "runtime", "approvalMode", "metadata", "workspace", "priority"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  fill_input(result, *object);
  return result;
}

base::Result<DecisionBody> parse_decision_body(const json::value& body) {
  Issues issues;
  const auto* object = body.if_object();
  if (!object) {
    issues.wrong_type({}, "object", &body);
    return tl::unexpected(issues.to_error());
  }
  DecisionBody result;
  if (auto digest = text_of(issues, {"actionDigest"}, object->if_contains("actionDigest"), {8, 256})) {
    if (!digest->starts_with("sha256:")) issues.bad_format({"actionDigest"}, "/^sha256:.+$/");
    result.action_digest = std::move(*digest);
  }
  if (const auto* reason = object->if_contains("reason")) {
    if (auto text = text_of(issues, {"reason"}, reason, {1, 1000})) result.reason = std::move(*text);
  }
  check_keys(issues, {}, *object, {"actionDigest", "reason"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Result<void> parse_empty_body(const json::value& body) {
  Issues issues;
  const auto* object = body.if_object();
  if (!object) {
    issues.wrong_type({}, "object", &body);
  } else {
    check_keys(issues, {}, *object, {});
  }
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return {};
}

}  // namespace agentrouter::api
