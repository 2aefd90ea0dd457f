#pragma once
// The Anthropic half of the simulated provider: POST /v1/messages, POST /v1/messages/count_tokens and
// GET /v1/models as that provider answers it.

#include "sim/memory.h"
#include "sim/reply.h"

namespace agentrouter::sim {

// 400 in the provider's shape when the body is no such request.
[[nodiscard]] Reply answer_messages(const Call& call, Memory& memory);

[[nodiscard]] Reply answer_count_tokens(const Call& call);

[[nodiscard]] Reply answer_claude_models();

}  // namespace agentrouter::sim
