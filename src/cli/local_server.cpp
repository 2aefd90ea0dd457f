#include "cli/local_server.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "base/file.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;

constexpr std::string_view ready_line = "agentrouter: listening on ";
constexpr std::size_t last_words = 4096;

std::vector<std::string> arguments_of(const LocalServer& server) {
  std::vector<std::string> arguments = {
      "agentrouter", "serve", "--listen", "127.0.0.1:0", "--data", server.data.string(), "--idle-exit", "600",
      // Only this user has the key to it, and may read all that he may name.
      "--workspace-root", "/"};
  if (server.provider == Provider::simulated) arguments.emplace_back("--sim");
  if (!server.cassettes.record.empty())
    arguments.insert(arguments.end(), {"--record", server.cassettes.record});
  if (!server.cassettes.replay.empty())
    arguments.insert(arguments.end(), {"--replay", server.cassettes.replay});
  return arguments;
}

std::vector<char*> words_of(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (auto& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

struct SpawnActions {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnActions() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnActions() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

// A session of its own, no signal blocked or ignored, and no descriptor of ours but the three.
Result<pid_t> spawn(const LocalServer& server, int out, int log) {
  SpawnActions actions;
  posix_spawn_file_actions_addopen(&actions.files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions.files, out, 1);
  posix_spawn_file_actions_adddup2(&actions.files, log, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions.files, 3);
  posix_spawn_file_actions_addchdir_np(&actions.files, "/");
  sigset_t none;
  sigset_t usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) sigaddset(&usual, signal);
  posix_spawnattr_setsigmask(&actions.attributes, &none);
  posix_spawnattr_setsigdefault(&actions.attributes, &usual);
  posix_spawnattr_setflags(&actions.attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  auto arguments = arguments_of(server);
  auto environment = server.environment;
  pid_t pid = 0;
  const int error = posix_spawn(&pid, server.program.c_str(), &actions.files, &actions.attributes,
                                words_of(arguments).data(), words_of(environment).data());
  if (error) return fail_errno("cannot start a local server", error);
  return pid;
}

std::string end_of(const std::filesystem::path& log) {
  const auto text = base::read_file(log);
  if (!text) return {};
  const auto cut = text->size() > last_words ? text->find('\n', text->size() - last_words) : 0;
  return printable(std::string_view(*text).substr(cut == std::string::npos ? 0 : cut));
}

Result<std::string> wait_until_ready(const LocalServer& server, Fd out, pid_t pid) {
  const auto deadline = std::chrono::steady_clock::now() + server.patience;
  const auto log = server.data / "server.log";
  AGENTROUTER_TRY(auto stopped, base::make_pipe());
  const std::stop_callback on_stop(server.stop, [&] { stopped.second.reset(); });
  std::string text;
  for (;;) {
    if (const auto end = text.find('\n'); end != std::string::npos) {
      const auto line = std::string_view(text).substr(0, end);
      if (line.starts_with(ready_line)) return std::string(line.substr(ready_line.size()));
      text.erase(0, end + 1);
      continue;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd sources[] = {{out.get(), POLLIN, 0}, {stopped.first.get(), POLLIN, 0}};
    const int ready = ::poll(sources, 2, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      ::kill(pid, SIGTERM);
      return fail(Code::timeout, "the local server was not ready in time; its log is " + log.string());
    }
    if (sources[1].revents) return fail(Code::cancelled, "interrupted while the local server was starting");
    char bytes[1024];
    const auto got = ::read(out.get(), bytes, sizeof bytes);
    if (got > 0) {
      text.append(bytes, static_cast<std::size_t>(got));
      continue;
    }
    ::waitpid(pid, nullptr, 0);
    return fail(Code::unavailable, "the local server ended before it was ready:\n" + end_of(log));
  }
}

}  // namespace

Result<std::string> start_local_server(const LocalServer& server) {
  if (const auto made = base::make_directories(server.data); !made) return tl::unexpected(made.error());
  const auto log_file = server.data / "server.log";
  Fd log(::open(log_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!log) return fail_errno("cannot write " + log_file.string(), errno);
  AGENTROUTER_TRY(auto out, base::make_pipe());
  AGENTROUTER_TRY(const auto pid, spawn(server, out.second.get(), log.get()));
  out.second.reset();
  return wait_until_ready(server, std::move(out.first), pid);
}

Result<Fd> start_lock(const std::filesystem::path& data) {
  if (const auto made = base::make_directories(data); !made) return tl::unexpected(made.error());
  const auto file = data / "start.lock";
  Fd lock(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return fail_errno("cannot open " + file.string(), errno);
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return fail_errno("cannot lock " + file.string(), errno);
  }
  return lock;
}

}  // namespace agentrouter::cli
