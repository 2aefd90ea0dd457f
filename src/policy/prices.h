#pragma once
// What models cost, as the operator says it. A model is found by its name, else by the longest pattern that
// ends in "*" and begins it.

#include <map>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "policy/money.h"

namespace agentrouter::policy {

inline constexpr std::int64_t pico_per_usd_million = 1'000'000;  // one dollar for a million tokens

struct Price {
  PicoUsd input = 0;
  PicoUsd cached_input = 0;
  PicoUsd cache_write = 0;  // of input that the provider keeps for later requests
  PicoUsd output = 0;
  std::int64_t max_output_tokens = 0;  // that one answer can have
};

class PriceTable {
 public:
  // Replaces what the same name had.
  void put(const std::string& name, const Price& price) { prices_[name] = price; }
  [[nodiscard]] const Price* find(std::string_view model) const;
  [[nodiscard]] bool empty() const { return prices_.empty(); }
  [[nodiscard]] const std::map<std::string, Price>& all() const { return prices_; }

  [[nodiscard]] json::object to_json() const;
  // Errors: invalid.
  [[nodiscard]] static base::Result<PriceTable> from_json(const json::object& object);

 private:
  std::map<std::string, Price> prices_;
};

}  // namespace agentrouter::policy
