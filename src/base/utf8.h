#pragma once
// UTF-8 as strict as RFC 3629: no overlong forms, no surrogates.

#include <cstdint>
#include <string>
#include <string_view>

namespace agentrouter::base {

[[nodiscard]] bool is_utf8(std::string_view text);

// The code point at `position` of valid UTF-8; moves `position` behind it. 0xfffd for a broken byte.
char32_t decode_utf8(std::string_view text, std::size_t& position);

// Replaces each broken byte by U+FFFD.
[[nodiscard]] std::string to_utf8(std::string_view bytes);

// The longest prefix of at most `max_bytes` that does not cut a character.
[[nodiscard]] std::string_view cut_utf8(std::string_view text, std::size_t max_bytes);

// Length in UTF-16 code units, as JavaScript counts.
[[nodiscard]] std::size_t utf16_length(std::string_view text);
// The first `units` UTF-16 code units; a surrogate pair that would be cut is left out.
[[nodiscard]] std::string_view cut_utf16(std::string_view text, std::size_t units);

// JavaScript's String.prototype.trim: white space and line ends of Unicode, no-break space, BOM.
[[nodiscard]] std::string_view trim_js(std::string_view text);

}  // namespace agentrouter::base
