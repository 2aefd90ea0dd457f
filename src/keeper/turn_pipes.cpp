// The three pipes of a turn's agent.

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "keeper/turn.h"

namespace agentrouter::keeper {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t read_bytes = 64u << 10;
constexpr std::size_t write_queue_bytes = 1u << 20;

}  // namespace

base::Task<void> Turn::read_stdout() {
  std::string buffer(read_bytes, '\0');
  for (;;) {
    boost::system::error_code error;
    const std::size_t n =
        co_await stdout_.async_read_some(asio::buffer(buffer), asio::redirect_error(base::use_task, error));
    if (error) break;
    touch();
    if (!count_output(n)) break;
    if (base::SteadyClock::now() >= memory_look_) see_memory();
    co_await slow_down(n);
    needs_.progress.signals().message();
    handle(needs_.session.feed(std::string_view(buffer).substr(0, n)));
    if (!count_written(stdout_growth_.more(n))) break;
    while ((to_write_bytes_ > write_queue_bytes || held()) && !over()) co_await writing_.wait();
    co_await while_disk_is_full();
  }
  stdout_ended_ = true;
  wake_.notify();
}

base::Task<void> Turn::read_stderr() {
  std::string buffer(read_bytes, '\0');
  for (;;) {
    boost::system::error_code error;
    const std::size_t n =
        co_await stderr_.async_read_some(asio::buffer(buffer), asio::redirect_error(base::use_task, error));
    if (error || !count_output(n)) break;
    touch();
    co_await slow_down(n);
    stderr_lines_.feed(std::string_view(buffer).substr(0, n));
    if (!count_written(stderr_growth_.more(n))) break;
    report(needs_.progress.signals().raw_output(std::string_view(buffer).substr(0, n)));
    co_await while_disk_is_full();
  }
}

base::Task<void> Turn::write_stdin() {
  while (!to_write_.empty() || !close_stdin_) {
    if (to_write_.empty()) {
      co_await writing_.wait();
      continue;
    }
    boost::system::error_code error;
    co_await asio::async_write(stdin_, asio::buffer(to_write_.front()),
                               asio::redirect_error(base::use_task, error));
    // An agent that does not read any more ends, and then supervise() learns of it.
    if (error) co_return;
    to_write_bytes_ -= to_write_.front().size();
    to_write_.pop_front();
    writing_.notify();
  }
  boost::system::error_code ignored;
  stdin_.close(ignored);
}

base::Task<void> Turn::relay_notices() {
  for (;;) {
    wake_.notify();
    co_await needs_.notices.changed().wait();
  }
}

bool Turn::count_output(std::size_t bytes) {
  if (needs_.limits != nullptr && !needs_.limits->take_output(bytes)) return false;
  return count_written(bytes);
}

// Also what the logs take beyond what the agent wrote.
bool Turn::count_written(std::uint64_t bytes) {
  output_bytes_ += bytes;
  if (output_bytes_ <= needs_.plan.limits.output_bytes) return true;
  fail("output_limit", "The agent wrote more than it may");
  return false;
}

void Turn::hold_for_disk(Hold wish) {
  disk_is_full_ = wish == Hold::hold;
  watch_waiting();
  writing_.notify();
}

base::Task<void> Turn::while_disk_is_full() {
  while (disk_is_full_ && !over()) co_await writing_.wait();
}

// An agent that writes faster than it may waits at its full pipe. Up to a second of it comes at once.
base::Task<void> Turn::slow_down(std::size_t bytes) {
  const auto rate = needs_.plan.limits.output_rate;
  if (rate == 0) co_return;
  const auto taken = std::chrono::microseconds(bytes * 1'000'000 / rate);
  output_until_ = std::max(output_until_, base::SteadyClock::now() - 1s) + taken;
  while (output_until_ > base::SteadyClock::now() && !over()) co_await wake_.wait_until(output_until_);
}

}  // namespace agentrouter::keeper
