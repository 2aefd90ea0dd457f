#include "store/listeners.h"

namespace agentrouter::store {

void Listeners::add(CommitListener* listener) {
  const std::lock_guard lock(mutex_);
  listeners_.push_back(listener);
}

void Listeners::remove(CommitListener* listener) {
  const std::lock_guard lock(mutex_);
  std::erase(listeners_, listener);
}

void Listeners::tell(std::vector<model::Event> events, const std::vector<RunChange>& changes,
                     bool outbox_changed, const std::set<std::string>& note_kinds) {
  if (events.empty() && changes.empty() && !outbox_changed && note_kinds.empty()) return;
  const auto shared = std::make_shared<const std::vector<model::Event>>(std::move(events));
  const std::lock_guard lock(mutex_);
  for (auto* listener : listeners_) {
    if (!shared->empty()) listener->committed(shared);
    for (const auto& change : changes) listener->run_changed(change.run, change.status);
    if (outbox_changed) listener->outbox_changed();
    for (const auto& kind : note_kinds) listener->notes_changed(kind);
  }
}

void Listeners::tell_missed() {
  const std::lock_guard lock(mutex_);
  for (auto* listener : listeners_) listener->missed();
}

}  // namespace agentrouter::store
