#include "apps/serve.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "apps/config_check.h"
#include "apps/data_folder.h"
#include "apps/server.h"
#include "apps/signals_between.h"
#include "apps/spawn.h"
#include "base/log.h"

namespace agentrouter::apps {

namespace {

using base::LogLevel;
using base::value_or_throw;

constexpr std::chrono::milliseconds barrier_time{1000};
// An owner that reloads just then does not answer, or drops who wants to take over: it is asked again.
constexpr std::chrono::seconds takeover_time{10};
constexpr int look_again_ms = 50;

void raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// This memory has every key: it goes into no file, and no other process of this account may read it. The
// limit alone would do for files, but not where the kernel hands them to a program; the hard limit stays,
// because a sandbox begins with ours and wants one of 1 (sandbox/init). What a plain user's server does in
// /proc it does to itself or to children that have executed a program, which begin as open as any.
void keep_memory_private() {
  rlimit limit{};
  bool done = ::getrlimit(RLIMIT_CORE, &limit) == 0;
  limit.rlim_cur = 0;
  done = done && ::setrlimit(RLIMIT_CORE, &limit) == 0 && ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
  if (!done) base::log(LogLevel::warn, "core files cannot be forbidden");
}

LogLevel log_level(const std::string& name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "warn") return LogLevel::warn;
  return name == "error" ? LogLevel::error : LogLevel::info;
}

class Process {
 public:
  explicit Process(const ServeOrder& order)
      : order_(order),
        config_(order.config),
        program_(std::filesystem::read_symlink("/proc/self/exe").string()),
        notify_(value_or_throw(ServiceNotify::open(order.environment, ::getpid()))) {}

  int run();

 private:
  void get_holdings();
  void take_over(const DataFolder& data, std::vector<ListeningSocket> activated);
  void take(const DataFolder& data, TakeoverRequest::Given given);
  base::Result<void> choose(const Config& config, std::vector<ListeningSocket> activated,
                            std::vector<ListeningSocket> passed);
  base::Result<void> choose_again(const Config& config);
  Ending run_rooms(const ServerNeeds& needs);
  void reload(Config config);
  bool pass_on(Ending& ending);
  SignalsBetween& between();
  base::Result<Config> read_config() const;
  base::Result<void> start_newer();

