#include "store/postgres/known_runs.h"

namespace agentrouter::store::postgres {

void KnownRuns::flush(Session& session) {
  static constexpr Statement move{"move_counter", "UPDATE runs SET last_event_seq = $2 WHERE n = $1"};
  if (moved_.empty()) return;
  for (const auto& [run, sequence] : moved_) session.send(move, run, sequence);
  moved_.clear();
}

}  // namespace agentrouter::store::postgres
