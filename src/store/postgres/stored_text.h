#pragma once
// Texts as PostgreSQL can hold them: it takes neither NUL nor bytes that are not UTF-8, which SQLite does,
// and which a task or what a program printed may have. Such bytes are kept as U+0001 and two hex digits,
// U+0001 itself as well; every other text, and so nearly every one, is kept as it is.

#include <string>
#include <string_view>

namespace agentrouter::store::postgres {

[[nodiscard]] std::string to_stored(std::string_view text);
// What to_stored() was given.
[[nodiscard]] std::string from_stored(std::string_view stored);

}  // namespace agentrouter::store::postgres
