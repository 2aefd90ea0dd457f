// covers: src/net/client_hello.cpp
// Reads the first bytes of a connection as they arrive: once it is said what they are, more bytes do not change
// it, and a name is one that a host can have.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/client_hello.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::size_t piece = 1 + data[0] % 60;
  const std::string_view wire(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = net::read_client_hello(wire);
  for (std::size_t at = 0; at < wire.size(); at += piece) {
    const auto part = net::read_client_hello(wire.substr(0, at));
    if (part.state == net::HelloState::need_more) continue;
    AGENTROUTER_CHECK(part.state == whole.state);
    AGENTROUTER_CHECK(part.hello.server_name == whole.hello.server_name);
  }
  if (whole.state != net::HelloState::hello) return 0;
  const auto& name = whole.hello.server_name;
  AGENTROUTER_CHECK(name.size() <= 253);
  AGENTROUTER_CHECK(std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != '/'; }));
  return 0;
}
