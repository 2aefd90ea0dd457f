// covers: src/net/dns_message.cpp
// Reads one question of DNS: what was understood is answered, and the answer is no longer than a datagram that
// every resolver takes. Frames of TCP give back what was framed.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/dns_message.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto query = net::parse_dns_query(bytes);
  if (query) {
    AGENTROUTER_CHECK(query->name.size() <= 255);
    const auto answer = net::dns_answer(*query, {.address = boost::asio::ip::address_v4(0xc6120001)});
    AGENTROUTER_CHECK(answer.size() <= 512);
    AGENTROUTER_CHECK(answer.compare(12, query->question.size(), query->question) == 0);
    // An answer is no question: two servers never talk to each other.
    const auto echoed = net::parse_dns_query(answer);
    AGENTROUTER_CHECK(!echoed && !echoed.error().id);
    AGENTROUTER_CHECK(net::dns_unframed(net::dns_framed(answer)) == answer);
  } else if (query.error().id) {
    AGENTROUTER_CHECK(net::dns_refusal(*query.error().id, query.error().code).size() == 12);
  }
  const auto inner = net::dns_unframed(bytes);
  if (inner) AGENTROUTER_CHECK(inner->size() + 2 <= bytes.size());
  return 0;
}
