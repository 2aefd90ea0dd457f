#pragma once
// The keeper's hold on its sandbox: a control socket to init, init's pidfd, the listener that came out of the
// sandbox's network namespace. While a Box lives the sandbox may live; when the last copy of the control
// socket is closed (also by a crash of the keeper) init ends, and with it every process inside.
//
// Calls that ask init for something wait for its answer, a fraction of a millisecond; what happens inside by
// itself arrives as a Notice on control_fd().

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/fd.h"
#include "sandbox/launch.h"

namespace agentrouter::sandbox {

struct Exited {
  pid_t pid = -1;  // as spawn() or collect() returned it
  int code = -1;   // exit code, or -1 when ended by a signal
  int signal = 0;  // the signal, or 0
};
// Init killed the largest process because all together exceeded Limits::memory_bytes (rlimit mode only; with
// cgroups the kernel does it and memory() tells).
struct MemoryKill {
  pid_t pid = -1;
};
// Init killed everything inside because too much was written. Comes once when it is killed, and once more when
// it is dead and counted to the end.
struct DiskStop {
  // depth: folders nested deeper than any path is long, or more open files than can be counted.
  enum class Cause { bytes, inodes, depth, reserve };
  Cause cause = Cause::bytes;
  bool settled = false;
  std::uint64_t bytes = 0, inodes = 0;            // used
  std::uint64_t most_bytes = 0, most_inodes = 0;  // allowed
};
// Init has ended: nothing runs inside any more.
struct Gone {};
using Notice = std::variant<Exited, MemoryKill, DiskStop, Gone>;

struct Spawn {
  std::vector<std::string> argv;  // argv[0] is an absolute path inside
  std::vector<std::string> env;   // the whole environment
  std::string cwd = workspace_path;
  std::array<int, 3> stdio = {-1, -1, -1};  // borrowed; -1 is /dev/null
};

// The collector: our own program, run inside to read what the agent left, after kill_all(), or what it has
// made so far, while it runs. It has no network, and of all capabilities DAC_OVERRIDE, DAC_READ_SEARCH and FOWNER inside the sandbox.
// It finds 0,1,2 = stdio, 3 = the lower folder, 4 = the overlay's upper folder, 5 = the same of the home (all
// read-only mounts of their own, so ".." leads nowhere), 6... = outputs.
struct Collect {
  int program = -1;  // borrowed, of an executable; open_this_program() gives our own
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::array<int, 3> stdio = {-1, -1, -1};
  std::vector<int> outputs;  // borrowed, at most 8
};

// Our own program too, but with exactly the agent's rights, in the agent's view, before the agent: what it
// reads may be hostile. It finds 0,1,2 = stdio, 3... = `files`.
struct Restore {
  int program = -1;  // borrowed
  std::vector<std::string> argv;
  std::vector<std::string> env = {};
  std::vector<int> files;  // borrowed, at most 8
};

struct DestroyProof {
  bool init_gone = false;            // the pid namespace is empty and dissolved
  std::optional<bool> cgroup_empty;  // absent without cgroups
};

struct MemoryReport {
  std::uint64_t kills = 0;  // processes that the kernel killed for memory
  std::optional<std::uint64_t> peak_bytes;
};

class Box {
 public:
  // Takes over the descriptors that launch left open, marks them close-on-exec, and hardens this process:
  // PR_SET_DUMPABLE 0, no core files. Once per process, before any thread is started.
  // Errors: invalid (not started by launch), unavailable (init has already ended).
  [[nodiscard]] static base::Result<Box> adopt();

  Box(Box&&) = default;
  Box& operator=(Box&&) = default;
  // Closes the control socket: the sandbox dies soon after. destroy() waits for it.
  ~Box() = default;

  [[nodiscard]] LimitsMode limits() const { return limits_; }
  // The version of Landlock that holds the sandbox's files a second time; 0: the kernel has none.
  [[nodiscard]] unsigned landlock() const { return landlock_; }
  [[nodiscard]] int attempt_dir() const { return attempt_.get(); }
  // The read end of LaunchRequest::plan_pipe: the caller's from now on.
  [[nodiscard]] base::Fd take_plan_pipe() { return std::move(plan_); }
  // A listening TCP socket, non-blocking. Borrowed until close_listener().
  [[nodiscard]] int listener() const { return listener_.get(); }
  void close_listener() { listener_.reset(); }

  // The way out to other hosts, the caller's from now on: empty where the plan named no ports. All non-blocking.
  struct Outbound {
    struct Listener {
      std::uint16_t port = 0;  // of every address
      base::Fd fd;
    };
    std::vector<Listener> listeners = {};
    base::Fd names_udp, names_tcp;
  };
  [[nodiscard]] Outbound take_outbound() { return std::move(outbound_); }
  // Of those listeners, also once they are taken.
  [[nodiscard]] const std::vector<std::uint16_t>& outbound_ports() const { return outbound_ports_; }

  // Readable when read_notice() has something to say. Borrowed.
  [[nodiscard]] int control_fd() const { return control_.get(); }
  // Never blocks: nothing when there is no notice. After Gone it returns Gone for ever.
  [[nodiscard]] base::Result<std::optional<Notice>> read_notice();

  // Runs a program as the agent: uid 1000, no capabilities, no_new_privs, seccomp, limits, its own session.
  // Returns the pid that Exited will name. Errors: those of chdir(2) and execve(2) inside; exhausted;
  // unavailable (init has ended).
  [[nodiscard]] base::Result<pid_t> spawn(const Spawn& request);
  [[nodiscard]] base::Result<pid_t> collect(const Collect& request);
  [[nodiscard]] base::Result<pid_t> restore(const Restore& request);
  // One process that spawn() or collect() started; not_found when it has ended.
  [[nodiscard]] base::Result<void> signal(pid_t pid, int signal);

  // SIGSTOP and SIGCONT for everything inside but init.
  [[nodiscard]] base::Result<void> freeze();
  [[nodiscard]] base::Result<void> thaw();

  // SIGKILL for everything inside but init, again and again until nothing is left. Afterwards the workspace
  // does not change any more. Errors: timeout.
  [[nodiscard]] base::Result<void> kill_all(std::chrono::milliseconds patience = std::chrono::seconds(10));

  // Kills init, and with it the namespaces, and waits until that is proven. Errors: timeout.
  [[nodiscard]] base::Result<DestroyProof> destroy(
      std::chrono::milliseconds patience = std::chrono::seconds(10));

  [[nodiscard]] MemoryReport memory() const;

 private:
  Box() = default;
  [[nodiscard]] base::Result<std::uint32_t> ask(std::uint32_t type, std::string_view payload,
                                                std::span<const int> fds, std::chrono::milliseconds patience);
  void keep_notice(std::string_view bytes);

  base::Fd ids_, image_;  // held, never read: the locks of the range of ids and of the image
  base::Fd control_, init_, attempt_, plan_, listener_, cgroup_procs_, memory_events_, memory_peak_;
  Outbound outbound_;
  std::vector<std::uint16_t> outbound_ports_;
  LimitsMode limits_ = LimitsMode::rlimit;
  unsigned landlock_ = 0;
  std::uint32_t next_id_ = 1;
  std::deque<Notice> notices_;
  bool gone_ = false;
};

// This process' own executable, for Collect::program.
[[nodiscard]] base::Result<base::Fd> open_this_program();

}  // namespace agentrouter::sandbox
