#include "apps/keeping_config.h"

#include <unistd.h>

#include <charconv>
#include <fstream>
#include <functional>
#include <sstream>
#include <vector>

namespace agentrouter::apps {

namespace {

constexpr std::int64_t mib = 1ll << 20;
constexpr std::int64_t most_bytes = 1ll << 50;
constexpr std::int64_t most_count = 1'000'000'000;

struct KeepingKey {
  std::string_view key;
  std::int64_t least;  // or 0
  std::int64_t most;
  std::function<std::optional<std::int64_t>(const KeepingConfig&)> get;
  std::function<void(KeepingConfig&, std::int64_t)> set;
};

// 0 is for no rule of this kind.
template <class Number>
std::optional<Number> rule_of(std::int64_t value) {
  if (value == 0) return std::nullopt;
  return Number(value);
}

const std::vector<KeepingKey>& keeping_keys() {
  static const std::vector<KeepingKey> keys{
      {"admission.max_queued_runs", 1, most_count, [](const KeepingConfig& c) { return c.queue.max_queued; },
       [](KeepingConfig& c, std::int64_t n) { c.queue.max_queued = n; }},
      {"admission.max_queued_runs_of_share", 1, most_count,
       [](const KeepingConfig& c) { return c.queue.max_queued_of_share; },
       [](KeepingConfig& c, std::int64_t n) { c.queue.max_queued_of_share = n; }},
      {"admission.max_active_runs_of_workspace", 1, most_count,
       [](const KeepingConfig& c) { return c.max_active_runs_of_workspace; },
       [](KeepingConfig& c, std::int64_t n) { c.max_active_runs_of_workspace = n; }},
      {"admission.unplaceable_minutes", 1, 525'600,
       [](const KeepingConfig& c) { return static_cast<std::int64_t>(c.unplaceable.count()); },
       [](KeepingConfig& c, std::int64_t n) { c.unplaceable = std::chrono::minutes(n); }},
      {"admission.max_waiting_runs", 1, 10'000,
       [](const KeepingConfig& c) -> std::optional<std::int64_t> { return c.max_waiting_runs; },
       [](KeepingConfig& c, std::int64_t n) { c.max_waiting_runs = static_cast<int>(n); }},
      {"admission.max_waiting_calls", 1, most_count,
       [](const KeepingConfig& c) { return static_cast<std::int64_t>(c.max_waiting_calls); },
       [](KeepingConfig& c, std::int64_t n) { c.max_waiting_calls = static_cast<std::size_t>(n); }},
      {"admission.max_memory_bytes", mib, most_bytes,
       [](const KeepingConfig& c) -> std::optional<std::int64_t> {
         if (!c.max_memory_bytes) return std::nullopt;
         return static_cast<std::int64_t>(*c.max_memory_bytes);
       },
       [](KeepingConfig& c, std::int64_t n) { c.max_memory_bytes = static_cast<std::uint64_t>(n); }},
      {"retention.max_age_hours", 1, 1'000'000,
       [](const KeepingConfig& c) -> std::optional<std::int64_t> {
         if (!c.retention.max_age) return std::nullopt;
         return std::chrono::duration_cast<std::chrono::hours>(*c.retention.max_age).count();
       },
       [](KeepingConfig& c, std::int64_t n) { c.retention.max_age = rule_of<std::chrono::hours>(n); }},
      {"retention.max_runs", 1, most_count, [](const KeepingConfig& c) { return c.retention.max_runs; },
       [](KeepingConfig& c, std::int64_t n) { c.retention.max_runs = rule_of<std::int64_t>(n); }},
      {"retention.max_bytes", mib, most_bytes, [](const KeepingConfig& c) { return c.retention.max_bytes; },
       [](KeepingConfig& c, std::int64_t n) { c.retention.max_bytes = rule_of<std::int64_t>(n); }}};
  return keys;
}

}  // namespace

bool is_keeping_setting(const std::string& key) {
  return key.starts_with("admission.") || key.starts_with("retention.");
}

base::Result<void> set_keeping_value(KeepingConfig& config, const std::string& key, const std::string& text) {
  if (key == "admission.share_tag") {
    config.queue.share_tag = text;
    return {};
  }
  for (const auto& known : keeping_keys()) {
    if (known.key != key) continue;
    std::int64_t value = 0;
    const auto* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, value);
    const bool fits = value == 0 || (value >= known.least && value <= known.most);
    if (read.ec != std::errc() || read.ptr != end || !fits)
      return base::fail(base::Code::invalid,
                        key + " is \"" + text + "\": want a whole number from " + std::to_string(known.least) +
                            " to " + std::to_string(known.most) + ", or 0",
                        "usage");
    known.set(config, value);
    return {};
  }
  return base::fail(base::Code::invalid, "unknown key \"" + key + "\"", "usage");
}

std::string print_keeping(const KeepingConfig& config) {
  std::ostringstream out;
  out << "\n[admission]\n";
  if (!config.queue.share_tag.empty()) out << "share_tag = \"" << config.queue.share_tag << "\"\n";
  bool of_retention = false;
  for (const auto& known : keeping_keys()) {
    const auto value = known.get(config);
    if (!value) continue;
    const auto dot = known.key.find('.');
    if (known.key.starts_with("retention.") && !std::exchange(of_retention, true)) out << "\n[retention]\n";
    out << known.key.substr(dot + 1) << " = " << *value << "\n";
  }
  return out.str();
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
}

api::OverloadRules overload_rules(const KeepingConfig& config) {
  const auto machine = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
  return {.max_waiting_calls = config.max_waiting_calls,
          .max_memory_bytes = config.max_memory_bytes.value_or(machine / 2),
          .memory = resident_bytes};
}

}  // namespace agentrouter::apps
