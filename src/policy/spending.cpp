#include "policy/spending.h"

#include <algorithm>

namespace agentrouter::policy {

namespace {

constexpr std::int64_t bytes_per_token = 4;       // to expect
constexpr std::int64_t most_bytes_per_token = 5;  // of a whole request or answer
constexpr std::int64_t tokens_of_image = 1600;
constexpr std::int64_t largest_context = 2'000'000;
constexpr std::int64_t largest_answer = 1'000'000;

std::int64_t rounded_up(std::int64_t count, std::int64_t divisor) {
  return (std::max<std::int64_t>(count, 0) + divisor - 1) / divisor;
}

// Keeps `value` between the two and says when it was not.
std::int64_t held(std::int64_t value, std::int64_t least, std::int64_t most, Belief& belief) {
  const auto fit = std::clamp(value, least, std::max(least, most));
  if (fit != value && belief == Belief::reported) belief = Belief::corrected;
  return fit;
}

}  // namespace

Amount operator+(const Amount& a, const Amount& b) {
  return {add_saturated(a.tokens, b.tokens), add_saturated(a.cost, b.cost)};
}

Amount operator-(const Amount& a, const Amount& b) {
  return {add_saturated(a.tokens, -b.tokens), add_saturated(a.cost, -b.cost)};
}

std::int64_t estimated_input(const RequestSize& size) {
  return rounded_up(size.text_bytes, bytes_per_token) +
         std::max<std::int64_t>(size.images, 0) * tokens_of_image;
}

std::int64_t most_input(const RequestSize& size) {
  return std::max(estimated_input(size), size.bytes);
}

std::int64_t estimated_output(std::int64_t text_bytes) {
  return rounded_up(text_bytes, bytes_per_token);
}

std::int64_t least_output(std::int64_t text_bytes) {
  return std::max<std::int64_t>(text_bytes, 0) / most_bytes_per_token;
}

std::string_view to_string(Belief belief) {
  switch (belief) {
    case Belief::reported:
      return "reported";
    case Belief::corrected:
      return "corrected";
    case Belief::counted:
      break;
  }
  return "counted";
}

Settlement settle_usage(const UsageReport& report, const RequestSize& request, std::int64_t answer_text_bytes,
                        std::int64_t most_output) {
  Settlement result;
  auto& used = result.used;
  auto& belief = result.belief;
  if (!report.input || !report.output) belief = Belief::counted;
  const auto least_input = std::max<std::int64_t>(request.text_bytes, 0) / most_bytes_per_token;
  used.input = held(report.input.value_or(estimated_input(request)), least_input,
                    std::max(most_input(request), largest_context), belief);
  used.output = held(report.output.value_or(estimated_output(answer_text_bytes)),
                     least_output(answer_text_bytes), std::min(most_output, largest_answer), belief);
  used.cached_input = std::clamp<std::int64_t>(report.cached_input.value_or(0), 0, used.input);
  used.cache_write =
      std::clamp<std::int64_t>(report.cache_write.value_or(0), 0, used.input - used.cached_input);
  return result;
}

NanoUsd cost_of(const Used& used, const Price* price) {
  if (price == nullptr) return 0;
  const auto plain = used.input - used.cached_input - used.cache_write;
  auto sum = price_of(plain, price->input);
  sum = add_saturated(sum, price_of(used.cached_input, price->cached_input));
  sum = add_saturated(sum, price_of(used.cache_write, price->cache_write));
  return add_saturated(sum, price_of(used.output, price->output));
}

Amount amount_of(const Used& used, const Price* price) {
  return {used.tokens(), cost_of(used, price)};
}

}  // namespace agentrouter::policy
