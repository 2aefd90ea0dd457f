#pragma once
// What we say to `codex app-server`: one JSON-RPC message per line. Request ids are fixed, since one session
// asks for each thing once.

#include <string>
#include <string_view>

#include "agents/session.h"

namespace agentrouter::agents::codex {

inline constexpr std::int64_t initialize_id = 1;
inline constexpr std::int64_t thread_id = 2;
inline constexpr std::int64_t turn_id = 3;
inline constexpr std::int64_t interrupt_id = 4;

[[nodiscard]] std::string initialize_request();
[[nodiscard]] std::string initialized_notification();
// thread/resume when the turn continues a thread. Never with a `sandbox`: that would mark the folder as
// trusted, and a trusted repository's own configuration can switch approvals off.
[[nodiscard]] std::string thread_request(const TurnSpec& spec);
// The sandbox around the agent is ours, so Codex makes none of its own (externalSandbox).
[[nodiscard]] std::string turn_request(const TurnSpec& spec, std::string_view thread);
[[nodiscard]] std::string interrupt_request(std::string_view thread, std::string_view turn);

// Answers to requests of the agent; `id` as it came.
[[nodiscard]] std::string approval_answer(const json::value& id, Answer answer);
[[nodiscard]] std::string elicitation_answer(const json::value& id, Answer answer);
[[nodiscard]] std::string plain_answer(const json::value& id, json::object result);
// -32601
[[nodiscard]] std::string method_refusal(const json::value& id);

}  // namespace agentrouter::agents::codex
