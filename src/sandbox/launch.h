#pragma once
// Starts one attempt: builds its sandbox and then the keeper that holds it, in one call that is the only
// privileged step of an attempt. It fails closed: any stage that does not work ends the launch with the stage
// and the cause, and leaves nothing behind.
//
// Two implementations behind one interface: LocalLauncher does the work in this process (plain user, and
// inside the warden), WardenLauncher (warden.h) asks the root warden to do it.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "model/isolation.h"
#include "sandbox/plan.h"

namespace agentrouter::sandbox {

// The host ids of one sandbox, when the launcher is root: 65536 ids from 0x100000 upward, one range per slot.
// Ranges never overlap and never hold host uid 0. A plain user has no range: all share its own uid.
struct UidRange {
  static constexpr std::uint32_t first = 0x100000;
  static constexpr std::uint32_t size = 65536;
  static constexpr std::uint32_t slots = 60000;

  std::uint32_t base = 0;
  [[nodiscard]] static constexpr UidRange of_slot(std::uint32_t slot) { return {first + slot * size}; }
  [[nodiscard]] constexpr std::uint32_t init() const { return base; }           // uid 0 inside
  [[nodiscard]] constexpr std::uint32_t agent() const { return base + 1000; }   // uid 1000 inside
  [[nodiscard]] constexpr std::uint32_t keeper() const { return base + 2000; }  // not mapped inside
};

// Which range a launch takes: from behind the one that was given out last on this machine, so that one comes back
// as late as can be, or from a slot on.
enum class Range { next, at_slot };

// The folder in an attempt's folder that holds what its agent wrote: `upper`, of the workspace, and `home`.
inline constexpr const char* box_folder = "box";
inline constexpr unsigned max_kept_layers = 16;
inline constexpr unsigned max_warm = 64;

// An attempt's folder: `id` ("attempt_<uuid>") below the folder `attempts` (borrowed).
struct AttemptRef {
  int attempts = -1;
  std::string id;
};

struct LaunchRequest {
  AttemptRef attempt;  // the folder exists and is the caller's; launch makes box/, work/... in it
  Plan plan;
  int lower = -1;      // the workspace's read-only lower folder (O_PATH is enough), or -1 for an empty one
  // What ended attempts have left in their folder `box`, moved elsewhere: the newest first, read-only layers
  // between the lower folder and this attempt's own. Each holds `upper` and `home`, written by an attempt
  // whose id range need not be this one's. At most max_kept_layers; may be shared by attempts that run at the
  // same time. The home stands on the first `home_layers` of them.
  std::vector<int> layers;
  unsigned home_layers = 0;
  // The root folder of an unpacked image, or -1: the host's own /usr (Plan::binds). With one the sandbox is
  // made by the `oci` driver, and the keeper holds a copy of the descriptor for life, with any lock (flock)
  // that is on it.
  int image = -1;
  int plan_pipe = -1;  // becomes the keeper's descriptor 6
  std::vector<std::string> keeper_argv;  // of this same program, e.g. {"agentrouter", "keeper"}; <= 512 bytes
  std::uint32_t slot = 0;                // where the search for a free range begins, < UidRange::slots
  Range range = Range::next;             // or somewhere else
  // How many boxes are kept ready for launches like this one and the last ones, once it is through; at most max_warm.
  // 0: none are made, but one that is there is used.
  unsigned warm = 0;
};

// What the keeper finds open when it starts (see Box::adopt). Its stdin and stdout are /dev/null, stderr is
// keeper.log in the attempt's folder (append-only), its environment is empty, its session its own.
namespace keeper_fd {
inline constexpr int control = 3;       // SEQPACKET to init; closing it ends the sandbox
inline constexpr int init = 4;          // pidfd
inline constexpr int attempt = 5;       // the attempt's folder
inline constexpr int plan = 6;          // LaunchRequest::plan_pipe
inline constexpr int listener = 7;      // 127.83.1.1:80 of the sandbox
inline constexpr int cgroup_procs = 8;  // each of these three: only with cgroups
inline constexpr int memory_events = 9;
inline constexpr int memory_peak = 10;
inline constexpr int ids = 11;        // as root: the lock of the sandbox's range of ids
inline constexpr int image = 12;      // with an image: LaunchRequest::image
inline constexpr int names_udp = 13;  // these only where hosts may be reached: 127.83.1.1:53
inline constexpr int names_tcp = 14;
inline constexpr int outbound = 15;  // and one after the other: 0.0.0.0:PORT of Plan::outbound_ports
inline constexpr int end = outbound + static_cast<int>(max_outbound_ports);
}  // namespace keeper_fd

enum class LimitsMode { rlimit, cgroup1, cgroup2 };
[[nodiscard]] std::string_view to_string(LimitsMode mode);

// What makes the sandbox: `process` is our own init alone, `oci` lets a container runtime (crun) start it.
enum class Driver { process, oci };
[[nodiscard]] std::string_view to_string(Driver driver);

struct Launched {
  base::Fd keeper;  // pidfd: readable once the keeper has ended
  pid_t keeper_pid = -1;
  LimitsMode limits = LimitsMode::rlimit;
  bool warm = false;  // its box had been made before
};

// `groups`: no file. `box`: what the agent wrote (box, work) but not the attempt's own files. `all`: the
// whole folder.
enum class Remove { groups, box, all };

struct SweepReport {
  unsigned cgroups_removed = 0;
  unsigned processes_killed = 0;
  std::vector<std::string> live;  // ids of attempts whose keeper lives (attempt.lock is held)
};

class Launcher {
 public:
  virtual ~Launcher() = default;

