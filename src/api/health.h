#pragma once
// What a server without an API answers: its health, to anybody, and that there is nothing else.

#include "base/id.h"
#include "net/exchange.h"

namespace agentrouter::api {

class Health final : public net::Handler {
 public:
  explicit Health(base::Entropy& entropy) : entropy_(entropy) {}
  base::Task<void> handle(net::Exchange& exchange) override;

 private:
  base::Entropy& entropy_;
};

}  // namespace agentrouter::api
