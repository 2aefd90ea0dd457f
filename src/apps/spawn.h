#pragma once
// Ordinary helper processes of the server: npm, `--version` of an agent, the warden.

#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::apps {

struct Finished {
  int exit_code = 0;   // 128 + signal when it was killed
  std::string output;  // stdout, at most 64 KiB
};

enum class Stderr { pass_on, discard };

// Runs `argv` to its end with the given environment, stdin from /dev/null.
// Errors: not_found (no such program), unavailable.
[[nodiscard]] base::Result<Finished> run_program(const std::vector<std::string>& argv,
                                                 const std::vector<std::string>& environment,
                                                 Stderr errors = Stderr::pass_on);

// Starts this very program again as `agentrouter <command>` with `channel` as descriptor 3, and nothing of
// the environment. It ends when the other end of `channel` is closed. Returns its pid.
[[nodiscard]] base::Result<int> start_self(const std::string& command, const base::Fd& channel);

// One run of this very program as `agentrouter <words>` that another thread may cut short.
class SelfRun {
 public:
  // Runs it to its end. `fds` (borrowed) become its descriptors 3, 4...; the one behind them is a pipe, and
  // what it writes there is returned. It has nothing of the environment. Errors: cancelled (stop() came
  // first), exhausted (it wrote more than `most` bytes, and was killed), unavailable.
  [[nodiscard]] base::Result<std::string> run(const std::vector<std::string>& words,
                                              const std::vector<int>& fds, std::size_t most);
  // SIGKILL. run() returns soon; one that comes later does not start anything.
  void stop();

 private:
  [[nodiscard]] base::Result<void> start(const std::vector<std::string>& words, std::vector<int> fds);
  void kill_child();
  // True when it was not stopped.
  bool reap_child();

  std::mutex mutex_;
  int pid_ = -1;
  bool stopped_ = false;
};

// Starts a program with these descriptors (borrowed; -1 is /dev/null) as 3, 4, 5..., and nothing of the
// environment. Returns its pid, which the caller reaps. Errors: not_found, unavailable.
[[nodiscard]] base::Result<int> start_program(const std::string& program, const std::vector<std::string>& argv,
                                              const std::vector<int>& fds);

// The same of this very program, as `agentrouter <words>`.
[[nodiscard]] base::Result<int> start_self(const std::vector<std::string>& words, const std::vector<int>& fds);

// Starts a program that stays beside this one, with its stdout and stderr. Returns its pid, which the caller reaps
// if this process lives longer. Errors: not_found, unavailable.
[[nodiscard]] base::Result<int> start_beside(const std::string& program, const std::vector<std::string>& argv,
                                             const std::vector<std::string>& environment);
// False when the child has not ended yet.
[[nodiscard]] bool reap_if_ended(int pid);

// Reaps a child. Blocks until it has ended.
void reap(int pid);

}  // namespace agentrouter::apps