  // What stands between what it launches and the machine.
  [[nodiscard]] virtual model::Isolation isolation() const { return model::Isolation::process; }

  // Blocks for some milliseconds. On return init has built the sandbox and waits for the keeper, which has
  // been started. The keeper belongs to the attempt, not to this process: it survives the caller.
  //
  // Errors: invalid (the request), unsupported, denied, exhausted... each "cannot <stage>: <cause>", reason
  // sandbox_unavailable (runtime_missing: an image is asked for and there is no crun). Nothing of the attempt runs or is mounted then; its folder may hold empty folders.
  // unavailable, reason launcher_lost: who was doing it has died. What there was of the sandbox ends by itself, but its
  // groups may still be there: another launch needs another attempt.
  [[nodiscard]] virtual base::Result<Launched> launch(const LaunchRequest& request) = 0;

  // After the keeper has ended: kills what its cgroups still hold, removes them, and removes the files.
  // May be repeated. Errors: conflict (the keeper lives), exhausted (call again: the tree was larger than
  // one call removes, but each removes something of it), those of unlinkat(2).
  [[nodiscard]] virtual base::Result<void> release(const AttemptRef& attempt, Remove what) = 0;

  // At boot, before the first launch: removes the cgroups of every attempt below `attempts` (borrowed folder)
  // that no live keeper owns, with whatever runs in them. Folders stay: their journals are not settled yet.
  [[nodiscard]] virtual base::Result<SweepReport> sweep(int attempts) = 0;
};

// release() until nothing of the attempt is left. Blocks as long as that takes; others are launched
// meanwhile.
[[nodiscard]] base::Result<void> release_whole(Launcher& launcher, const AttemptRef& attempt, Remove what);

class WarmPool;

// Safe from any thread.
class LocalLauncher final : public Launcher {
 public:
  LocalLauncher();
  ~LocalLauncher() override;
  [[nodiscard]] base::Result<Launched> launch(const LaunchRequest& request) override;
  [[nodiscard]] base::Result<void> release(const AttemptRef& attempt, Remove what) override;
  [[nodiscard]] base::Result<SweepReport> sweep(int attempts) override;

  // Makes one box for a launch like this, now: the next one that is takes it. Its attempt's folder is only looked at
  // for the names of groups. Errors as of launch.
  [[nodiscard]] base::Result<void> prepare(const LaunchRequest& request);
  // The first processes of the boxes that wait.
  [[nodiscard]] std::vector<pid_t> waiting() const;

 private:
  // What this process started and must reap; only an optimisation for everything else.
  struct Started {
    std::string attempt;
    base::Fd init;
    base::Fd keeper;
  };
  void reap(const std::string& ending);

  std::unique_ptr<WarmPool> pool_;
  std::mutex mutex_;
  std::vector<Started> started_;
};

}  // namespace agentrouter::sandbox
