#include "apps/spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace agentrouter::apps {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> list;
  for (const auto& word : words) list.push_back(const_cast<char*>(word.c_str()));
  list.push_back(nullptr);
  return list;
}

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  void open_null(int fd) { ::posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", O_RDWR, 0); }
  void copy(int from, int to) { ::posix_spawn_file_actions_adddup2(&actions_, from, to); }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

base::Result<int> start(const std::string& program, const std::vector<std::string>& argv,
                        const std::vector<std::string>& environment, const FileActions& actions) {
  const auto arguments = pointers(argv);
  const auto variables = pointers(environment);
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, program.c_str(), actions.get(), nullptr, arguments.data(), variables.data());
  if (error != 0) return base::fail_errno("cannot start " + program, error);
  return pid;
}

}  // namespace

base::Result<Finished> run_program(const std::vector<std::string>& argv,
                                   const std::vector<std::string>& environment, Stderr errors) {
  AGENTROUTER_TRY(auto pipe, base::make_pipe());
  FileActions actions;
  actions.open_null(0);
  actions.copy(pipe.second.get(), 1);
  if (errors == Stderr::discard) actions.open_null(2);
  AGENTROUTER_TRY(const auto pid, start(argv.at(0), argv, environment, actions));
  pipe.second.reset();
  Finished finished;
  auto output = base::read_all(pipe.first.get(), 64 * 1024);
  pipe.first.reset();
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (output) finished.output = std::move(*output);
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return finished;
}

base::Result<int> start_self(const std::string& command, const base::Fd& channel) {
  FileActions actions;
  actions.open_null(0);
  actions.open_null(1);
  actions.copy(channel.get(), 3);
  return start("/proc/self/exe", {"agentrouter", command}, {}, actions);
}

base::Result<std::string> SelfRun::run(const std::vector<std::string>& words, const std::vector<int>& fds,
                                       std::size_t most) {
  AGENTROUTER_TRY(auto pipe, base::make_pipe());
  auto all = fds;
  all.push_back(pipe.second.get());
  if (auto started = start(words, std::move(all)); !started) return tl::unexpected(started.error());
  pipe.second.reset();
  auto report = base::read_all(pipe.first.get(), most);
  if (!report) kill_child();
  if (!reap_child()) return base::fail(base::Code::cancelled, "the server is stopping");
  return report;
}

base::Result<void> SelfRun::start(const std::vector<std::string>& words, std::vector<int> fds) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return base::fail(base::Code::cancelled, "the server is stopping");
  AGENTROUTER_TRY(pid_, start_self(words, fds));
  return {};
}

bool SelfRun::reap_child() {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  // Not reaped before nobody may signal it any more.
  const std::lock_guard lock(mutex_);
  const int child = std::exchange(pid_, -1);
  reap(child);
  return !stopped_;
}

void SelfRun::kill_child() {
  const std::lock_guard lock(mutex_);
  if (pid_ > 0) (void)::kill(pid_, SIGKILL);
}

void SelfRun::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  if (pid_ > 0) (void)::kill(pid_, SIGKILL);
}

base::Result<int> start_program(const std::string& program, const std::vector<std::string>& argv,
                                const std::vector<int>& fds) {
  constexpr int first = 3;
  const int above = first + static_cast<int>(fds.size());
  FileActions actions;
  actions.open_null(0);
  actions.open_null(1);
  std::vector<base::Fd> apart;  // above all places, so that none is written over before it is copied
  for (int place = first; place < above; ++place) {
    const int fd = fds[static_cast<std::size_t>(place - first)];
    if (fd < 0) {
      actions.open_null(place);
      continue;
    }
    apart.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, above));
    if (!apart.back()) return base::fail_errno("cannot start a helper", errno);
    actions.copy(apart.back().get(), place);
  }
  return start(program, argv, {}, actions);
}

base::Result<int> start_self(const std::vector<std::string>& words, const std::vector<int>& fds) {
  std::vector<std::string> argv{"agentrouter"};
  argv.insert(argv.end(), words.begin(), words.end());
  return start_program("/proc/self/exe", argv, fds);
}

base::Result<int> start_beside(const std::string& program, const std::vector<std::string>& argv,
                               const std::vector<std::string>& environment) {
  FileActions actions;
  actions.open_null(0);
  return start(program, argv, environment, actions);
}

bool reap_if_ended(int pid) {
  int status = 0;
  const auto got = ::waitpid(pid, &status, WNOHANG);
  return got == pid || (got < 0 && errno == ECHILD);
}

void reap(int pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace agentrouter::apps
