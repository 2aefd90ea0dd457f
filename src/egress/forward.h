#pragma once
// One request on its way to an upstream and its answer on the way back, piece by piece. Internal to egress.

#include <memory>
#include <string>
#include <string_view>

#include "egress/egress.h"
#include "egress/key_filter.h"
#include "net/client.h"
#include "net/exchange.h"

namespace agentrouter::egress {

// An upstream with what is made of its key once: the line that goes into every head, and the search pattern.
class Credential {
 public:
  enum class Scheme { bearer, api_key };
  // `key` outlives it. Throws Failure(unavailable) as SecretBuffer.
  Credential(Scheme scheme, const Secret& key);

  // "authorization: Bearer ...\r\n\r\n": the end of a request head.
  [[nodiscard]] std::string_view head_end() const { return line_.view(); }
  [[nodiscard]] const KeyFilter& filter() const { return filter_; }

 private:
  SecretBuffer line_;
  KeyFilter filter_;
};

// Answers `exchange`, whose body has been read as far as `first`. Fills `record`; once it says `forwarded`,
// bytes may have left. Everything passed outlives the task.
struct Forward {
  const Config& config;
  const Upstream& upstream;
  const Credential& credential;
  RequestRecord& record;
  std::uint64_t& total_bytes;
};
[[nodiscard]] Task<void> forward(Forward context, net::Exchange& exchange, std::string first);

}  // namespace agentrouter::egress
