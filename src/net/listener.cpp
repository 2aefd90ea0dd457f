#include "net/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>

#include "base/asio.h"

namespace agentrouter::net {

namespace {

constexpr int backlog = 4096;

Result<asio::ip::address> numeric(const std::string& host, const std::string& name) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error);
  if (error) return base::fail(base::Code::invalid, "cannot listen on " + name + ": not a numeric address");
  return address;
}

int socket_number(int fd, int what) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, what, &value, &size) == 0 ? value : -1;
}

std::string path_of(const sockaddr_un& address, socklen_t size) {
  const std::size_t length =
      size > offsetof(sockaddr_un, sun_path) ? size - offsetof(sockaddr_un, sun_path) : 0;
  std::string path(address.sun_path, length);
  if (!path.empty() && path.front() == '\0') {
    path.front() = '@';
  } else if (const auto end = path.find('\0'); end != std::string::npos) {
    path.resize(end);
  }
  return path;
}

}  // namespace

Result<base::Fd> open_listener(const std::string& host, std::uint16_t port) {
  const std::string name = ListenerAddress{host, port}.name();
  AGENTROUTER_TRY(const auto address, numeric(host, name));
  const asio::ip::tcp::endpoint endpoint(address, port);
  base::Fd fd(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return base::fail_errno("cannot open a socket for " + name, errno);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 ||
      ::listen(fd.get(), backlog) != 0) {
    return base::fail_errno("cannot listen on " + name, errno);
  }
  return fd;
}

std::string ListenerAddress::name() const {
  if (unix_socket) return host;
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
}

Result<ListenerAddress> listener_address(int fd) {
  if (socket_number(fd, SO_TYPE) != SOCK_STREAM || socket_number(fd, SO_ACCEPTCONN) != 1)
    return base::fail(base::Code::invalid, "cannot accept connections: not a stream socket that listens");
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return base::fail_errno("cannot read the address of a socket", errno);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return ListenerAddress{text.data(), ntohs(v4.sin_port)};
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    return ListenerAddress{text.data(), ntohs(v6.sin6_port)};
  }
  if (address.ss_family == AF_UNIX)
    return ListenerAddress{path_of(reinterpret_cast<const sockaddr_un&>(address), size), 0, true};
  return base::fail(base::Code::invalid, "cannot accept connections: a socket of neither TCP nor unix");
}

bool listens_at(const ListenerAddress& address, const std::string& host, std::uint16_t port) {
  if (address.unix_socket || (port != 0 && address.port != port)) return false;
  const auto wanted = numeric(host, host);
  boost::system::error_code error;
  const auto there = asio::ip::make_address(address.host, error);
  return wanted && !error && *wanted == there;
}

}  // namespace agentrouter::net
