#include "base/shares.h"

namespace agentrouter::base {

std::optional<Shares::Place> Shares::take(std::string_view owner) {
  const auto known = held_.find(owner);
  if ((known == held_.end() ? 0 : known->second) >= free_) return std::nullopt;
  const auto holder = known == held_.end() ? held_.emplace(owner, 0).first : known;
  ++holder->second;
  --free_;
  return Place(*this, holder);
}

void Shares::give_back(Place::Owner owner) {
  ++free_;
  if (--owner->second == 0) held_.erase(owner);
}

}  // namespace agentrouter::base
