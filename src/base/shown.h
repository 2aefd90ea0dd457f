#pragma once
// Messages that others have a part in (a remote's words, an agent's), on their way to people.

#include <string>
#include <string_view>

namespace agentrouter::base {

inline constexpr std::size_t shown_bytes = 4096;

// `message` in UTF-8, without what hide_in_logs() was told, with a blank in the place of each control
// character but tabs and line feeds, and of at most shown_bytes: what is over is left out, "..." behind the
// rest.
[[nodiscard]] std::string shown(std::string_view message);

}  // namespace agentrouter::base
