#include "vault/kms_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/event.h"
#include "base/fd.h"

namespace agentrouter::vault {

namespace {

using base::Code;

constexpr std::size_t most_complaint = 512;

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> list;
  for (const auto& word : words) list.push_back(const_cast<char*>(word.c_str()));
  list.push_back(nullptr);
  return list;
}

class Spawning {
 public:
  Spawning() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none, ours;
    ::sigemptyset(&none);
    ::sigemptyset(&ours);
    ::sigaddset(&ours, SIGPIPE);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &ours);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  Spawning(const Spawning&) = delete;
  Spawning& operator=(const Spawning&) = delete;
  ~Spawning() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  void give(int from, int to) { ::posix_spawn_file_actions_adddup2(&actions_, from, to); }
  [[nodiscard]] base::Result<pid_t> start(const ProgramRun& run) const {
    const auto arguments = pointers(run.argv);
    const auto variables = pointers(run.environment);
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, run.argv.at(0).c_str(), &actions_, &attributes_, arguments.data(),
                                     variables.data());
    if (error != 0) return base::fail_errno("cannot start " + run.argv.at(0), error);
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// Killed with its group and reaped, whatever happens.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ > 0) (void)end();
  }
  // The group is killed before its leader is reaped: its number is still its own.
  int end() {
    ::kill(-pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  // By itself, before the deadline.
  [[nodiscard]] bool ends_until(base::Deadline deadline) const;

 private:
  pid_t pid_;
};

int left_until(base::Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - base::SteadyClock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
}

bool Child::ends_until(base::Deadline deadline) const {
  for (;;) {
    siginfo_t info{};
    const int status = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    if (status == 0 && info.si_pid == pid_) return true;
    const int left = left_until(deadline);
    if (left == 0) return false;
    ::poll(nullptr, 0, std::min(left, 5));  // it has closed its output: it ends at once
  }
}

// Its three pipes, on our side.
struct Pipes {
  base::Fd in, out, err;
};

bool make_nonblocking(int fd) {
  return ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0;
}

class Talk {
 public:
  Talk(Pipes pipes, std::string_view input, std::size_t most)
      : pipes_(std::move(pipes)), input_(input), most_(most) {}

  // Until both outputs are at their end. Errors: timeout, exhausted.
  base::Result<void> hold(base::Deadline deadline) {
    while (pipes_.out || pipes_.err) {
      std::array<pollfd, 3> wanted{pollfd{pipes_.in ? pipes_.in.get() : -1, POLLOUT, 0},
                                   pollfd{pipes_.out ? pipes_.out.get() : -1, POLLIN, 0},
                                   pollfd{pipes_.err ? pipes_.err.get() : -1, POLLIN, 0}};
      const int left = left_until(deadline);
      if (left == 0) return base::fail(Code::timeout, "it has not answered in time");
      if (::poll(wanted.data(), wanted.size(), left) < 0 && errno != EINTR)
        return base::fail_errno("cannot wait for it", errno);
      if (wanted[0].revents != 0) write_some();
      if (wanted[1].revents != 0 && !read_some(pipes_.out, output, most_))
        return base::fail(Code::exhausted, "it answers more than " + std::to_string(most_) + " bytes");
      if (wanted[2].revents != 0) (void)read_some(pipes_.err, complaint, most_complaint);
    }
    return {};
  }

  std::string output;
  std::string complaint;

 private:
  void write_some() {
    const auto n = ::write(pipes_.in.get(), input_.data(), input_.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) input_.remove_prefix(static_cast<std::size_t>(n));
    if (n < 0 || input_.empty()) pipes_.in.reset();
  }
  // False when there is more than fits; what does not is dropped.
  static bool read_some(base::Fd& fd, std::string& to, std::size_t most) {
    std::array<char, 4096> piece;
    const auto n = ::read(fd.get(), piece.data(), piece.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) fd.reset();
    const auto got = static_cast<std::size_t>(std::max<ssize_t>(n, 0));
    const auto fits = std::min(got, most - to.size());
    to.append(piece.data(), fits);
    return fits == got;
  }

  Pipes pipes_;
  std::string_view input_;
  std::size_t most_;
};

}  // namespace

base::Result<ProgramEnd> run_with_input(const ProgramRun& run, std::string_view input) {
  const auto deadline = base::after(run.timeout);
  AGENTROUTER_TRY(auto in, base::make_pipe());
  AGENTROUTER_TRY(auto out, base::make_pipe());
  AGENTROUTER_TRY(auto err, base::make_pipe());
  Spawning spawning;
  spawning.give(in.first.get(), 0);
  spawning.give(out.second.get(), 1);
  spawning.give(err.second.get(), 2);
  AGENTROUTER_TRY(const pid_t pid, spawning.start(run));
  Child child(pid);
  in.first.reset();
  out.second.reset();
  err.second.reset();
  for (const auto* fd : {&in.second, &out.first, &err.first}) {
    if (!make_nonblocking(fd->get())) return base::fail_errno("cannot talk to " + run.argv.at(0), errno);
  }
  Talk talk({std::move(in.second), std::move(out.first), std::move(err.first)}, input, run.most_output);
  if (auto held = talk.hold(deadline); !held) return tl::unexpected(held.error());
  if (!child.ends_until(deadline)) return base::fail(Code::timeout, "it has not ended in time");
  const int exit_code = child.end();
  return ProgramEnd{exit_code, std::move(talk.output), std::move(talk.complaint)};
}

}  // namespace agentrouter::vault
