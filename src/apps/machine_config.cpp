#include "apps/machine_config.h"

#include <charconv>
#include <functional>
#include <sstream>
#include <vector>

#include "sandbox/launch.h"

namespace agentrouter::apps {

namespace {

constexpr std::uint64_t one_mib = 1ull << 20;
constexpr std::uint64_t bytes_at_most = 1ull << 44;

struct MachineKey {
  std::string_view key;
  std::uint64_t least;
  std::uint64_t most;
  bool or_none;  // 0 is allowed, too
  std::function<std::uint64_t(const MachineConfig&)> get;
  std::function<void(MachineConfig&, std::uint64_t)> set;
};

template <class Part, class Number>
MachineKey part_key(std::string_view key, std::uint64_t least, std::uint64_t most, Part MachineConfig::*part,
                    Number Part::*member, bool or_none = false) {
  return {key,
          least,
          most,
          or_none,
          [part, member](const MachineConfig& c) { return static_cast<std::uint64_t>(c.*part.*member); },
          [part, member](MachineConfig& c, std::uint64_t n) { c.*part.*member = static_cast<Number>(n); }};
}

MachineKey plain_key(std::string_view key, std::uint64_t least, std::uint64_t most,
                     std::uint64_t MachineConfig::*member, bool or_none = false) {
  return {key,
          least,
          most,
          or_none,
          [member](const MachineConfig& c) { return c.*member; },
          [member](MachineConfig& c, std::uint64_t n) { c.*member = n; }};
}

const std::vector<MachineKey>& machine_keys() {
  using sandbox::Limits;
  using sandbox::MachineLimits;
  constexpr auto limits = &MachineConfig::limits;
  constexpr auto machine = &MachineConfig::machine;
  static const std::vector<MachineKey> keys{
      part_key("sandbox.limits.memory_bytes", 64 * one_mib, bytes_at_most, limits, &Limits::memory_bytes),
      part_key("sandbox.limits.cpu_percent", 1, 100'000, limits, &Limits::cpu_percent),
      part_key("sandbox.limits.pids", 16, 1'000'000, limits, &Limits::pids),
      part_key("sandbox.limits.disk_bytes", one_mib, bytes_at_most, limits, &Limits::disk_bytes),
      part_key("sandbox.limits.disk_inodes", 64, 1'000'000'000, limits, &Limits::disk_inodes),
      part_key("sandbox.limits.file_bytes", one_mib, bytes_at_most, limits, &Limits::file_bytes),
      part_key("sandbox.limits.open_files", 64, 1'000'000, limits, &Limits::open_files),
      part_key("sandbox.limits.tmp_bytes", one_mib, bytes_at_most, limits, &Limits::tmp_bytes),
      part_key("sandbox.limits.tmp_inodes", 64, 1'000'000'000, limits, &Limits::tmp_inodes),
      part_key("sandbox.limits.shm_bytes", one_mib, bytes_at_most, limits, &Limits::shm_bytes),
      {"sandbox.limits.wall_seconds", 1, 604'800, false,
       [](const MachineConfig& c) { return static_cast<std::uint64_t>(c.wall_time.count()); },
       [](MachineConfig& c, std::uint64_t n) { c.wall_time = std::chrono::seconds(n); }},
      plain_key("sandbox.limits.output_bytes", one_mib, bytes_at_most, &MachineConfig::output_bytes),
      plain_key("sandbox.limits.output_bytes_per_second", 65'536, bytes_at_most,
                &MachineConfig::output_bytes_per_second, true),
      part_key("machine.memory_bytes", 64 * one_mib, bytes_at_most, machine, &MachineLimits::memory_bytes,
               true),
      part_key("machine.pids", 16, 4'000'000, machine, &MachineLimits::pids, true),
      part_key("machine.cpu_percent", 1, 100'000, machine, &MachineLimits::cpu_percent, true),
      part_key("machine.disk_reserve_bytes", one_mib, bytes_at_most, limits, &Limits::disk_reserve_bytes,
               true),
      part_key("machine.disk_reserve_inode_percent", 1, 50, limits, &Limits::disk_reserve_inode_percent,
               true),
      part_key("machine.memory_reserve_bytes", one_mib, bytes_at_most, limits, &Limits::memory_reserve_bytes,
               true),
      plain_key("machine.warm_sandboxes", 0, sandbox::max_warm, &MachineConfig::warm_sandboxes)};
  return keys;
}

}  // namespace

bool is_machine_setting(const std::string& key) {
  return key.starts_with("sandbox.limits.") || key.starts_with("machine.");
}

base::Result<void> set_machine_value(MachineConfig& config, const std::string& key, const std::string& text) {
  for (const auto& known : machine_keys()) {
    if (known.key != key) continue;
    std::uint64_t value = 0;
    const auto* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, value);
    const bool fits = (value >= known.least && value <= known.most) || (value == 0 && known.or_none);
    if (read.ec != std::errc() || read.ptr != end || !fits) {
      return base::fail(base::Code::invalid,
                        key + " is \"" + text + "\": want a whole number from " +
                            std::to_string(known.least) + " to " + std::to_string(known.most) +
                            (known.or_none ? ", or 0 for no limit" : ""),
                        "usage");
    }
    known.set(config, value);
    return {};
  }
  return base::fail(base::Code::invalid, "unknown key \"" + key + "\"", "usage");
}

policy::LimitRules within(policy::LimitRules rules, const MachineConfig& config) {
  const auto fill = [](std::optional<std::int64_t>& most, std::uint64_t value) {
    if (!most) most = static_cast<std::int64_t>(value);
  };
  fill(rules.most.memory_bytes, config.limits.memory_bytes);
  fill(rules.most.disk_bytes, config.limits.disk_bytes);
  fill(rules.most.cpu_percent, config.limits.cpu_percent);
  fill(rules.most.pids, config.limits.pids);
  return rules;
}

std::string print_machine(const MachineConfig& config) {
  std::ostringstream out;
  std::string section;
  for (const auto& known : machine_keys()) {
    const auto dot = known.key.rfind('.');
    if (const std::string now(known.key.substr(0, dot)); now != section)
      out << "\n[" << (section = now) << "]\n";
    out << known.key.substr(dot + 1) << " = " << known.get(config) << "\n";
  }
  return out.str();
}

}  // namespace agentrouter::apps
