#pragma once
// For tests of this room: real processes without a real sandbox. A nursery is forked before the test starts
// any thread; on request it forks keepers (the real keeper::keep around a scripted agent) and servers, all of
// which can be killed like anything else.
//
// The task of a run is its agent's script, as JSON: {says, stderr, leaves, exit, obeys}, and what it leaves
// to be read: {files} the frames of an answer; for the next turn: {keeps}, {checkpoint} the checkpointer's
// report instead of the true one; {stays}: its sandbox cannot be removed.

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <system_error>
#include <thread>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include "base/file.h"
#include "keeper/attempt_lock.h"
#include "keeper/attempt_rig.h"
#include "keeper/keeper.h"
#include "worker/worker.h"

namespace agentrouter::worker {

inline base::Fd open_pidfd(pid_t pid) {
  return base::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

// Where a test runs single tasks. It outlives every store, whose threads hold on to it for a moment longer.
inline asio::io_context& desk() {
  static asio::io_context io(1);
  static const auto stays_open = asio::make_work_guard(io);
  return io;
}

// The whole life of one keeper process.
inline int run_scripted_keeper(base::Fd attempt_dir, base::Fd stream) {
  auto lock = keeper::take_attempt_lock(attempt_dir.get());
  if (!lock) return 3;
  auto received = keeper::receive_plan(stream.get());
  if (!received) return 4;
  const auto script = base::parse_json(received->plan.task).value_or(json::object{}).as_object();
  const auto text = [&](std::string_view key) {
    return std::string(base::get_string(script, key).value_or(""));
  };
  asio::io_context io(1);
  keeper::ScriptedSandbox sandbox(io.get_executor(),
                                  {.says = text("says"),
                                   .says_to_stderr = text("stderr"),
                                   .leaves_at_once = base::get_bool(script, "leaves").value_or(false),
                                   .exit_code = static_cast<int>(base::get_int(script, "exit").value_or(0)),
                                   .obeys_interrupt = base::get_bool(script, "obeys").value_or(true)});
  if (const auto files = text("files"); !files.empty()) sandbox.files_answer = files;
  if (const auto keeps = text("keeps"); !keeps.empty()) sandbox.keeps = keeps;
  sandbox.refuse_destroy = base::get_bool(script, "stays").value_or(false);
  if (const auto report = text("checkpoint"); !report.empty()) sandbox.checkpointer_says = report;
  const base::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::listen(listener.get(), 8);
  sandbox.listen_on(listener.get());
  asio::co_spawn(
      io.get_executor(),
      keeper::keep(
          {.executor = io.get_executor(),
           .sandbox = sandbox,
           .attempt_dir = attempt_dir.get(),
           .plan = received->plan,
           .key = received->key ? &*received->key : nullptr,
           .clock = base::system_clock(),
           .entropy = base::system_entropy(),
           .make_session = [](const keeper::AttemptPlan&, policy::NoProgress&,
                              const base::Redactor&) { return std::make_unique<keeper::ScriptedSession>(); },
           .on_ready = [&] { (void)base::write_all(stream.get(), "ready\n"), stream.reset(); },
           .linger = std::chrono::seconds(60)}),
      [](std::exception_ptr, base::Result<void> kept) { ::_exit(kept ? 0 : 5); });
  io.run();
  return 6;
}

class Nursery {
 public:
  // What a server process runs; the socket is its way to ask for keepers.
  using ServerMain = int (*)(int socket, const std::string& arguments);

  // Forks at once: make it before any thread.
  explicit Nursery(ServerMain server_main) : server_main_(server_main) {
    auto pair = base::value_or_throw(base::make_seqpacket_pair());
    const pid_t child = ::fork();
    if (child == 0) {
      pair.first.reset();
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      serve(std::move(pair.second));
      ::_exit(0);
    }
    socket_ = std::move(pair.first);
  }
  [[nodiscard]] int socket() const { return socket_.get(); }

  // Returns the pid. `fds` of a keeper: attempt folder, plan stream.
  static pid_t start(int socket, const std::string& what, std::span<const int> fds = {}) {
    base::value_or_throw(base::send_message(socket, what, fds));
    const auto answer = base::value_or_throw(base::receive_message(socket, 64));
    return static_cast<pid_t>(std::stoi(answer.bytes));
  }

 private:
  [[noreturn]] void become(const std::string& what, std::vector<base::Fd> fds, base::Fd own) {
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGCHLD, SIG_DFL);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = 0;
    try {
      status = what == "keeper" ? run_scripted_keeper(std::move(fds.at(0)), std::move(fds.at(1)))
                                : server_main_(own.get(), what);
    } catch (const std::exception& error) {
      std::cerr << "nursery: " << error.what() << std::endl;
      status = 9;
    }
    ::_exit(status);
  }

  void serve(base::Fd first) {
    ::signal(SIGCHLD, SIG_IGN);
    std::vector<base::Fd> sockets;
    sockets.push_back(std::move(first));
    while (sockets.front()) {
      std::vector<pollfd> polls;
      for (const auto& socket : sockets) polls.push_back({socket.get(), POLLIN, 0});
      if (::poll(polls.data(), polls.size(), -1) < 0) continue;
      for (std::size_t i = 0; i < polls.size(); ++i) {
        if (polls[i].revents == 0) continue;
        auto message = base::receive_message(sockets[i].get(), 64u << 10);
        if (!message || message->bytes.empty()) {
          if (i == 0) return;
          sockets[i].reset();
          continue;
        }
        auto own = base::value_or_throw(base::make_seqpacket_pair());
        const pid_t child = ::fork();
        if (child == 0) {
          for (auto& socket : sockets) socket.reset();
          own.first.reset();
          become(message->bytes, std::move(message->fds), std::move(own.second));
        }
        (void)base::send_message(sockets[i].get(), std::to_string(child));
        if (message->bytes != "keeper") sockets.push_back(std::move(own.first));
      }
      std::erase_if(sockets, [&](const base::Fd& socket) { return !socket && &socket != sockets.data(); });
    }
  }

  ServerMain server_main_;
  base::Fd socket_;
};

// Launches scripted keepers through a nursery.
class ScriptedLauncher final : public sandbox::Launcher {
 public:
  explicit ScriptedLauncher(int nursery) : nursery_(nursery) {}

