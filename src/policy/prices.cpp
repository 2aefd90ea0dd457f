#include "policy/prices.h"

namespace agentrouter::policy {

const Price* PriceTable::find(std::string_view model) const {
  const Price* best = nullptr;
  std::size_t length = 0;
  for (const auto& [name, price] : prices_) {
    if (name == model) return &price;
    if (!name.ends_with('*')) continue;
    const auto begin = std::string_view(name).substr(0, name.size() - 1);
    if (!model.starts_with(begin) || (best != nullptr && begin.size() < length)) continue;
    best = &price;
    length = begin.size();
  }
  return best;
}

json::object PriceTable::to_json() const {
  json::object all;
  for (const auto& [name, price] : prices_) {
    all[name] = json::object{{"input", price.input},
                             {"cachedInput", price.cached_input},
                             {"cacheWrite", price.cache_write},
                             {"output", price.output},
                             {"maxOutputTokens", price.max_output_tokens}};
  }
  return all;
}

base::Result<PriceTable> PriceTable::from_json(const json::object& object) {
  PriceTable table;
  for (const auto& member : object) {
    const auto* one = member.value().if_object();
    Price price;
    for (const auto& [key, place] :
         {std::pair("input", &price.input), std::pair("cachedInput", &price.cached_input),
          std::pair("cacheWrite", &price.cache_write), std::pair("output", &price.output),
          std::pair("maxOutputTokens", &price.max_output_tokens)}) {
      const auto value = one != nullptr ? base::get_int(*one, key) : std::nullopt;
      if (!value || *value < 0)
        return base::fail(base::Code::invalid, "cannot read prices: no valid " + std::string(key));
      *place = *value;
    }
    table.put(std::string(member.key()), price);
  }
  return table;
}

}  // namespace agentrouter::policy
