#include "worker/keeper_link.h"

#include <boost/asio/error.hpp>

namespace agentrouter::worker {
namespace {

using namespace std::chrono_literals;

// Closes the socket at the deadline, so that a read of it ends.
base::Task<base::Result<std::string>> read_until(keeper::Lines& lines, base::Deadline deadline) {
  base::Timer timer(co_await base::this_executor, deadline);
  auto waiting = std::make_shared<bool>(true);
  timer.async_wait([&lines, waiting](boost::system::error_code error) {
    if (!error && *waiting) lines.close();
  });
  auto line = co_await lines.read_line();
  *waiting = false;
  co_return line;
}

tl::unexpected<base::Error> other_protocol(const keeper::Hello& hello) {
  return base::fail(base::Code::unsupported,
                    "cannot talk to the keeper: it speaks protocol " + std::to_string(hello.since) + " to " +
                        std::to_string(hello.protocol) + ", this server " + std::to_string(keeper::oldest_protocol) +
                        " to " + std::to_string(keeper::control_protocol) + "; a server of its version ends the run");
}

base::Task<base::Result<std::unique_ptr<KeeperLink>>> greet(const ConnectKeeper& connect, int attempt_dir,
                                                            base::Deadline deadline, base::Event& changed) {
  const base::Executor executor = co_await base::this_executor;
  AGENTROUTER_CO_TRY(auto lines, connect(executor, attempt_dir));
  auto line = co_await read_until(*lines, deadline);
  if (!line) co_return tl::unexpected(std::move(line).error());
  AGENTROUTER_CO_TRY(const keeper::KeeperMessage message, keeper::parse_keeper_message(*line));
  const auto* hello = std::get_if<keeper::Hello>(&message);
  if (hello == nullptr)
    co_return base::fail(base::Code::unsupported, "cannot talk to the keeper: its first message is no hello");
  if (!keeper::common_protocol(*hello)) co_return other_protocol(*hello);
  co_return std::make_unique<KeeperLink>(std::move(lines), *hello, changed);
}

}  // namespace

base::Result<std::unique_ptr<keeper::Lines>> connect_by_socket(base::Executor executor, int attempt_dir) {
  AGENTROUTER_TRY(auto socket, keeper::connect_to_keeper(executor, attempt_dir));
  return std::make_unique<keeper::LineSocket>(std::move(socket));
}

base::Task<base::Result<std::unique_ptr<KeeperLink>>> KeeperLink::open(const ConnectKeeper& connect,
                                                                       int attempt_dir, base::Deadline deadline,
                                                                       base::Event& changed) {
  for (auto pause = 5ms;; pause = std::min<std::chrono::milliseconds>(pause * 2, 200ms)) {
    auto link = co_await greet(connect, attempt_dir, deadline, changed);
    if (link || link.error().code == base::Code::unsupported) co_return link;
    if (base::SteadyClock::now() + pause >= deadline) co_return link;
    co_await base::sleep_for(pause);
  }
}

base::Task<void> KeeperLink::listen() {
  for (;;) {
    auto line = co_await lines_->read_line();
    if (!line) break;
    const auto message = keeper::parse_keeper_message(*line);
    if (!message) break;
    if (const auto* length = std::get_if<keeper::Length>(&*message))
      length_ = std::max(length_, length->length);
    if (const auto* wish = std::get_if<keeper::AllowanceWish>(&*message)) {
      wish_ = *wish;
      ++wishes_;
    }
    if (std::holds_alternative<keeper::Bye>(*message)) bye_ = true;
    if (std::holds_alternative<keeper::Cancelling>(*message)) cancelling_ = true;
    changed_.notify();
  }
  closed_ = true;
  changed_.notify();
}

base::Task<base::Result<void>> KeeperLink::send(keeper::ServerMessage message) {
  if (auto* lease = std::get_if<keeper::LeaseMessage>(&message)) {
    token_ = lease->token;
    lease->protocol = protocol_;
  } else if (protocol_ >= 2) {
    keeper::set_token(message, token_);
  }
  co_return co_await lines_->write(keeper::to_line(message));
}

}  // namespace agentrouter::worker
