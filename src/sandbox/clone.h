#pragma once
// Starting a process from a large, threaded program without copying it: the child borrows the parent's memory
// on a stack of its own until it executes another program, so that the cost does not grow with the parent and
// no page of the server is ever seen by what runs next.

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/fd.h"

namespace agentrouter::sandbox {

struct Cloned {
  pid_t pid = -1;
  base::Fd pidfd;
};

// `run` is called in the child and must do nothing but system calls, on memory that the parent prepared; the
// parent waits until it has executed a program or ended. Every signal is blocked meanwhile.
// `cgroup`: a cgroup v2 folder to be born in, or -1. `owner`: as root, the id that a new user namespace is
// counted for and that the child begins with, with root's capabilities; what the kernel counts by user
// (inotify...) is then not taken from root. Errors: those of clone3(2), prctl(2), setresuid(2), capset(2).
[[nodiscard]] base::Result<Cloned> clone_borrowing(std::uint64_t flags, int cgroup, int (*run)(void*),
                                                   void* argument, std::optional<uid_t> owner = std::nullopt);

// For such a `run`: every signal does what it does by default, and none is blocked.
void reset_signals();

// A process that only waits, in the namespaces of `flags`, until this object ends or the process that made it
// does, however that comes about. Nothing that was open in this process stays open in it.
class IdleProcess {
 public:
  [[nodiscard]] static base::Result<IdleProcess> start(std::uint64_t flags);
  IdleProcess(IdleProcess&&) noexcept;
  IdleProcess& operator=(IdleProcess&&) = delete;
  ~IdleProcess();
  [[nodiscard]] pid_t pid() const { return cloned_.pid; }

 private:
  IdleProcess() = default;
  Cloned cloned_;
  base::Fd parent_;
  void* stack_ = nullptr;
};

// Waits until the process has ended, at most `milliseconds`; reaps it if it is ours. False: it still runs.
[[nodiscard]] bool wait_for_end(int pidfd, int milliseconds);
[[nodiscard]] base::Result<void> send_signal(int pidfd, int signal);

}  // namespace agentrouter::sandbox
