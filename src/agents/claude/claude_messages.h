#pragma once
// What we say to `claude -p --input-format stream-json`: one JSON message per line. The ids of our requests
// are fixed, since one session asks for each thing once.

#include <string>
#include <string_view>

#include "agents/session.h"

namespace agentrouter::agents::claude {

inline constexpr std::string_view initialize_id = "agentrouter-1";
inline constexpr std::string_view interrupt_id = "agentrouter-2";

[[nodiscard]] std::string initialize_request();
// The task. One that begins with "/" gets a line end before it, which keeps the CLI from taking it for a
// command of its own.
[[nodiscard]] std::string user_message(const TurnSpec& spec);
[[nodiscard]] std::string interrupt_request();

// Answers to can_use_tool. `input` is what was asked about, and nothing else will run. The agent reads
// `reason`.
[[nodiscard]] std::string allowed(std::string_view request_id, const json::value& input);
[[nodiscard]] std::string denied(std::string_view request_id, std::string_view reason = {});
// To a request that we do not know.
[[nodiscard]] std::string refused(std::string_view request_id);

}  // namespace agentrouter::agents::claude
