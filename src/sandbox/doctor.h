#pragma once
// What this machine offers to a sandbox, found by trying it. A required control that is missing is a refusal
// with its reason; nothing is ever weakened silently.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace agentrouter::sandbox {

enum class Found { ok, degraded, missing };
[[nodiscard]] std::string_view to_string(Found found);

struct Probe {
  std::string name;  // "user namespace", "seccomp", "limits"...
  Found found = Found::missing;
  bool required = false;
  std::string detail;  // what was seen: "cgroup v1: memory, pids, cpu", "operation not permitted"
  std::string remedy;  // what to do about it; empty when found is ok
};

// Takes some milliseconds, leaves nothing behind. `scratch`: a folder on the file system where attempts will
// live (the overlay is tried there).
[[nodiscard]] std::vector<Probe> probe_machine(const std::string& scratch);

// Removes from `attempts` (borrowed) what a probe left there that was killed; one that is going on is left alone.
void remove_left_probes(int attempts);

// Errors: unsupported, naming each required probe that is missing, with detail and remedy; reason
// sandbox_unavailable.
[[nodiscard]] base::Result<void> require(const std::vector<Probe>& probes);

}  // namespace agentrouter::sandbox
