#pragma once
// The sandbox's way to the hosts that the run's policy lets it reach, for as long as its turns go on. Judged
// by the rules as they are at that moment, also when they became stricter meanwhile.

#include <memory>

#include "base/clock.h"
#include "egress/outbound.h"
#include "keeper/plan.h"
#include "keeper/ports.h"

namespace agentrouter::keeper {

class WayOut {
 public:
  // All outlive it.
  struct Needs {
    base::Executor executor;
    Sandbox& sandbox;
    const AttemptPlan& plan;  // whose rules may change
    const EgressSecrets& secrets;
    const net::TlsContext* tls = nullptr;
    const base::Clock& clock;
    egress::RequestGate& gate;
    egress::Observer& observer;
  };
  explicit WayOut(Needs needs) : needs_(std::move(needs)) {}

  // Serves what the sandbox has listeners for; nothing where it has none. Errors: unavailable.
  base::Result<void> open();
  // Everything that had begun is reported when it resumes.
  base::Task<void> close();

  void hold();
  void release();
  [[nodiscard]] std::size_t open_connections() const { return outbound_ ? outbound_->open() : 0; }

 private:
  [[nodiscard]] egress::OutboundConfig config();

  Needs needs_;
  std::unique_ptr<egress::Outbound> outbound_;
};

}  // namespace agentrouter::keeper
