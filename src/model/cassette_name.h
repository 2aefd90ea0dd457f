#pragma once
// What the cassettes of runs are called (docs/replay.md): the tag of a run, and for a later turn of its
// conversation the tag and "+turn2" and so on, which no tag is.

#include <string>
#include <string_view>

namespace agentrouter::model {

inline constexpr std::string_view cassette_tag = "cassette";
inline constexpr std::size_t cassette_name_bytes = 100;
inline constexpr std::string_view cassette_name_pattern = "/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/";

// 1 to 100 letters, digits, ".", "_" and "-", not with "." first: what the tag may be.
[[nodiscard]] bool is_cassette_name(std::string_view name);

[[nodiscard]] std::string cassette_of_turn(const std::string& name, int turn);
// True of a tag and of what cassette_of_turn() makes of it.
[[nodiscard]] bool is_cassette(std::string_view name);

}  // namespace agentrouter::model
