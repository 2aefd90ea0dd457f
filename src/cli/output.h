#pragma once
// Where a command writes: what was asked for goes to `out`, everything around it to `err`, so that `out` can
// be piped. Whether one of them is a terminal is decided once, by whoever makes this.

#include <ostream>
#include <string>
#include <string_view>

namespace agentrouter::cli {

struct Output {
  std::ostream& out;
  std::ostream& err;
  bool out_terminal = false;
  bool err_terminal = false;
  bool colour = false;  // on `err`; on `out` only when it is a terminal too
  bool utf8 = false;
  std::size_t columns = 80;
};

enum class Tone { plain, bold, dim, good, bad, warning };

// `text` in that tone on a terminal that wants colours. `text` must be printable.
[[nodiscard]] inline std::string toned(bool colour, Tone tone, std::string_view text) {
  constexpr std::string_view codes[] = {"", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[33m"};
  if (!colour || tone == Tone::plain) return std::string(text);
  return std::string(codes[static_cast<int>(tone)]) + std::string(text) + "\x1b[0m";
}

}  // namespace agentrouter::cli
