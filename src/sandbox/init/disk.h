#pragma once
// The byte and inode cap of what an agent writes. No file system here gives a quota to a folder, so init
// counts: allocated blocks and inodes below the two folders that the overlays write to, and of files that are
// open but have no name any more. It works in steps of some milliseconds between which init answers its
// keeper, and goes by what the whole file system has lost since the last count, so that an idle agent costs
// nothing.

#include <dirent.h>
#include <sys/statvfs.h>

#include "sandbox/init/stages.h"

namespace agentrouter::sandbox::init {

struct DiskCount {
  std::uint64_t bytes;
  std::uint64_t
      inodes;     // at least one for two names: files with many names take no inodes, but time to count
  bool too_deep;  // a folder was nested so deep, or so many files were open, that not all was counted
};

// One count in steps. It moves while the agent works, so it is a snapshot of no single moment.
class DiskWalk {
 public:
  // Begins anew below `folders` (kept open by the caller).
  void begin(const int* folders, unsigned count);
  // From then on a count is complete once it has come to so many names.
  void stop_after(std::uint64_t names) { most_names_ = names; }
  // Works until `until_ns` of the monotonic clock. True when the count is complete.
  bool step(std::uint64_t until_ns);
  [[nodiscard]] DiskCount sum() const;
  [[nodiscard]] bool running() const { return running_; }

  static constexpr std::uint64_t names_of_inode = 2;

 private:
  static constexpr unsigned open_levels = 24;    // with a descriptor of their own; others are found by ".."
  static constexpr unsigned most_levels = 2048;  // no path of PATH_MAX bytes is deeper

  struct Level {
    std::uint64_t inode;
    std::int64_t at;  // where reading goes on
  };
  bool next_entry(const char*& name);
  void count(const char* name);
  void enter(const char* name, std::uint64_t inode);
  void leave();
  bool next_folder();
  void close_all();

  const int* folders_ = nullptr;
  unsigned folder_count_ = 0, next_ = 0;
  bool running_ = false;
  int fds_[open_levels] = {};
  int deepest_ = -1;  // of the level that is read, when it has no place in fds_
  unsigned depth_ = 0;
  Level levels_[most_levels] = {};
  alignas(8) char buffer_[16 * 1024] = {};
  unsigned used_ = 0, have_ = 0;
  DiskCount sum_ = {};
  std::uint64_t names_ = 0, most_names_ = ~std::uint64_t{0};
  std::uint64_t shares_ = 0;  // of inodes with several names: 1/65536 each
};

// What files that are open inside and have no name any more take on overlays, each once: a look at the
// descriptors of all processes, in steps as well. It takes longer the more of them there are, and holds up no
// count of names.
class HeldFiles {
 public:
  void begin();
  bool step(std::uint64_t until_ns);
  // What this look has seen so far: a file that was closed or got a name since the last one is not in it.
  [[nodiscard]] DiskCount sum() const { return sum_; }
  // For planning: the last complete look, where it saw more.
  [[nodiscard]] DiskCount expected() const { return sum_.bytes > last_.bytes ? sum_ : last_; }
  [[nodiscard]] bool running() const { return processes_ != nullptr; }

 private:
  bool step_once();
  bool next_process();
  void end();

  DIR* processes_ = nullptr;
  DIR* descriptors_ = nullptr;  // of one of them
  unsigned looked_ = 0;
  bool seen_ = false;
  DiskCount sum_ = {}, last_ = {};
};

class DiskWatch {
 public:
  void start(const Spec& spec, const Grounds& grounds);
  // What has come since the start is not the agent's: it was restored.
  void forgive();
  // One step at most, if it is time. Returns why the agent has to be stopped, or disk_fits.
  DiskCause look();
  // The same at the end of everything that could write: counts to the end, unless it is certain that it fits.
  DiskCause last_look();
  [[nodiscard]] int next_ms() const { return next_ms_; }
  // Counts to the end (nothing writes any more, or settled is 0) and tells the keeper.
  void report(DiskCause cause, bool settled);

 private:
  DiskCause judge(const DiskCount& sum) const;
  DiskCause judge_counts();
  DiskCause judge_reserve(const struct statvfs& system);
  [[nodiscard]] bool has_grown_since_low() const;
  [[nodiscard]] bool time_to_walk(std::uint64_t now) const;
  [[nodiscard]] DiskCount counted() const;
  void begin_counts();
  void count_to_the_end();
  void finish_walk(std::uint64_t now);
  void plan_next(std::uint64_t now);
  void bound_walk();
  [[nodiscard]] DiskCount guess() const;

  int folders_[2] = {-1, -1};
  std::uint64_t most_bytes_ = 0, most_inodes_ = 0, reserve_ = 0, reserve_percent_ = 0;
  DiskWalk walk_;
  HeldFiles held_;
  DiskCount first_ = {};                            // what counts for nobody
  DiskCount last_ = {};                             // the last complete count
  std::uint64_t free_bytes_ = 0, free_inodes_ = 0;  // of the file system, now
  std::uint64_t walk_bytes_ = 0, walk_inodes_ = 0;  // the same when the walk that runs began
  std::uint64_t last_bytes_ = 0, last_inodes_ = 0;  // the same of the last complete count
  std::uint64_t began_ = 0, ended_ = 0, took_ = 0;  // of walks, ns
  bool low_ = false, low_known_ = false;
  DiskCount low_at_ = {};                             // what was used when the reserve was reached
  std::uint64_t spare_bytes_ = 0, spare_inodes_ = 0;  // until nothing may go on
  int next_ms_ = 100;
};

}  // namespace agentrouter::sandbox::init
