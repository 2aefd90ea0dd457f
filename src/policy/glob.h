#pragma once
// Patterns of policies: `*`, `?`, and of paths `**`. No character classes, no braces.

#include <string>
#include <string_view>

namespace agentrouter::policy {

// Texts: `*` is any run of characters, `?` is one byte.
[[nodiscard]] bool matches_text(std::string_view pattern, std::string_view text);

// Paths: `*` and `?` stay within a name, `**` crosses folders; "a/**" is also "a" itself, "**/a" also "a".
[[nodiscard]] bool matches_path(std::string_view pattern, std::string_view path);

// Whether some text that begins with `prefix` could match.
[[nodiscard]] bool could_match_text(std::string_view pattern, std::string_view prefix);

// `path` without `.`, `..`, empty names and trailing slashes, relative to `cwd` unless it is absolute.
// Relative when it is within /workspace ("." for the folder itself), else absolute. Links are not followed.
[[nodiscard]] std::string normal_path(std::string_view path, std::string_view cwd);
// A normal path with /workspace before it, if it is relative.
[[nodiscard]] std::string normal_absolute(std::string_view normal);

}  // namespace agentrouter::policy
