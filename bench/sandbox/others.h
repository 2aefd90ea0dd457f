#pragma once
// What else starts a confined program: bubblewrap and crun, and a plain fork and exec that confines nothing.
// They are started from a process of their own that never grows, in which crun sees no v2 hierarchy beside v1
// (it refuses both at once).

#include <filesystem>
#include <string>
#include <vector>

#include "base/fd.h"

namespace agentrouter::bench {

enum class Other : std::uint32_t { fork_exec, bwrap, crun };

struct AtOnce {
  double all_ms = 0;         // from the first call to the last program's first instruction
  double first_ms = 0;       // of the first of them alone
  double pss_kib = 0;        // of all processes of one, its own helpers included; 0 when not asked for
  double available_kib = 0;  // what the machine had less, for one
};

// Proportional set size of a process and all below it.
[[nodiscard]] double pss_kib_of_tree(pid_t pid);
[[nodiscard]] double available_kib();

class Others {
 public:
  // Forks: before this process has threads or memory. `folder` holds `stamp`.
  Others(const std::filesystem::path& folder, const std::filesystem::path& scratch);
  ~Others();
  Others(const Others&) = delete;
  Others& operator=(const Others&) = delete;

  // Why it is not there, or empty.
  [[nodiscard]] std::string missing(Other other) const;
  // `count` at the same time, from two threads. Throws when one does not start.
  [[nodiscard]] AtOnce start(Other other, unsigned count, bool measure_memory = false);

 private:
  base::Fd socket_;
  pid_t helper_ = -1;
};

}  // namespace agentrouter::bench
