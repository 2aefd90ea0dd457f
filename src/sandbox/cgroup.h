#pragma once
// Control groups of one sandbox: where they can be made on this machine, with which limits, and how they are
// emptied and removed. The name of a group says whose it is ("agentrouter.<installation>.<attempt>"), so that
// a later process finds what an earlier one left.

#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "sandbox/launch.h"

namespace agentrouter::sandbox {

// In the name of a group whose sandbox has no attempt yet, and where a v2 group carries its label once it has.
inline constexpr const char* warm_word = ".warm_";
inline constexpr const char* cgroup_label_attribute = "user.agentrouter.label";

// Where groups of this process can be made. Modes: cgroup2 (memory, pids and cpu as v2 controllers), cgroup1
// (as v1 controllers; with a v2 hierarchy beside it for killing), rlimit (neither is complete and writable).
struct CgroupSite {
  LimitsMode mode = LimitsMode::rlimit;
  std::string unified;          // v2 folder below which groups are made, or empty
  std::vector<std::string> v1;  // the same of memory, pids, cpu
  std::string why;              // what is missing for a better mode
};
[[nodiscard]] CgroupSite find_cgroup_site();

[[nodiscard]] std::string cgroup_prefix(int attempts);  // of every group of this installation
// The group around all of them: it carries the limits of the machine, and weighs as much as the server and
// the keepers beside it, however many sandboxes are in it.
[[nodiscard]] std::string cgroup_around(int attempts);
[[nodiscard]] std::string cgroup_label(const AttemptRef& attempt);

struct Around {
  std::string name;  // empty: no group around
  MachineLimits limits;
};

// The groups of one sandbox, removed again by the destructor unless keep() was called.
class CgroupSet {
 public:
  // Makes the group around them too, where it is not there yet. Errors: those of mkdir(2) and of writing the
  // limits.
  [[nodiscard]] static base::Result<CgroupSet> make(const CgroupSite& site, const std::string& label,
                                                    const Limits& limits, const Around& around = {});
  CgroupSet(CgroupSet&& other) noexcept;
  CgroupSet& operator=(CgroupSet&&) = delete;
  ~CgroupSet();

  // Gives the groups another name and other limits, as those of the sandbox they are for once there is one. A v2 group
  // keeps its name and carries the label beside it. Errors: those of rename(2), setxattr(2) and of writing the limits.
  [[nodiscard]] base::Result<void> adopt(const std::string& label, const Limits& limits, const Around& around = {});

  // For clone into it, or -1.
  [[nodiscard]] int unified() const { return unified_.get(); }
  // v1 knows no birth inside: whoever writes "0" to one of these moves its own thread there. That waits for
  // nobody, while the kernel makes somebody who moves another process wait until all processors have been
  // seen, which takes milliseconds.
  [[nodiscard]] const std::vector<base::Fd>& entries() const { return entries_; }
  void keep() {
    folders_.clear();
    around_.clear();
  }

  base::Fd procs, memory_events, memory_peak;  // for reading; empty where there is none

 private:
  CgroupSet() = default;
  base::Result<std::string> make_folder(const std::string& parent, const std::string& label,
                                        const Around& around);
  base::Result<void> make_unified(const CgroupSite& site, const std::string& label, const Limits& limits,
                                  const Around& around);
  base::Result<void> make_v1(const std::string& parent, const std::string& controller,
                             const std::string& label, const Limits& limits, const Around& around);
  base::Fd unified_;
  std::vector<std::string> folders_, around_;
  bool limiting_v2_ = false;
  Limits limits_;  // as they were written last
  std::vector<std::string> v1_;
  std::vector<std::pair<std::string, std::string>> limited_;  // a group of v1 and its controller
  std::vector<base::Fd> entries_;  // of each of v1_
};

// Folders anywhere in the mounted hierarchies whose label is `label` (or begins with it).
enum class Match { whole, prefix };
[[nodiscard]] std::vector<std::string> find_cgroups(const std::string& label, Match match);
// The label of a group: the one that it was given by adopt(), else its name.
[[nodiscard]] std::string label_of_cgroup(const std::string& folder);

// Removes the groups around, once they are empty.
void remove_empty_around(int attempts);

// Removes the groups of boxes that were made for no attempt, with whatever runs in them.
void remove_warm(int attempts);

// Kills what is in the group, waits until it is empty, removes it. Returns how many processes it held.
// Errors: timeout, those of rmdir(2).
[[nodiscard]] base::Result<unsigned> remove_cgroup(const std::string& folder);

}  // namespace agentrouter::sandbox
