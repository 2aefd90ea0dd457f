#pragma once
// What one request to a model provider uses: estimated before it leaves, counted while the answer comes, and
// settled from the provider's report as far as that can be believed.

#include "policy/prices.h"

namespace agentrouter::policy {

struct Amount {
  std::int64_t tokens = 0;
  NanoUsd cost = 0;
  auto operator<=>(const Amount&) const = default;
};
[[nodiscard]] Amount operator+(const Amount& a, const Amount& b);
[[nodiscard]] Amount operator-(const Amount& a, const Amount& b);

// What can be told of a request without its provider.
struct RequestSize {
  std::int64_t bytes = 0;       // of the body
  std::int64_t text_bytes = 0;  // of its texts, without pictures and what is encrypted
  std::int64_t images = 0;
};
// Tokens of input: a quarter of the bytes of text, and a fixed number for each picture.
[[nodiscard]] std::int64_t estimated_input(const RequestSize& size);
// No tokenizer gives more: a token for each byte.
[[nodiscard]] std::int64_t most_input(const RequestSize& size);

// Tokens of output by the bytes of its text: what to expect, and what is certain.
[[nodiscard]] std::int64_t estimated_output(std::int64_t text_bytes);
[[nodiscard]] std::int64_t least_output(std::int64_t text_bytes);

// A provider's own words, brought into one shape. What it does not say is missing.
struct UsageReport {
  std::optional<std::int64_t> input = {};         // all of it
  std::optional<std::int64_t> cached_input = {};  // of `input`, read from its cache
  std::optional<std::int64_t> cache_write = {};   // of `input`, put into its cache
  std::optional<std::int64_t> output = {};
};

struct Used {
  std::int64_t input = 0;
  std::int64_t cached_input = 0;
  std::int64_t cache_write = 0;
  std::int64_t output = 0;
  [[nodiscard]] std::int64_t tokens() const { return add_saturated(input, output); }
};

enum class Belief {
  reported,   // the provider's numbers
  corrected,  // some of them were below or beyond what is possible
  counted,    // it said nothing: our own count
};
[[nodiscard]] std::string_view to_string(Belief belief);

struct Settlement {
  Used used;
  Belief belief = Belief::reported;
};

// `answer_text_bytes` of what came back; `most_output`: what its maximum allows, unbounded when nobody knows.
//
// A report below what is certain is raised to it, one beyond what is possible is cut to that, a missing one
// is replaced by the estimate. So nothing is below zero, and a provider that reports little, nothing, late or
// nonsense costs no more than one answer can.
[[nodiscard]] Settlement settle_usage(const UsageReport& report, const RequestSize& request,
                                      std::int64_t answer_text_bytes, std::int64_t most_output);

// Rounded up. Without a price 0.
[[nodiscard]] NanoUsd cost_of(const Used& used, const Price* price);
[[nodiscard]] Amount amount_of(const Used& used, const Price* price);

}  // namespace agentrouter::policy
