#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <csignal>
#include <iostream>
#include <utility>

#include "apps/config_check.h"
#include "apps/program.h"
#include "base/log.h"

namespace agentrouter::apps {

using base::LogLevel;
using base::value_or_throw;

namespace {

constexpr std::chrono::seconds stop_grace{4};
// Before it hands over: for the worker, while requests are still answered; then for requests, while new ones
// wait.
constexpr std::chrono::seconds worker_grace{5};
constexpr std::chrono::milliseconds request_grace{600};
constexpr std::chrono::milliseconds look_at_lock_again{20};

}  // namespace

// Who waits at them is answered from here on.
void Program::open_sockets() {
  const auto open = takeover_.open(data_.path(), holdings_.sockets, [this](Successor newer) {
    if (ending_) return;
    how_.successor = std::move(newer);
    end(Ending::Next::hand_over);
  });
  if (!open)
    base::log(LogLevel::warn, "no newer server can take over from this one",
              {{"cause", open.error().message}});
  for (auto& socket : holdings_.sockets) value_or_throw(server_.adopt(std::move(socket.fd)));
  for (auto& socket : std::exchange(holdings_.retiring, {})) server_.accept_waiting(std::move(socket.fd));
  for (auto& connection : std::exchange(holdings_.connections, {})) server_.resume(std::move(connection));
}

void Program::announce(const std::string& url) {
  if (!url.starts_with("http")) return;
  auto announced = data_.announce({.url = url,
                                   .start = base::system_clock().now(),
                                   .sim = config_.sim,
                                   .record_dir = config_.record_dir,
                                   .replay_dir = config_.replay_dir});
  if (!announced && !needs_.again) throw base::Failure(announced.error());
  if (!announced)
    base::log(LogLevel::warn, "clients of this machine do not find this server",
              {{"cause", announced.error().message}});
}

void Program::say_ready(const std::string& url) {
  const std::string ready = "READY=1\nSTATUS=Serving on " + url;
  if (needs_.predecessor != nullptr) {
    needs_.predecessor->say_ready();
    tasks_.spawn(follow_predecessor(ready));
  } else {
    needs_.notify.say(ready);
  }
  if (!needs_.again) std::cout << "agentrouter: listening on " << url << std::endl;
  base::log(LogLevel::info, needs_.again ? "listening again" : "listening",
            {{"url", url}, {"data", data_.path().string()}, {"sim", config_.sim}});
}

void Program::end(Ending::Next next) {
  how_.next = next;
  how_.told_to_reload |= reloading_;  // not done by then
  ending_ = true;
  sweep_ends_ = true;
  ended_.notify();
}

base::Task<void> Program::watch_signals() {
  for (;;) hear(co_await signals_.async_wait(base::use_task));
}

void Program::hear(int signal) {
  // The terminal has gone, and who sat there does not want this server to stay.
  if (signal == SIGHUP && at_terminal_ && ::isatty(STDIN_FILENO) != 1) signal = SIGTERM;
  if (signal == SIGUSR2 || signal == SIGHUP) {
    if (signal == SIGHUP && ending_) {
      how_.told_to_reload = true;
    } else if (signal == SIGHUP) {
      begin_reload();
    } else if (ending_) {
      base::log(LogLevel::info, "a signal changes nothing now", {{"signal", signal}});
    } else if (const auto started = needs_.start_newer(); !started) {
      base::log(LogLevel::error, "no newer server could be started", {{"cause", started.error().message}});
    }
    return;
  }
  base::log(LogLevel::info, "stopping", {{"signal", signal}});
  if (!ending_) return end(Ending::Next::exit);
  // While it hands over: whoever goes on is told. While it drains: no longer.
  how_.told_to_end = true;
  activity_.give_up();
  if (needs_.drain && worker_) worker_->stop();
}

// What has been read already may have changed since then.
void Program::begin_reload() {
  read_again_ = true;
  if (!std::exchange(reloading_, true)) tasks_.spawn(reload());
}

base::Task<void> Program::reload() {
  needs_.notify.say_reloading();
  const auto read = [this]() -> base::Result<Config> {
    AGENTROUTER_TRY(auto config, needs_.read_config());
    if (auto checked = check_config(config, data_.path()); !checked) return tl::unexpected(checked.error());
    return config;
  };
  base::Result<Config> config = Config();
  while (std::exchange(read_again_, false)) config = co_await pool_.run(read);
  reloading_ = false;
  if (ending_) co_return;
  if (!config) {
    base::log(LogLevel::error, "the new configuration is not used", {{"cause", config.error().message}});
    needs_.notify.say("READY=1\nSTATUS=The new configuration is not used, see the log");
    co_return;
  }
  if (config->data != config_.data) {
    base::log(LogLevel::warn, "what needs a restart does not change", {{"keys", "data"}});
    config->data = config_.data;
  }
  base::log(LogLevel::info, "using the configuration as it is now",
            {{"changed", changed_keys(config_, *config)}});
  how_.config = std::move(*config);
  end(Ending::Next::reload);
}

// From the loop that answers requests: when that hangs, the service manager hears nothing.
base::Task<void> Program::feed_watchdog(std::chrono::microseconds interval) {
  for (;;) {
    needs_.notify.say("WATCHDOG=1");
    co_await base::sleep_for(interval / 2);
  }
}

// Once the server before this one has ended: only then is this one the service manager's main process, too.
base::Task<void> Program::follow_predecessor(std::string ready) {
  asio::posix::basic_stream_descriptor<base::Executor> owner(
      io_.get_executor(), ::fcntl(needs_.predecessor->owner_process(), F_DUPFD_CLOEXEC, 0));
  boost::system::error_code error;
  co_await owner.async_wait(asio::posix::descriptor_base::wait_read,
                            asio::redirect_error(base::use_task, error));
  needs_.notify.say(ready);
  while (!holdings_.lock->settle()) co_await base::sleep_for(look_at_lock_again);
}

base::Task<void> Program::stop() {
  takeover_.refuse();
  needs_.notify.say("STOPPING=1\nSTATUS=Stopping");
  data_.withdraw();
  if (needs_.drain) {
    needs_.notify.say("STATUS=Waiting for runs to end");
    co_await wait_for_own_runs();
  }
  if (worker_) worker_->stop();
  unpacker_.stop();
  hub_.end_waits();
  co_await server_.stop(base::SteadyClock::now() + stop_grace);
  blobs_->stop();
  co_await tasks_.cancel_and_join();
  co_await close_metrics();
  co_await member_->leave();
  co_await takeover_.stop();
}

// Requests are answered while the worker comes to its end; then new ones wait until somebody else answers.
base::Task<void> Program::pass_on() {
  const auto until = base::after(worker_grace);
  if (worker_) worker_->stop();
  while (!worker_done_ && !base::passed(until)) co_await ended_.wait_until(until);
  if (!worker_done_) blobs_->stop();
  co_await tasks_.cancel_and_join();
  co_await close_metrics();
  auto listeners = server_.leave();
  hub_.end_waits();
  co_await server_.stop(base::after(request_grace), [this] { unpacker_.stop(); });
  for (std::size_t i = 0; i < holdings_.sockets.size(); ++i)
    holdings_.sockets[i].fd = std::move(listeners[i]);
  holdings_.connections = server_.take_idle();
  co_await takeover_.stop();
}

}  // namespace agentrouter::apps
