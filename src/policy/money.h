#pragma once
// Money as whole numbers: billionths of a US dollar. Prices are finer: trillionths of a dollar for one token,
// which is what "USD for a million tokens" gives with six places. Sums stop at the largest number instead of
// going round.

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace agentrouter::policy {

using NanoUsd = std::int64_t;
using PicoUsd = std::int64_t;

inline constexpr std::int64_t unbounded = std::numeric_limits<std::int64_t>::max();
inline constexpr NanoUsd nano_per_usd = 1'000'000'000;
inline constexpr NanoUsd most_usd = 1'000'000 * nano_per_usd;

[[nodiscard]] std::int64_t add_saturated(std::int64_t a, std::int64_t b);
// `count` at a price for each, rounded up.
[[nodiscard]] NanoUsd price_of(std::int64_t count, PicoUsd each);

// "1.25" and 1.25 as so many parts of a whole; nothing for what is negative, no number, finer than the parts
// or over a million.
[[nodiscard]] std::optional<std::int64_t> parse_parts(std::string_view text, std::int64_t parts);
[[nodiscard]] std::optional<std::int64_t> parts_of(double value, std::int64_t parts);

// For documents and people: dollars.
[[nodiscard]] double usd_of(NanoUsd amount);
[[nodiscard]] std::string usd_text(NanoUsd amount);  // "0.0123", "12"

}  // namespace agentrouter::policy
