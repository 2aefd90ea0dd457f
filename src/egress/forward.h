#pragma once
// One request on its way to an upstream and its answer on the way back, piece by piece. Internal to egress.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "egress/egress.h"
#include "egress/key_filter.h"
#include "net/client.h"
#include "net/exchange.h"

namespace agentrouter::egress {

// What is made of an upstream's secrets once: the lines that go into every head, and the search patterns.
class Credential {
 public:
  enum class Scheme { bearer, api_key };
  // `key` outlives it. Throws Failure(unavailable) as SecretBuffer.
  Credential(Scheme scheme, const Secret& key);
  // Fields as they are; searched for is the last word of each ("Bearer <this>"). The values outlive it.
  explicit Credential(const std::vector<McpUpstream::Field>& fields);

  // "authorization: Bearer ...\r\n\r\n": the end of a request head.
  [[nodiscard]] std::string_view head_end() const { return lines_.view(); }
  [[nodiscard]] const KeyFilters& filters() const { return filters_; }

 private:
  SecretBuffer lines_;
  KeyFilters filters_;
};

// Who is asked: the words for what goes wrong begin with it.
enum class Peer { provider, mcp };

// Answers `exchange`, whose body has been read as far as `first`. Fills `record`; once it says `forwarded`,
// bytes may have left. Everything passed outlives the task.
struct Forward {
  const Config& config;
  const net::Url& url;
  const Credential& credential;
  std::string head;  // up to where the credential follows
  Peer peer = Peer::provider;
  RequestRecord& record;
  std::uint64_t& total_bytes;
  Spending::Metering* metering = nullptr;  // of a provider's; none: nothing is counted
  const ToolRules* tools = nullptr;  // what an answer may call; none: anything
  std::string rpc_id = {};           // of a request to an MCP server: who waits for its answer
};
[[nodiscard]] Task<void> forward(Forward context, net::Exchange& exchange, std::string first);

}  // namespace agentrouter::egress
