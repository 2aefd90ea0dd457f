#include "apps/successor.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "base/log.h"

namespace agentrouter::apps {

namespace {

constexpr std::chrono::seconds start_time{10};  // to open the store, and to adopt what it was given
constexpr std::chrono::seconds look_again{60};

}  // namespace

bool Successor::hand_over(Holdings& holdings) {
  auto done = give(holdings).and_then([this] { return takeover::receive(channel_.get(), base::after(start_time)); });
  if (done && std::holds_alternative<takeover::Ready>(done->message)) {
    holdings = {};
    return true;
  }
  base::log(base::LogLevel::warn, "the server that was to take over does not answer: this one goes on",
            {{"pid", peer_.pid}, {"cause", done ? "it says something else" : done.error().message}});
  end_it();
  holdings.lock->take_back();
  return false;
}

base::Result<void> Successor::give(Holdings& holdings) {
  AGENTROUTER_TRY(const int lock, holdings.lock->give());
  std::vector<int> some;
  const auto flush = [&]() -> base::Result<void> {
    if (some.empty()) return {};
    auto sent = takeover::send(channel_.get(), takeover::Connections{}, some);
    some.clear();
    return sent;
  };
  for (const auto& connection : holdings.connections) {
    some.push_back(connection.get());
    if (some.size() < takeover::fds_of_message) continue;
    if (auto sent = flush(); !sent) return sent;
  }
  if (auto sent = flush(); !sent) return sent;
  return takeover::send(channel_.get(), takeover::Yours{}, std::span(&lock, 1));
}

// Two servers must never write to one store: this one goes on only when the other one is no more.
void Successor::end_it() {
  ::syscall(SYS_pidfd_send_signal, peer_.process.get(), SIGKILL, nullptr, 0);
  while (!takeover::wait_for_end(peer_, base::after(look_again)))
    base::log(base::LogLevel::error, "the server that was to take over cannot be ended: end it", {{"pid", peer_.pid}});
}

}  // namespace agentrouter::apps
