#pragma once
// The files of control groups as the kernel shows them, for cgroup.cpp and cgroup_tree.cpp.

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

#include "base/error.h"

namespace agentrouter::sandbox {

inline constexpr std::array controllers = {"memory", "pids", "cpu"};

struct Hierarchy {
  std::string mounted;  // where
  std::string root;     // which folder of the hierarchy is seen there
  std::string options;  // v1: its controllers; empty for v2
  bool unified = false;
};
[[nodiscard]] std::vector<Hierarchy> mounted_hierarchies();

[[nodiscard]] bool has_word(const std::string& list, const std::string& word, char separator);
[[nodiscard]] base::Result<void> write_to(const std::string& path, const std::string& text);
[[nodiscard]] std::vector<pid_t> processes(const std::string& folder);

}  // namespace agentrouter::sandbox
