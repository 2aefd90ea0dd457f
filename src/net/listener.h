#pragma once
// Sockets that accept connections, whoever opened them.

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::net {

using base::Result;

// Binds and listens. `host` is a numeric address or "localhost"; port 0 takes a free one.
// Errors: conflict (in use), denied, invalid (host).
[[nodiscard]] Result<base::Fd> open_listener(const std::string& host, std::uint16_t port);

// Where a socket listens.
struct ListenerAddress {
  std::string host;  // numeric; of a unix socket its path, "@" for the NUL of an abstract one
  std::uint16_t port = 0;
  bool unix_socket = false;

  // "127.0.0.1:8787", "[::1]:8787", or the path.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] bool any_host() const { return !unix_socket && (host == "0.0.0.0" || host == "::"); }
};

// Errors: invalid (no stream socket of TCP or unix that listens), those of getsockname(2).
[[nodiscard]] Result<ListenerAddress> listener_address(int fd);

// Whether that is where `host` and `port` (0: any) say, as for open_listener().
[[nodiscard]] bool listens_at(const ListenerAddress& address, const std::string& host, std::uint16_t port);

}  // namespace agentrouter::net
