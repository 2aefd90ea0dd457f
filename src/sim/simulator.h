#pragma once
// The simulated model provider: one HTTP request in, one answer out, so that the real agent CLIs run whole,
// repeatable runs without a key and without a network. The task of a run is its script (`script.h`).

#include <string>
#include <string_view>

#include "sim/memory.h"
#include "sim/reply.h"

namespace agentrouter::sim {

// Not safe from two threads at once. Use one per attempt, so that a `sim: error` fires once per attempt.
class Simulator {
 public:
  // With a key, a request must carry it as `authorization: Bearer <key>` or as `x-api-key: <key>`; else it is
  // answered 401.
  explicit Simulator(std::string require_key = {}) : require_key_(std::move(require_key)) {}

  // POST /v1/responses and POST /v1/messages (streamed, or one JSON document without `"stream": true`),
  // POST /v1/messages/count_tokens, GET /v1/models, and HEAD of any path, with which Claude Code looks
  // whether somebody is there.
  //
  // Every request has an answer, in the shape of the provider whose path or fields it uses: 400 for a body
  // that is no such request, 401, 404 for any other path, 405 for another method, 426 for a websocket
  // upgrade. Never throws on bad input.
  [[nodiscard]] Reply handle(const Call& call);

 private:
  [[nodiscard]] bool is_authorized(const Call& call) const;
  [[nodiscard]] Reply dispatch(const Call& call, std::string_view path);

  std::string require_key_;
  Memory memory_;
};

}  // namespace agentrouter::sim
