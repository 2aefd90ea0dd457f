#pragma once
// What a server without an API answers: its health, to anybody, and that there is nothing else.

#include "api/problem.h"
#include "base/id.h"
#include "net/exchange.h"
#include "store/store.h"

namespace agentrouter::api {

class Health final : public net::Handler {
 public:
  Health(store::Store& store, base::Entropy& entropy) : store_(store), entropy_(entropy) {}
  // GET /healthz: 200 as long as there is a server. GET /readyz: 503 `unavailable` while the store does not
  // answer.
  base::Task<void> handle(net::Exchange& exchange) override;

 private:
  base::Task<net::Response> answer(const net::Request& request, const Occasion& occasion);

  store::Store& store_;
  base::Entropy& entropy_;
};

}  // namespace agentrouter::api
