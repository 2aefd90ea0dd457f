#include "net/stream.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/error.hpp>

#include "net/own_address.h"
#include "net/socket_stream.h"

namespace agentrouter::net {

using asio::ip::tcp;
using boost::system::error_code;
using GenericSocket = asio::basic_stream_socket<asio::generic::stream_protocol, base::Executor>;

namespace {

// Name look-ups run on a thread of Asio's that cannot be interrupted; whoever stops waiting leaves it behind.
struct Lookup {
  explicit Lookup(base::Executor executor) : resolver(executor), ready(executor) {}
  asio::ip::basic_resolver<tcp, base::Executor> resolver;
  base::Event ready;
  bool done = false;
  error_code error;
  std::vector<asio::ip::address> addresses;
};

std::string connecting_to(const std::string& host, std::uint16_t port) {
  return "cannot connect to " + host + ":" + std::to_string(port);
}

template <class Connecting, class Endpoint>
Task<error_code> connect_by(Connecting& socket, Endpoint endpoint, base::Deadline deadline) {
  error_code error;
  Alarm alarm(socket.get_executor(), [&socket] { socket.cancel(); });
  alarm.set(deadline);
  co_await socket.async_connect(endpoint, asio::redirect_error(base::use_task, error));
  if (alarm.fired()) error = asio::error::timed_out;
  co_return error;
}

// An equal share of the time that is left for each address that is left.
base::Deadline share_of(base::Deadline deadline, std::size_t addresses_left) {
  const auto now = base::SteadyClock::now();
  if (deadline == base::Deadline::max() || addresses_left <= 1 || deadline <= now) return deadline;
  return now + (deadline - now) / static_cast<int>(addresses_left);
}

}  // namespace

tl::unexpected<base::Error> stream_error(std::string action, const error_code& error, bool timed_out) {
  if (timed_out || error == asio::error::timed_out) {
    return base::fail(base::Code::timeout, std::move(action) + ": took too long");
  }
  const bool closed = error == asio::error::operation_aborted || error == asio::error::bad_descriptor;
  return base::fail(closed ? base::Code::cancelled : base::Code::unavailable,
                    std::move(action) + ": " + error.message());
}

Task<Result<std::vector<asio::ip::address>>> look_up(std::string host, base::Deadline deadline) {
  error_code not_numeric;
  const auto address = asio::ip::make_address(host, not_numeric);
  if (!not_numeric) co_return std::vector<asio::ip::address>{address};

  const auto executor = co_await base::this_executor;
  auto lookup = std::make_shared<Lookup>(executor);
  lookup->resolver.async_resolve(host, "", tcp::resolver::flags(),
                                 [lookup](error_code error, tcp::resolver::results_type results) {
                                   for (const auto& entry : results) lookup->addresses.push_back(entry.endpoint().address());
                                   lookup->error = error;
                                   lookup->done = true;
                                   lookup->ready.notify();
                                 });
  Alarm alarm(executor, [lookup] { lookup->ready.notify(); });
  alarm.set(deadline);
  while (!lookup->done && base::SteadyClock::now() < deadline) co_await lookup->ready.wait();
  if (!lookup->done) co_return base::fail(base::Code::timeout, "cannot look up " + host + ": took too long");
  if (lookup->error) {
    co_return base::fail(base::Code::unavailable, "cannot look up " + host + ": " + lookup->error.message());
  }
  co_return std::move(lookup->addresses);
}

Task<Result<TcpSocket>> connect_socket(Addressed to, base::Deadline deadline) {
  const auto executor = co_await base::this_executor;
  error_code last = asio::error::host_not_found;
  for (std::size_t i = 0; i < to.addresses.size(); ++i) {
    const tcp::endpoint endpoint(to.addresses[i], to.port);
    TcpSocket socket(executor);
    socket.open(endpoint.protocol(), last);
    if (last) continue;
    last = co_await connect_by(socket, endpoint, share_of(deadline, to.addresses.size() - i));
    if (!last) {
      socket.set_option(tcp::no_delay(true), last);
      co_return std::move(socket);
    }
  }
  co_return stream_error(connecting_to(to.host, to.port), last, base::SteadyClock::now() >= deadline);
}

Task<Result<TcpSocket>> connect_socket(std::string host, std::uint16_t port, base::Deadline deadline,
                                       Reach reach) {
  auto found = co_await look_up(host, deadline);
  if (!found && reach != Reach::public_only) co_return tl::unexpected(std::move(found).error());
  const auto why = connecting_to(host, port) + (reach == Reach::public_only
                                                    ? ": no public address of it is known here"
                                                    : ": its address may not be reached from here");
  if (!found) co_return base::fail(found.error().code, why);
  *found = reachable(std::move(*found), reach);
  if (found->empty() && reach != Reach::anywhere)
    co_return base::fail(base::Code::denied, why, "address_denied");
  Addressed to{std::move(host), std::move(*found), port};
  co_return co_await connect_socket(std::move(to), deadline);
}

namespace {

Task<Result<std::unique_ptr<Stream>>> stream_of(Task<Result<TcpSocket>> connecting) {
  const auto executor = co_await base::this_executor;
  auto socket = co_await std::move(connecting);
  if (!socket) co_return tl::unexpected(std::move(socket).error());
  std::unique_ptr<Stream> stream = std::make_unique<SocketStream<TcpSocket>>(executor, std::move(*socket));
  co_return std::move(stream);
}

}  // namespace

Task<Result<std::unique_ptr<Stream>>> connect_tcp(std::string host, std::uint16_t port,
                                                  base::Deadline deadline, Reach reach) {
  return stream_of(connect_socket(std::move(host), port, deadline, reach));
}

Task<Result<std::unique_ptr<Stream>>> connect_tcp(Addressed to, base::Deadline deadline) {
  return stream_of(connect_socket(std::move(to), deadline));
}

Task<Result<base::Fd>> connect_fd(std::string host, std::uint16_t port, base::Deadline deadline,
                                  Reach reach) {
  auto socket = co_await connect_socket(std::move(host), port, deadline, reach);
  if (!socket) co_return tl::unexpected(std::move(socket).error());
  co_return base::Fd(socket->release());
}

Task<Result<std::unique_ptr<Stream>>> connect_unix(std::string path, base::Deadline deadline) {
  const auto executor = co_await base::this_executor;
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    co_return base::fail(base::Code::invalid, "cannot connect to " + path + ": the path is too long");
  }
  GenericSocket socket(executor);
  error_code error;
  socket.open(asio::generic::stream_protocol(AF_UNIX, 0), error);
  if (!error) {
    const asio::generic::stream_protocol::endpoint endpoint(asio::local::stream_protocol::endpoint{path});
    error = co_await connect_by(socket, endpoint, deadline);
  }
  if (error == asio::error::timed_out) co_return stream_error("cannot connect to " + path, error, true);
  if (error == boost::system::errc::no_such_file_or_directory) {
    co_return base::fail(base::Code::not_found, "cannot connect to " + path + ": " + error.message());
  }
  if (error) co_return stream_error("cannot connect to " + path, error, false);
  std::unique_ptr<Stream> stream = std::make_unique<SocketStream<GenericSocket>>(executor, std::move(socket));
  co_return std::move(stream);
}

std::unique_ptr<Stream> adopt_stream(base::Executor executor, base::Fd fd) {
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_DOMAIN, &family, &size);
  GenericSocket socket(executor);
  socket.assign(asio::generic::stream_protocol(family, 0), fd.release());
  return std::make_unique<SocketStream<GenericSocket>>(executor, std::move(socket));
}

}  // namespace agentrouter::net
