#pragma once
// Runs are deleted, one by one or by rules of age and size. In the transaction that deletes it a run is gone for
// every reader; what it has left, events, records and bytes, is removed behind it, piece by piece, as often
// as it takes (worker/retention.h). What others stand on stays: a checkpoint that a fork shares, the newest
// state of a conversation that can be continued, the entries of the audit chain.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

struct Deletion {
  enum class Why { asked, retention };
  model::RunId run;
  Why why = Why::asked;
  std::string by = {};  // the name of the key that asks
};

// Adds run.deleted to the audit chain and tells webhooks. A conversation that has no other turn is closed; else
// its other turns can be read, continued and forked as before, and the number of this one is not given again.
//
// Errors: not_found (run_not_found); conflict (run_not_ended: it is active, or its sandbox is being removed,
// then with details {retryAfterSeconds}).
[[nodiscard]] base::Result<void> delete_run(store::Transaction& tx, const Deletion& deletion, Context context);

// The state that a deleted run left and that nothing stands on: its bytes are to be removed, then its record.
[[nodiscard]] std::optional<store::Checkpoint> doomed_state(store::Reader& reader, const store::DeletedRun& run);

// What ended runs may take in all; what is over it is deleted, whatever ended first before everything else.
struct RetentionRules {
  std::optional<std::chrono::seconds> max_age = {};  // since its end
  std::optional<std::int64_t> max_runs = {};         // that have ended
  std::optional<std::int64_t> max_bytes = {};        // of the database and of all artifacts
  [[nodiscard]] bool any() const { return max_age || max_runs || max_bytes; }
};

struct Overdue {
  std::vector<model::RunId> runs;               // at most so many as were asked for
  std::optional<base::Time> next_look = {};     // when the next one comes of age
};
// Never a run that has the tag `keep`, nor one of a conversation that is not over yet.
[[nodiscard]] Overdue overdue_runs(store::Reader& reader, const RetentionRules& rules, base::Time now, int limit);

}  // namespace agentrouter::runs
