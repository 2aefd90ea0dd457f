#pragma once
// Two outputs are the same result when they differ only in what every run of a program says anew: times,
// durations, process ids, addresses, names of temporary files. Counters are no noise: one that moves is
// progress.

#include <cstdint>
#include <string>
#include <string_view>

namespace agentrouter::policy {

// `output` with each such piece replaced by a mark, colours taken off, and of a line that was written over
// only what was left of it. Long outputs: their begin and end. Takes time linear in its length.
[[nodiscard]] std::string without_noise(std::string_view output);

// What an output says went wrong: the first and the last line that names an error, and how many do. Lines of
// tools that only pass on the failure of another are left out. Empty when nothing names one.
struct ErrorSignature {
  std::uint64_t digest = 0;  // 0: no error is named
  std::string line;          // the last one, for people
};
// `output` is without noise.
[[nodiscard]] ErrorSignature error_of(std::string_view output);

// The first eight bytes of the SHA-256.
[[nodiscard]] std::uint64_t short_digest(std::string_view text);

}  // namespace agentrouter::policy
