#pragma once
// A request to an upstream that nobody in the sandbox asked for: the keeper's own. Internal to egress.

#include <memory>
#include <string>

#include "egress/egress.h"
#include "egress/forward.h"
#include "net/client.h"

namespace agentrouter::egress {

// Errors: those of net::connect_tcp and net::connect_tls.
[[nodiscard]] Task<Result<std::unique_ptr<net::Stream>>> connect_to(const net::Url& base,
                                                                    const net::TlsContext* tls,
                                                                    base::Deadline deadline,
                                                                    net::Reach reach = net::Reach::anywhere);

struct OwnRequest {
  const Config& config;
  const Upstream& upstream;
  const Credential& credential;
  RequestRecord& record;  // counts what leaves and comes back
};
// One JSON document to `path` ("/v1/messages"), and the whole answer. Everything passed outlives the task.
//
// Errors: those of connecting, writing and reading; exhausted (over 1 MiB); denied (the answer holds the
// key).
[[nodiscard]] Task<Result<Answer>> send_own(OwnRequest context, std::string path, std::string body,
                                            base::Deadline deadline);

}  // namespace agentrouter::egress
