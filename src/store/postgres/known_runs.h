#pragma once
// What a writer knows of runs without asking again. It has its turn, so nobody else changes them before its
// commit: the next number of an event is known without a round trip, and many events move the counter of
// their run once.

#include <unordered_map>

#include "model/run.h"
#include "store/postgres/session.h"

namespace agentrouter::store::postgres {

struct KnownRun {
  std::int64_t n = 0;
  std::int64_t month = 0;  // of its events' partition
  model::Seq last_event_seq = 0;
  model::RunStatus status = model::RunStatus::queued;
};

class KnownRuns {
 public:
  // Null when nothing is known.
  [[nodiscard]] KnownRun* find(const model::RunId& id) {
    const auto found = runs_.find(id);
    return found == runs_.end() ? nullptr : &found->second;
  }
  KnownRun& put(const model::RunId& id, const KnownRun& run) {
    return runs_.insert_or_assign(id, run).first->second;
  }
  void forget(const model::RunId& id) { runs_.erase(id); }
  // For a transaction that begins, and a savepoint that was undone.
  void forget_all() {
    runs_.clear();
    moved_.clear();
  }
  void moved(const KnownRun& run) { moved_.insert_or_assign(run.n, run.last_event_seq); }
  // Sends the counters that were moved.
  void flush(Session& session);

 private:
  std::unordered_map<model::RunId, KnownRun> runs_;
  std::unordered_map<std::int64_t, model::Seq> moved_;
};

}  // namespace agentrouter::store::postgres
