#include "keeper/control.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>

#include "base/file.h"

namespace agentrouter::keeper {

struct ControlServer::Connection {
  Connection(std::unique_ptr<Lines> end, base::Executor executor) : lines(std::move(end)), wake(executor) {}
  std::unique_ptr<Lines> lines;
  base::Event wake;
  std::int64_t token = 0;  // of its lease
  int protocol = oldest_protocol;
  bool cancels = false;  // it has asked for the end, and is still to be told that this was heard
  bool gives_allowance = false;
  std::uint64_t wish = 0;  // the newest that it has heard of
  std::optional<FilesMessage> files;
  std::optional<asio::posix::basic_stream_descriptor<base::Executor>> answer;  // to `files`
  bool closed = false;
};

ControlServer::ControlServer(base::Executor executor, Identity identity, ControlHandler& handler)
    : executor_(executor),
      identity_(std::move(identity)),
      handler_(handler),
      acceptor_(executor),
      newest_token_(identity_.token),
      scope_(executor) {}

ControlServer::~ControlServer() = default;

base::Result<void> ControlServer::listen(int attempt_dir) {
  ::unlinkat(attempt_dir, control_socket_name, 0);
  const asio::local::stream_protocol::endpoint endpoint(
      base::path_through_fd(attempt_dir, control_socket_name));
  boost::system::error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error && ::fchmodat(attempt_dir, control_socket_name, 0600, 0) != 0) {
    return base::fail_errno("cannot close keeper.sock to others", errno);
  }
  if (!error) acceptor_.listen(16, error);
  if (error) return base::fail(base::Code::unavailable, "cannot listen on keeper.sock: " + error.message());
  scope_.spawn(accept());
  return {};
}

void ControlServer::set_length(std::uint64_t length) {
  length_ = length;
  for (auto& connection : connections_) connection->wake.notify();
}

void ControlServer::ask_allowance(const AllowanceWish& wish) {
  if (wish_ && wish_->have == wish.have && wish_->needed == wish.needed) return;
  wish_ = wish;
  ++wishes_;
  for (auto& connection : connections_) connection->wake.notify();
}

void ControlServer::say_bye() {
  bye_ = true;
  for (auto& connection : connections_) connection->wake.notify();
}

base::Task<void> ControlServer::stop() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  const auto all = connections_;
  for (const auto& connection : all) close(*connection);
  co_await scope_.join();
}

base::Task<void> ControlServer::accept() {
  for (;;) {
    LineSocket::Socket socket(executor_);
    boost::system::error_code error;
    co_await acceptor_.async_accept(socket, asio::redirect_error(base::use_task, error));
    if (!acceptor_.is_open()) co_return;
    if (error) {
      co_await base::sleep_for(std::chrono::milliseconds(100));
      continue;
    }
    serve(std::make_unique<LineSocket>(std::move(socket)));
  }
}

void ControlServer::serve(std::unique_ptr<Lines> lines) {
  auto connection = std::make_shared<Connection>(std::move(lines), executor_);
  connections_.push_back(connection);
  scope_.spawn(read(connection));
  scope_.spawn(write(connection));
}

base::Task<void> ControlServer::read(std::shared_ptr<Connection> connection) {
  while (!connection->closed) {
    // Only who holds a lease has something long to say.
    const auto limit = connection->token > 0 ? policy_line_bytes : control_line_bytes;
    auto line = co_await connection->lines->read_line(limit);
    if (!line) break;
    const auto message = parse_server_message(*line);
    if (!message || !obey(*connection, *message)) break;
  }
  close(*connection);
  connections_.remove(connection);
}

bool ControlServer::take_lease(Connection& connection, const LeaseMessage& lease) {
  if (lease.token < newest_token_ || lease.protocol > control_protocol) return false;
  if (lease.token > newest_token_) {
    newest_token_ = lease.token;
    for (auto& other : connections_) {
      if (other.get() != &connection && other->token > 0 && !other->files) close(*other);
    }
  }
  connection.token = lease.token;
  connection.protocol = lease.protocol;
  if (!lease.allowance) return true;
  connection.gives_allowance = true;
  const auto& total = lease.allowance->total;
  if (wish_ && (total.tokens > wish_->have.tokens || total.cost > wish_->have.cost)) wish_.reset();
  handler_.on_allowance(*lease.allowance);
  connection.wake.notify();
  return true;
}

bool ControlServer::obey(Connection& connection, const ServerMessage& message) {
  if (const auto* lease = std::get_if<LeaseMessage>(&message)) return take_lease(connection, *lease);
  if (connection.token < newest_token_) return false;
  if (connection.protocol >= 2 && token_of(message) != newest_token_) return false;
  if (const auto* decision = std::get_if<DecisionMessage>(&message)) handler_.on_decision(*decision);
  if (const auto* policy = std::get_if<PolicyMessage>(&message)) handler_.on_policy(*policy);
  if (const auto* files = std::get_if<FilesMessage>(&message)) {
    if (connection.files) return false;
    connection.files = *files;
    connection.wake.notify();
  }
  if (std::holds_alternative<CancelMessage>(message)) {
    connection.cancels = connection.protocol >= 2;
    connection.wake.notify();
    handler_.on_cancel();
  }
  if (std::holds_alternative<DoneMessage>(message)) handler_.on_done();
  return true;
}

base::Task<void> ControlServer::write(std::shared_ptr<Connection> connection) {
  std::uint64_t told = length_;
  bool said_bye = false;
  std::string next = to_line(KeeperMessage(
      Hello{control_protocol, identity_.attempt_id, identity_.run_id, newest_token_, length_, true}));
  for (;;) {
    if (!next.empty()) {
      const auto written = co_await connection->lines->write(std::move(next));
      if (!written) break;
    }
    next.clear();
    if (connection->closed) break;
    if (connection->files) {
      co_await answer_files(*connection);
      break;
    }
    if (std::exchange(connection->cancels, false)) {
      next = to_line(KeeperMessage(Cancelling{}));
    } else if (told != length_) {
      told = length_;
      next = to_line(KeeperMessage(Length{told}));
    } else if (connection->gives_allowance && wish_ && connection->wish != wishes_) {
      connection->wish = wishes_;
      next = to_line(KeeperMessage(*wish_));
    } else if (bye_ && !said_bye) {
      said_bye = true;
      next = to_line(KeeperMessage(Bye{}));
    } else {
      co_await connection->wake.wait();
    }
  }
  close(*connection);
}

base::Task<void> ControlServer::answer_files(Connection& connection) {
  auto started = handler_.on_files(*connection.files);
  FilesBegin begin;
  if (!started) begin.refused = started.error().message;
  std::string bytes = to_line(KeeperMessage(begin));
  if (started) connection.answer.emplace(executor_, started->release());
  for (;;) {
    const auto written = co_await connection.lines->write(std::move(bytes));
    if (!written || !connection.answer || connection.closed) break;
    bytes.assign(64u << 10, '\0');
    boost::system::error_code error;
    const auto size = co_await connection.answer->async_read_some(
        asio::buffer(bytes), asio::redirect_error(base::use_task, error));
    if (error) break;
    bytes.resize(size);
  }
}

void ControlServer::close(Connection& connection) {
  if (std::exchange(connection.closed, true)) return;
  boost::system::error_code ignored;
  if (connection.answer) connection.answer->close(ignored);
  connection.lines->close();
  connection.wake.notify();
}

}  // namespace agentrouter::keeper
