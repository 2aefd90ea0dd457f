#pragma once
// Boxes that are made before there is a run for them: namespaces, cgroups, ids, an init that has built all that launches
// have in common (the host's programs, /dev, /proc, /tmp, the network, half of the fences) and waits for the rest. A
// launch takes one that is like it, or is done without. Each is used once, and no process but init has ever run in it.
//
// A box lives as long as its control socket: it ends with the process that made it, however that ends. Groups that are left then
// bear `warm_word` in their names and are swept as those of an attempt without a keeper are.

#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "sandbox/id_lock.h"
#include "sandbox/start.h"

namespace agentrouter::sandbox {

// A sandbox without a keeper. It is killed and its groups are removed by the destructor, unless they are taken out.
struct StandingBox {
  IdLock ids;
  std::optional<CgroupSet> cgroups;
  RunningInit init;
  LimitsMode mode = LimitsMode::rlimit;
};

// What makes two launches alike enough for the same box, and what a box is made from.
class BoxKind {
 public:
  // Nothing of the run: neither its files nor its folders, limits or names.
  [[nodiscard]] static base::Result<BoxKind> of(const CheckedLaunch& launch);
  // Of the launch's parts that a box is made from, and of the files behind its descriptors.
  [[nodiscard]] static std::string key_of(const CheckedLaunch& launch);

  [[nodiscard]] const std::string& key() const { return key_; }
  // Blocks for some milliseconds. Errors as of a launch.
  [[nodiscard]] base::Result<StandingBox> make() const;

 private:
  BoxKind() = default;
  std::string key_;
  std::unique_ptr<LaunchRecord> record_;
  std::vector<base::Fd> binds_;
  std::string groups_, around_;  // what the names of its groups begin with, and of the one around
};

// The rest of a launch in a box that fits it: as start_init() after it. On an error the box is good for nothing.
[[nodiscard]] base::Result<void> claim(StandingBox& box, CheckedLaunch& launch, int attempt_dir);

// Safe from any thread.
class WarmPool {
 public:
  WarmPool() = default;
  // Ends all that wait.
  ~WarmPool();

  // One that fits and lives. It is the caller's alone.
  [[nodiscard]] std::optional<StandingBox> take(const CheckedLaunch& launch);
  // More launches like this one may come: `warm` of its record says how many boxes are kept for all kinds together.
  void expect(const CheckedLaunch& launch);
  // Whether make_one() has something to do: a box is missing, or one has to go.
  [[nodiscard]] bool wants() const;
  // Blocks for some milliseconds. A kind that cannot be made is left alone until it is launched again.
  void make_one();
  // One of this kind, now.
  [[nodiscard]] base::Result<void> make(const CheckedLaunch& launch);
  // Does make_one() in a thread of its own, whenever nothing has been launched for a moment.
  void fill_in_background();
  [[nodiscard]] std::vector<pid_t> waiting() const;
  void clear();

  // How long no launch must have begun before a box is made.
  static constexpr std::chrono::milliseconds quiet{20};

 private:
  struct Kind {
    std::shared_ptr<const BoxKind> kind;
    std::uint64_t launched = 0;  // as the how-manieth launch
    bool broken = false;
  };
  struct Waiting {
    std::shared_ptr<const BoxKind> kind;
    StandingBox box;
  };
  [[nodiscard]] std::size_t count(const BoxKind& kind) const;
  [[nodiscard]] std::size_t share(std::size_t index) const;
  // The kind of which one is missing, or nothing.
  [[nodiscard]] const Kind* missing() const;
  [[nodiscard]] bool wants_locked() const;
  // Those that are dead, of no kind that is launched, or more than their kind's share: no longer waiting.
  void retire_locked();
  void fill(const std::stop_token& stop);
  std::uint64_t watch_mounts();

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Kind> kinds_;  // the one that was launched last first
  std::list<Waiting> boxes_;
  std::list<Waiting> retired_;
  base::Fd mounts_;  // readable when the mounts of this machine have changed
  std::uint64_t mounts_changed_ = 0;
  std::uint64_t launches_ = 0;
  std::size_t most_ = 0;
  std::jthread filler_;
};

}  // namespace agentrouter::sandbox