  const ServeOrder& order_;
  Config config_;
  std::optional<Config> before_;  // the configuration that is known to work, while a new one is tried
  std::string program_;
  ServiceNotify notify_;
  std::optional<SignalsBetween> signals_;  // since the first rooms: before, a signal ends the process
  Holdings holdings_;
  std::unique_ptr<TakeoverRequest> predecessor_;
  std::optional<int> newer_;  // a child that was to take over
};

base::Result<void> Process::choose(const Config& config, std::vector<ListeningSocket> activated,
                                   std::vector<ListeningSocket> passed) {
  AGENTROUTER_TRY(auto choice, choose_sockets(config, activated, passed));
  holdings_.sockets = std::move(choice.serve);
  holdings_.retiring = std::move(choice.retire);
  return {};
}

// For another configuration; when that does not work, nothing changes.
base::Result<void> Process::choose_again(const Config& config) {
  std::vector<ListeningSocket> activated, others;
  for (auto* list : {&holdings_.sockets, &holdings_.retiring}) {
    for (auto& socket : *list) (socket.activated ? activated : others).push_back(std::move(socket));
    list->clear();
  }
  auto choice = choose_sockets(config, activated, others);
  if (choice) {
    holdings_.sockets = std::move(choice->serve);
    holdings_.retiring = std::move(choice->retire);
    return {};
  }
  for (auto* list : {&activated, &others}) {
    for (auto& socket : *list) holdings_.sockets.push_back(std::move(socket));
  }
  return tl::unexpected(std::move(choice).error());
}

void Process::take_over(const DataFolder& data, std::vector<ListeningSocket> activated) {
  // All that can fail comes before the owner stops.
  value_or_throw(check_config(config_, data.path()));
  const bool has_own = !activated.empty();
  const auto until = base::after(takeover_time);
  for (;;) {
    predecessor_ = value_or_throw(TakeoverRequest::to(data.path()));
    if (!predecessor_) {
      auto lock = store::FolderLock::take(data.path());
      if (!lock && !base::passed(until)) {
        ::poll(nullptr, 0, look_again_ms);
        continue;
      }
      holdings_.lock = std::make_shared<store::FolderLock>(value_or_throw(std::move(lock)));
      base::log(LogLevel::info, "nothing to take over: no server answers there",
                {{"data", data.path().string()}});
      return value_or_throw(choose(config_, std::move(activated), {}));
    }
    value_or_throw(choose(config_, std::move(activated), predecessor_->take_sockets()));
    base::log(LogLevel::info, "taking over", {{"pid", predecessor_->owner()}});
    auto given = predecessor_->go();
    const bool dropped = !given && given.error().reason == "takeover_dropped";
    if (!dropped || base::passed(until)) return take(data, value_or_throw(std::move(given)));
    activated.clear();
    if (has_own) activated = std::move(holdings_.sockets);
    holdings_.sockets.clear();
    holdings_.retiring.clear();
  }
}

void Process::take(const DataFolder& data, TakeoverRequest::Given given) {
  if (given.lock) {
    holdings_.lock = std::make_shared<store::FolderLock>(
        value_or_throw(store::FolderLock::adopt(data.path(), std::move(given.lock))));
  } else {
    predecessor_.reset();
  }
  holdings_.connections = std::move(given.connections);
}

void Process::get_holdings() {
  auto activated = value_or_throw(activated_sockets(order_.environment, ::getpid()));
  Environment::forget({"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"});
  const auto data = value_or_throw(DataFolder::open(config_.data));
  if (order_.flags.has("takeover")) {
    take_over(data, std::move(activated));
  } else {
    holdings_.lock = std::make_shared<store::FolderLock>(value_or_throw(store::FolderLock::take(data.path())));
    value_or_throw(choose(config_, std::move(activated), {}));
  }
  if (!holdings_.lock)
    holdings_.lock = std::make_shared<store::FolderLock>(value_or_throw(store::FolderLock::take(data.path())));
}

SignalsBetween& Process::between() {
  if (!signals_) signals_.emplace();
  return *signals_;
}

base::Result<Config> Process::read_config() const {
  return load_config(order_.flags, order_.environment, order_.root);
}

base::Result<void> Process::start_newer() {
  if (newer_ && !reap_if_ended(*newer_))
    return base::fail(base::Code::conflict, "the one that was started before has not ended yet");
  std::vector<std::string> argv{"agentrouter", "serve"};
  argv.insert(argv.end(), order_.arguments.begin(), order_.arguments.end());
  if (!order_.flags.has("takeover")) argv.emplace_back("--takeover");
  AGENTROUTER_TRY(newer_, start_beside(program_, argv,
                                       order_.environment.without({"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
                                                                   "WATCHDOG_PID"})));
  return {};
}

// When it does not work, the rooms are opened again as they were.
void Process::reload(Config config) {
  if (auto chosen = choose_again(config); !chosen) {
    base::log(LogLevel::error, "the new configuration is not used", {{"cause", chosen.error().message}});
    return;
  }
  before_ = std::exchange(config_, std::move(config));
}

Ending Process::run_rooms(const ServerNeeds& needs) {
  try {
    auto ending = run_server(config_, needs, holdings_);
    before_.reset();
    return ending;
  } catch (const base::Failure& failure) {
    if (!before_) throw;
    base::log(LogLevel::error, "the new configuration is not used", {{"cause", failure.error().message}});
    config_ = std::move(*before_);
    before_.reset();
    value_or_throw(choose_again(config_));
    return {.next = Ending::Next::reload};
  }
}

// False when this process goes on.
bool Process::pass_on(Ending& ending) {
  const auto pid = ending.successor->pid();
  if (!ending.successor->hand_over(holdings_)) return false;
  notify_.say("MAINPID=" + std::to_string(pid));
  notify_.barrier(barrier_time);
  // Whoever told this process something meant the server.
  if (ending.told_to_end || between().told_to_end()) ::kill(pid, SIGTERM);
  if (ending.told_to_reload || between().told_to_reload()) ::kill(pid, SIGHUP);
  base::log(LogLevel::info, "handed over", {{"pid", pid}});
  return true;
}

int Process::run() {
  get_holdings();
  ServerNeeds needs{.drain = order_.flags.has("drain"),
                    .notify = notify_,
                    .read_config = [this] { return read_config(); },
                    .start_newer = [this] { return start_newer(); },
                    .told_to_end = [this] { return between().told_to_end(); },
                    .hear_between = [this] { between().begin(); },
                    .predecessor = predecessor_.get()};
  for (;;) {
    base::set_log_level(log_level(config_.log_level));
    auto ending = run_rooms(needs);
    predecessor_.reset();
    needs.predecessor = nullptr;
    needs.again = true;
    if (ending.next == Ending::Next::exit) return ending.exit_code;
    if (ending.successor && pass_on(ending)) return 0;
    if (ending.told_to_end || between().told_to_end()) return 0;
    needs.reload_again = ending.told_to_reload || between().told_to_reload();
    if (ending.config) reload(std::move(*ending.config));
    (void)holdings_.lock->settle();
  }
}

}  // namespace

int serve(const ServeOrder& order) {
  base::set_log_level(log_level(order.config.log_level));
  raise_open_files();
  keep_memory_private();
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return Process(order).run();
  } catch (const base::Failure& failure) {
    std::cerr << "agentrouter: " << failure.what() << std::endl;
    return 1;
  }
}

}  // namespace agentrouter::apps
