#include "runs/options.h"

#include <algorithm>

namespace agentrouter::runs {

namespace {

constexpr std::string_view inherited[] = {"waitForQuota", "mcp", "approvalScope",
                                          "policy",       "limits", "requireIsolation", "image", "requires"};

json::object object_of(std::string_view input) {
  auto value = base::parse_json(input, {.max_depth = 128, .max_bytes = 16u << 20});
  return value && value->is_object() ? std::move(value->get_object()) : json::object();
}

}  // namespace

RunOptions options_of(std::string_view input) {
  const auto object = object_of(input);
  RunOptions options{.wait_for_quota = base::get_bool(object, "waitForQuota").value_or(false)};
  const auto* names = base::get_array(object, "mcp");
  for (const auto& name : names ? *names : json::array{}) {
    if (name.is_string()) options.mcp.emplace_back(name.get_string());
  }
  options.scope = model::parse_approval_scope(base::get_string(object, "approvalScope").value_or(""))
                      .value_or(model::ApprovalScope::run);
  options.policy = base::get_string(object, "policy").value_or("");
  options.isolation = model::parse_isolation(base::get_string(object, "requireIsolation").value_or(""));
  options.image = base::get_string(object, "image").value_or("");
  if (const auto* limits = base::get_object(object, "limits"))
    options.limits = policy::RunLimits::from_json(*limits);
  const auto* labels = base::get_object(object, "requires");
  for (const auto& label : labels ? *labels : json::object{}) {
    const auto* value = label.value().if_string();
    if (value == nullptr) continue;
    options.requirements.emplace_back(std::string(label.key().data(), label.key().size()),
                                      std::string(value->data(), value->size()));
    const auto isolation = options.requirements.back().first == "isolation"
                               ? model::parse_isolation(options.requirements.back().second)
                               : std::nullopt;
    if (isolation) options.isolation = std::max(*isolation, options.isolation.value_or(*isolation));
  }
  return options;
}

void set_limits(model::Run& run, const policy::RunLimits& limits) {
  auto input = object_of(run.input);
  input["limits"] = limits.to_json();
  run.input = base::to_text(input);
}

void set_isolation(model::Run& run, model::Isolation isolation) {
  auto input = object_of(run.input);
  input["requireIsolation"] = to_string(isolation);
  run.input = base::to_text(input);
}

void set_scope(model::Run& run, model::ApprovalScope scope) {
  auto input = object_of(run.input);
  input["approvalScope"] = to_string(scope);
  run.input = base::to_text(input);
}

void inherit_options(json::object& input, std::string_view before) {
  const auto object = object_of(before);
  for (const auto key : inherited) {
    if (const auto* value = object.if_contains(key)) input[key] = *value;
  }
}

}  // namespace agentrouter::runs