  base::Result<sandbox::Launched> launch(const sandbox::LaunchRequest& request) override {
    const std::lock_guard lock(mutex_);
    std::error_code none;
    const auto lower = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(request.lower), none);
    requests.push_back({request.attempt.id, request.plan, request.slot, request.keeper_argv, lower, {}, request.home_layers});
    ++launches;
    for (const int layer : request.layers)
      requests.back().layers.push_back(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(layer), none).filename());
    if (request.keeper_argv.back() == "fetcher" && lost == 0) return fetch(request);
    if (refuse) return tl::unexpected(*refuse);
    if (lost > 0) {
      --lost;
      return base::fail(base::Code::unavailable, "cannot reach the warden: it has ended", "launcher_lost");
    }
    if (refuse_layers && !request.layers.empty()) return base::fail(base::Code::invalid, "cannot mount the overlay");
    if (makes_boxes) {
      const auto box = "/proc/self/fd/" + std::to_string(request.attempt.attempts) + "/" + request.attempt.id + "/box";
      for (const char* part : {"/upper", "/home"}) std::filesystem::create_directories(box + part);
    }
    base::Fd folder(
        ::openat(request.attempt.attempts, request.attempt.id.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (stillborn > 0) {
      --stillborn;
      return sandbox::Launched{base::Fd(), -1, sandbox::LimitsMode::rlimit};
    }
    if (before_keeper) before_keeper();
    const std::array<int, 2> fds{folder.get(), request.plan_pipe};
    const pid_t pid = Nursery::start(nursery_, "keeper", fds);
    keepers.push_back(pid);
    ++keepers_begun;
    if (after_keeper) after_keeper(pid);
    return sandbox::Launched{open_pidfd(pid), pid, sandbox::LimitsMode::rlimit};
  }
  base::Result<void> release(const sandbox::AttemptRef& attempt, sandbox::Remove what) override {
    ++releases;
    const base::Fd folder(::openat(attempt.attempts, attempt.id.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) return {};
    auto lock = keeper::take_attempt_lock(folder.get());
    if (!lock && lock.error().code == base::Code::conflict)
      return base::fail(base::Code::conflict, "its keeper lives");
    if (what == sandbox::Remove::groups) return {};
    if (cannot_remove) return base::fail(base::Code::exhausted, "cannot remove so many files at once");
    std::filesystem::remove_all("/proc/self/fd/" + std::to_string(attempt.attempts) + "/" + attempt.id);
    return {};
  }
  base::Result<sandbox::SweepReport> sweep(int) override {
    ++sweeps;
    return sandbox::SweepReport{};
  }

  struct Request {
    std::string attempt;
    sandbox::Plan plan;
    std::uint32_t slot;
    std::vector<std::string> argv;
    std::filesystem::path lower;
    std::vector<std::string> layers;  // their names, the newest first
    unsigned home_layers = 0;
  };
  // What a fetcher does with its stream and the attempt's folder, on a thread of its own.
  std::function<void(int stream, int folder)> fetcher;
  // Looked at while no launch is under way.
  std::vector<Request> requests;
  std::vector<pid_t> keepers;
  // How many there are of them, at any time.
  std::atomic<std::size_t> launches = 0, keepers_begun = 0;
  std::optional<base::Error> refuse;
  bool makes_boxes = false;    // as a real launch does, so that layers can be kept
  bool refuse_layers = false;  // they cannot be mounted
  std::function<void()> before_keeper;  // on the worker's pool, as is the other
  std::function<void(pid_t)> after_keeper;
  std::atomic<bool> cannot_remove = false;  // a folder takes for ever
  int stillborn = 0;  // keepers that die before they do anything
  int lost = 0;       // launches that die with who makes them
  int sweeps = 0;
  std::atomic<int> releases = 0;

 private:
  base::Result<sandbox::Launched> fetch(const sandbox::LaunchRequest& request) {
    base::Fd folder(
        ::openat(request.attempt.attempts, request.attempt.id.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    base::Fd stream(::fcntl(request.plan_pipe, F_DUPFD_CLOEXEC, 0));
    fetchers_.emplace_back([this, folder = std::move(folder), stream = std::move(stream)] {
      fetcher(stream.get(), folder.get());
    });
    return sandbox::Launched{base::Fd(), -1, sandbox::LimitsMode::rlimit};
  }

  int nursery_;
  std::mutex mutex_;
  std::vector<std::jthread> fetchers_;
};

// Unpacks in this process.
class DirectUnpacker final : public TreeUnpacker {
 public:
  base::Result<workspace::UnpackReport> unpack(int archive, int folder, const workspace::UnpackLimits& limits,
                                               const std::string&) override {
    ++unpacked;
    return workspace::unpack({archive, folder}, limits);
  }
  void cancel(const std::string&) override {}
  std::atomic<int> unpacked = 0;
};

class ScriptedPreparer final : public AgentPreparer {
 public:
  base::Result<PreparedAgent> prepare(const AgentRequest& request) override {
    if (refuse) return tl::unexpected(*refuse);
    return PreparedAgent{.program = {.argv = {"/opt/agent"},
                                     .env = {"MODEL=" + request.model},
                                     .command_name = "codex",
                                     .argv_for_action = {"app-server"}},
                         .binds = {{"/opt/agent-on-host", "/opt/agent"}}};
  }
  std::optional<base::Error> refuse;
};

}  // namespace agentrouter::worker
