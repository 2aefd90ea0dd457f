#include "worker/lease_watch.h"

#include <algorithm>

namespace agentrouter::worker {

std::vector<store::Attempt> LeaseWatch::look(const std::vector<store::Attempt>& open, base::Deadline now) {
  std::map<model::AttemptId, Entry> entries;
  std::vector<store::Attempt> stood_still;
  for (const auto& attempt : open) {
    const auto known = entries_.find(attempt.id);
    const bool moved = known == entries_.end() || known->second.lease != runs::seen(attempt);
    auto since = moved ? now : known->second.since;
    if (now >= since + lease_) {
      stood_still.push_back(attempt);
      since = now;
    }
    entries.emplace(attempt.id, Entry{runs::seen(attempt), since});
  }
  entries_ = std::move(entries);
  return stood_still;
}

base::Deadline LeaseWatch::next() const {
  auto next = base::Deadline::max();
  for (const auto& [id, entry] : entries_) next = std::min<base::Deadline>(next, entry.since + lease_);
  return next;
}

}  // namespace agentrouter::worker
