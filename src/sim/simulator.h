#pragma once
// The simulated model provider: one HTTP request in, one answer out, so that the real agent CLIs run whole,
// repeatable runs without a key and without a network. The task of a run is its script (`script.h`).

#include <string>

#include "sim/memory.h"
#include "sim/reply.h"

namespace agentrouter::sim {

// Not safe from two threads at once. Use one per attempt, so that a `sim: error` fires once per attempt.
class Simulator {
 public:
  // With a key, a request must carry it as `authorization: Bearer <key>`; else it is answered 401.
  explicit Simulator(std::string require_key = {}) : require_key_(std::move(require_key)) {}

  // POST /v1/responses (streamed, or one JSON document without `"stream": true`) and GET /v1/models.
  //
  // Every request has an answer, in the provider's own shape: 400 for a body that is no such request, 401,
  // 404 for any other path, 405 for another method, 426 for a websocket upgrade. Never throws on bad input.
  [[nodiscard]] Reply handle(const Call& call);

 private:
  [[nodiscard]] bool is_authorized(const Call& call) const;

  std::string require_key_;
  Memory memory_;
};

}  // namespace agentrouter::sim
