#pragma once
// One request on its way to an upstream and its answer on the way back, piece by piece. Internal to egress.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "egress/cassette.h"
#include "egress/credential.h"
#include "egress/egress.h"
#include "net/client.h"
#include "net/exchange.h"

namespace agentrouter::egress {

// Who is asked: the words for what goes wrong begin with it.
enum class Peer { provider, mcp, host /* any other, see outbound.h */ };

struct ForwardLimits {
  std::uint64_t response_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::chrono::milliseconds head_timeout{0};
  std::chrono::milliseconds idle_timeout{0};
};
[[nodiscard]] ForwardLimits limits_of(const Config& config);

// Answers `exchange`, whose body has been read as far as `first`. Fills `record`; once it says `forwarded`,
// bytes may have left. Everything passed outlives the task.
struct Forward {
  ForwardLimits limits;
  // Errors: those of net::connect_tls.
  std::function<Task<Result<std::unique_ptr<net::Stream>>>()> connect;
  // A connection to the same host that an earlier request has left, maybe broken by now: a request that can be
  // sent twice uses it. Where another request may follow it is put back. Null: none is kept.
  std::unique_ptr<net::Stream>* kept = nullptr;
  const Credential* credential = nullptr;  // none: nothing is added and nothing searched for
  std::string head;                        // up to where the credential follows
  Peer peer = Peer::provider;
  RequestRecord& record;
  std::uint64_t& total_bytes;
  Spending::Metering* metering = nullptr;  // of a provider's; none: nothing is counted
  const ToolRules* tools = nullptr;  // what an answer may call; none: anything
  CassetteWriter::Take* take = nullptr;  // keeps the answer
  std::string rpc_id = {};           // of a request to an MCP server: who waits for its answer
};
[[nodiscard]] Task<void> forward(Forward context, net::Exchange& exchange, std::string first);

}  // namespace agentrouter::egress
