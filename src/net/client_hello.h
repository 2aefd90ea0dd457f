#pragma once
// What the first bytes of a TLS connection say about where it wants to go: the ClientHello, read and not
// answered. Pure.
//
// Strict: what two servers could read differently (an extension twice, two names, bytes left over) is broken.

#include <string>
#include <string_view>
#include <vector>

namespace agentrouter::net {

struct ClientHello {
  std::string server_name;             // SNI in lower case; empty: none
  std::vector<std::string> protocols;  // ALPN, in the client's order
  bool encrypted = false;  // it has an encrypted ClientHello (0xfe0d), a real one or one for show
};

enum class HelloState {
  need_more,  // all of it so far may be the beginning of one
  hello,
  not_tls,  // its first bytes are no TLS record of a handshake
  broken,   // or over max_hello_bytes
};

constexpr std::size_t max_hello_bytes = 16 * 1024;

struct HelloRead {
  HelloState state = HelloState::need_more;
  ClientHello hello = {};  // of HelloState::hello
};
// `bytes` is everything that has arrived; what follows the hello is not looked at.
[[nodiscard]] HelloRead read_client_hello(std::string_view bytes);

}  // namespace agentrouter::net
