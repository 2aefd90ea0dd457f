#pragma once
// Text of strangers, made fit for a terminal. What an agent, a repository or a server wrote may hold escape
// sequences that move the cursor, retitle the window, or hide and reorder what stands there: none of it
// survives these functions. Everything that the client prints from outside goes through one of them.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace agentrouter::cli {

// Valid UTF-8 without escape sequences, control characters (line ends and tabs stay) and characters that
// change the direction of writing or have no form of their own.
[[nodiscard]] std::string printable(std::string_view text);
// The same as one line: runs of white space become one blank, none at the ends.
[[nodiscard]] std::string one_line(std::string_view text);

// Columns that printable text takes up on a terminal: 0 for combining characters, 2 for wide ones.
[[nodiscard]] std::size_t width(std::string_view text);
// Cuts printable text to `columns`, with "..." in the place of what is missing.
[[nodiscard]] std::string fit(std::string_view text, std::size_t columns);
[[nodiscard]] std::string padded(std::string_view text, std::size_t columns);

// Rows with aligned columns, two blanks between them; the last column is ragged. Cells must be printable.
[[nodiscard]] std::string table(const std::vector<std::vector<std::string>>& rows);

[[nodiscard]] std::string human_size(std::int64_t bytes);                      // "17 B", "1.2 KiB"
[[nodiscard]] std::string human_duration(std::chrono::milliseconds duration);  // "0.4 s", "2 min 05 s"

}  // namespace agentrouter::cli
