#include "egress/ssh_gate.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>

#include "egress/ssh_session.h"
#include "net/stream.h"

namespace agentrouter::egress {

using base::Code;
using base::Result;
using base::Task;

namespace {

constexpr std::size_t most_waiting_bytes = 256 * 1024;
constexpr std::size_t most_links = 8;

}  // namespace

std::string known_key_kinds(std::string_view known_hosts) {
  constexpr std::array<std::string_view, 4> kinds{"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
                                                  "ecdsa-sha2-nistp521"};
  std::string list;
  for (const auto kind : kinds) {
    if (known_hosts.find(" " + std::string(kind) + " ") == std::string_view::npos) continue;
    list += (list.empty() ? "" : ",") + std::string(kind);
  }
  return list;
}

// One connection of the sandbox's git, and the session that it is joined to.
class SshGate::Link {
 public:
  Link(SshGate& gate, base::Fd socket)
      : gate_(gate), inner_(net::adopt_stream(gate.executor_, std::move(socket))), changed_(gate.executor_) {}

  Task<void> run();

 private:
  Task<Result<void>> open();
  Task<void> feed();
  Task<Result<void>> pump();
  Task<Result<bool>> pass_answer();
  void note(const base::Error& error);

  SshGate& gate_;
  std::unique_ptr<net::Stream> inner_;
  base::Event changed_;
  std::unique_ptr<SshSession> session_;
  std::string waiting_;  // what git says and the server has not taken
  bool fed_ = false;     // git says no more
};

Task<void> SshGate::Link::run() {
  auto done = co_await open();
  if (done) {
    base::TaskScope beside(gate_.executor_);
    beside.spawn(feed());
    done = co_await pump();
    inner_->close();
    co_await beside.cancel_and_join();
  }
  inner_->close();
  if (!done) note(done.error());
}

Task<Result<void>> SshGate::Link::open() {
  const auto& config = gate_.config_;
  auto socket = co_await net::connect_fd(config.host, config.port, base::after(config.connect_timeout));
  if (!socket) co_return tl::unexpected(std::move(socket).error());
  session_ = std::make_unique<SshSession>(gate_.executor_, std::move(*socket));
  co_return co_await session_->start(config, "git-upload-pack '" + config.path + "'");
}

Task<void> SshGate::Link::feed() {
  std::string buffer(32 * 1024, '\0');
  for (;;) {
    while (waiting_.size() > most_waiting_bytes) co_await changed_.wait();
    const std::span<char> into(buffer);
    auto got = co_await inner_->read_some(into, base::Deadline::max());
    if (!got || *got == 0) break;
    waiting_.append(buffer, 0, *got);
    changed_.notify();
  }
  fed_ = true;
  changed_.notify();
}

// Something of the answer; false when there is nothing now.
Task<Result<bool>> SshGate::Link::pass_answer() {
  auto piece = session_->read();
  if (!piece) co_return tl::unexpected(std::move(piece).error());
  if (piece->empty()) co_return false;
  gate_.bytes_ += piece->size();
  if (gate_.bytes_ > gate_.config_.response_bytes) {
    co_return base::fail(
        Code::exhausted,
        "the repository is larger than " + std::to_string(gate_.config_.response_bytes) + " bytes",
        "too_large");
  }
  auto written = co_await inner_->write(*piece, base::after(gate_.config_.idle_timeout));
  if (!written) co_return tl::unexpected(std::move(written).error());
  co_return true;
}

Task<Result<void>> SshGate::Link::pump() {
  for (;;) {
    bool moved = false;
    if (!waiting_.empty()) {
      const auto taken = session_->write(waiting_);
      if (!taken) co_return tl::unexpected(taken.error());
      waiting_.erase(0, *taken);
      moved = *taken > 0;
      if (moved) changed_.notify();
    }
    if (session_->may_read()) {
      const auto passed = co_await pass_answer();
      if (!passed) co_return tl::unexpected(passed.error());
      moved = moved || *passed;
      if (!*passed && session_->ended()) break;
    }
    if (moved) continue;
    if (fed_ && waiting_.empty()) co_return Result<void>();  // git has left
    session_->watch(changed_);
    const bool woken = co_await changed_.wait_until(base::after(gate_.config_.idle_timeout));
    if (!woken) co_return base::fail(Code::timeout, gate_.config_.host + " says nothing");
  }
  if (session_->complaint().empty()) co_return Result<void>();
  co_return base::fail(Code::not_found, gate_.config_.host + " says: " + session_->complaint(), "complaint");
}

void SshGate::Link::note(const base::Error& error) {
  auto trouble = GitTrouble::unreachable;
  if (error.reason == "untrusted") trouble = GitTrouble::untrusted;
  if (error.reason == "unauthorized") trouble = GitTrouble::unauthorized;
  if (error.reason == "too_large") trouble = GitTrouble::too_large;
  if (error.reason == "complaint") trouble = GitTrouble::not_found;
  std::string words;
  for (const char c : error.message) words += c >= ' ' && c <= '~' ? c : ' ';
  gate_.problem_ = {trouble, std::move(words)};
}

SshGate::SshGate(base::Executor executor, SshGateConfig config)
    : executor_(executor), config_(std::move(config)), links_(executor) {}

SshGate::~SshGate() = default;

void SshGate::serve(base::Fd listener) {
  links_.spawn(accept_all(std::move(listener)));
}

Task<void> SshGate::stop() {
  co_await links_.cancel_and_join();
}

namespace {

template <class Link>
Task<void> run_link(std::unique_ptr<Link> link) {
  co_await link->run();
}

}  // namespace

Task<void> SshGate::accept_all(base::Fd listener) {
  asio::basic_socket_acceptor<asio::ip::tcp, base::Executor> acceptor(executor_);
  acceptor.assign(asio::ip::tcp::v4(), listener.release());
  for (;;) {
    boost::system::error_code error;
    auto socket = co_await acceptor.async_accept(asio::redirect_error(base::use_task, error));
    if (error && error != asio::error::connection_aborted) co_return;
    if (error || links_.size() > most_links) continue;
    base::Fd fd(socket.release());
    problem_ = {};
    links_.spawn(run_link(std::make_unique<Link>(*this, std::move(fd))));
  }
}

}  // namespace agentrouter::egress
