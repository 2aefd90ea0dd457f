#include "policy/run_limits.h"

#include <algorithm>

namespace agentrouter::policy {

namespace {

constexpr std::string_view cost_name = "maxCostUsd";

// As the wire has it: money in dollars.
json::value wire_value(const LimitField& field, std::int64_t value) {
  if (field.name == cost_name) return usd_of(value);
  return value;
}

std::string shown(const LimitField& field, std::int64_t value) {
  return field.name == cost_name ? usd_text(value) : std::to_string(value);
}

base::Error refusal(const LimitField& field, const std::string& message) {
  json::object issue{{"code", "custom"}, {"path", json::array{"limits", field.name}}, {"message", message}};
  const json::object details{{"issues", json::array{std::move(issue)}}};
  return {base::Code::invalid, "limits." + std::string(field.name) + ": " + message, "validation_error",
          base::to_text(details)};
}

}  // namespace

const std::vector<LimitField>& limit_fields() {
  static const std::vector<LimitField> fields{
      {"maxWallSeconds", &RunLimits::wall_seconds, 1, 604'800},
      {"maxTokens", &RunLimits::tokens, 1, 1'000'000'000'000},
      {cost_name, &RunLimits::cost, nano_per_usd / 1'000'000, most_usd},
      {"maxActions", &RunLimits::actions, 1, 1'000'000},
      {"maxOutputBytes", &RunLimits::output_bytes, 1, std::int64_t{1} << 40},
      {"maxNetworkBytes", &RunLimits::network_bytes, 1, std::int64_t{1} << 40},
      {"maxMemoryBytes", &RunLimits::memory_bytes, std::int64_t{64} << 20, std::int64_t{1} << 40, true},
      {"maxDiskBytes", &RunLimits::disk_bytes, std::int64_t{1} << 20, std::int64_t{1} << 44, true},
      {"maxCpuPercent", &RunLimits::cpu_percent, 1, 100'000, true},
      {"maxPids", &RunLimits::pids, 16, 1'000'000, true}};
  return fields;
}

bool RunLimits::empty() const {
  return *this == RunLimits{};
}

json::object RunLimits::to_json() const {
  json::object object;
  for (const auto& field : limit_fields()) {
    if (const auto& value = this->*field.member) object[field.name] = wire_value(field, *value);
  }
  return object;
}

RunLimits RunLimits::from_json(const json::object& object) {
  RunLimits limits;
  for (const auto& field : limit_fields()) {
    const auto* value = object.if_contains(field.name);
    if (value == nullptr || !value->is_number()) continue;
    const auto number = value->to_number<double>();
    const auto parts =
        field.name == cost_name ? parts_of(number, nano_per_usd) : base::get_int(object, field.name);
    if (parts && *parts >= field.least && *parts <= field.most) limits.*field.member = parts;
  }
  return limits;
}

base::Result<RunLimits> settle_limits(const RunLimits& asked, const LimitRules& rules,
                                      const std::optional<RunLimits>& before) {
  RunLimits settled;
  for (const auto& field : limit_fields()) {
    const auto& wanted = asked.*field.member;
    const auto& most = rules.most.*field.member;
    const auto earlier = before ? (*before).*field.member : std::nullopt;
    if (wanted && most && *wanted > *most) {
      return tl::unexpected(refusal(field, "Too big: this server allows at most " + shown(field, *most)));
    }
    if (wanted && earlier && *wanted > *earlier) {
      return tl::unexpected(refusal(
          field, "Too big: limits may only be tightened; this conversation has " + shown(field, *earlier)));
    }
    auto& result = settled.*field.member;
    result = wanted ? wanted : before ? earlier : rules.defaults.*field.member;
    if (most && (result ? *result > *most : !field.of_sandbox)) result = most;
  }
  return settled;
}

int next_warning(std::int64_t used, std::int64_t most, int warned) {
  int reached = 0;
  for (const int mark : warning_marks) {
    if (mark > warned && static_cast<__int128>(used) * 100 >= static_cast<__int128>(most) * mark)
      reached = mark;
  }
  return reached;
}

}  // namespace agentrouter::policy
