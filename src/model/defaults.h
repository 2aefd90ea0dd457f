#pragma once
// The limits that hold unless a configuration says otherwise.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace agentrouter::model::defaults {

using namespace std::chrono_literals;

inline constexpr std::chrono::seconds run_wall_time = 3600s;
inline constexpr std::chrono::milliseconds cancel_grace{1200};
inline constexpr std::chrono::seconds agent_quiet = 120s;  // no question, command or provider stream is open
inline constexpr std::size_t agent_line_bytes = 8u << 20;
inline constexpr std::uint64_t agent_output_bytes = 256ull << 20;
inline constexpr std::size_t event_payload_bytes = 32u << 10;  // beyond: an artifact and a preview
inline constexpr std::size_t event_field_bytes = 8u << 10;
inline constexpr std::size_t response_bytes = 4u << 20;
inline constexpr std::uint64_t journal_bytes = 1ull << 30;
inline constexpr std::size_t task_chars = 120'000;

}  // namespace agentrouter::model::defaults
