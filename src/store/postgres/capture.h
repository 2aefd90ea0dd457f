#pragma once
// What the closures of one commit have done that listeners, here and on other nodes, must be told once it is
// durable.

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/event.h"
#include "model/run.h"
#include "store/listeners.h"

namespace agentrouter::store::postgres {

struct Capture {
  std::vector<model::Event> events;  // in the order of their appending
  std::vector<RunChange> changes;
  bool outbox_changed = false;
  std::vector<std::string> note_kinds;  // as they came, some more than once

  // How much there is, and forgetting what came after: for a closure that is undone.
  struct Mark {
    std::size_t events = 0;
    std::size_t changes = 0;
    bool outbox_changed = false;
    std::size_t note_kinds = 0;
  };
  [[nodiscard]] Mark mark() const {
    return {events.size(), changes.size(), outbox_changed, note_kinds.size()};
  }
  void forget_after(const Mark& mark) {
    events.resize(mark.events);
    changes.erase(changes.begin() + static_cast<std::ptrdiff_t>(mark.changes), changes.end());
    outbox_changed = mark.outbox_changed;
    note_kinds.resize(mark.note_kinds);
  }
  [[nodiscard]] bool empty() const {
    return events.empty() && changes.empty() && !outbox_changed && note_kinds.empty();
  }
  // Each once.
  [[nodiscard]] std::set<std::string> kinds_of_notes() const {
    return {note_kinds.begin(), note_kinds.end()};
  }
};

}  // namespace agentrouter::store::postgres
