#pragma once
// Who is told of commits.

#include <mutex>
#include <set>
#include <string>

#include "store/store.h"

namespace agentrouter::store {

struct RunChange {
  model::RunId run;
  model::RunStatus status;
};

// Safe from any thread. Once remove() has returned, the listener is not and will not be called.
class Listeners {
 public:
  void add(CommitListener* listener);
  void remove(CommitListener* listener);
  // Nothing to tell is told to nobody.
  void tell(std::vector<model::Event> events, const std::vector<RunChange>& changes, bool outbox_changed,
            const std::set<std::string>& note_kinds = {});
  void tell_missed();

 private:
  std::mutex mutex_;
  std::vector<CommitListener*> listeners_;
};

}  // namespace agentrouter::store
