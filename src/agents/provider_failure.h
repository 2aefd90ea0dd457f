#pragma once
// What a provider's refusal means, in the words of `failure.cause`.

#include <cstdint>
#include <string_view>

namespace agentrouter::agents {

[[nodiscard]] std::string_view cause_of_status(std::int64_t http_status);

}  // namespace agentrouter::agents
