#pragma once
// The OpenAI half of the simulated provider: POST /v1/responses and GET /v1/models.

#include "sim/memory.h"
#include "sim/reply.h"

namespace agentrouter::sim {

// 400 in the provider's shape when the body is no such request.
[[nodiscard]] Reply answer_responses(const Call& call, Memory& memory);

[[nodiscard]] Reply answer_models();

}  // namespace agentrouter::sim
