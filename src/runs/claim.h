#pragma once
// Who works on a run: attempts, their leases, and the fence. A token grows with every lease of a run; whoever
// holds an older one may not write. Every use case of a worker takes a Fence and checks it in its
// transaction.
//
// Whether a lease has run out is judged by steady clocks, so that no jump of a wall clock loses one: its holder
// renews it long before, and somebody else takes it only after having seen it stand still for as long as it
// holds. A lease that has run out and that nobody took is renewed like any other.

#include "runs/context.h"
#include "runs/placement.h"
#include "store/store.h"

namespace agentrouter::runs {

struct Lease {
  std::string worker_id;
  std::chrono::milliseconds duration{30'000};
  std::string host = {};  // store::Attempt::host of the attempts that it begins
};

struct Fence {
  model::AttemptId attempt;
  std::int64_t token = 0;
};

struct Claim {
  model::Run run;
  store::Attempt attempt;
  [[nodiscard]] Fence fence() const { return {attempt.id, attempt.token}; }
};

// The attempt, when the fence holds its newest token and it is the newest of its run.
//
// Errors: not_found (attempt_not_found), conflict (lease_lost).
[[nodiscard]] base::Result<store::Attempt> check_fence(store::Reader& reader, const Fence& fence);

// Takes the next queued run that `rules` let this worker take: it becomes starting with startedAt, gets attempt 1 and
// the event run.claimed {workerId}. Nothing when there is none.
[[nodiscard]] std::optional<Claim> claim_run(store::Transaction& tx, const Lease& lease, Context context,
                                             const ClaimRules& rules = {});

// A heartbeat. Errors: those of check_fence.
[[nodiscard]] base::Result<store::Attempt> renew_lease(store::Transaction& tx, const Fence& fence,
                                                       std::chrono::milliseconds duration, Context context);

// A lease as somebody else saw it.
struct LeaseSeen {
  std::int64_t token = 0;
  std::int64_t beats = 0;
  auto operator<=>(const LeaseSeen&) const = default;
};
[[nodiscard]] LeaseSeen seen(const store::Attempt& attempt);

// Gives an open attempt to another worker, or to the same one after a restart, with a higher token. The caller
// knows that the holder is gone (it owns the lock of the data folder), or has seen the lease stand still for its
// whole time: then it says what it saw.
//
// Errors: not_found (attempt_not_found), conflict (attempt_closed; lease_held: it was renewed since).
[[nodiscard]] base::Result<Claim> take_over(store::Transaction& tx, const model::AttemptId& attempt,
                                            const Lease& lease, std::optional<LeaseSeen> stood_still,
                                            Context context);

// A keeper may be there from now on. Errors: those of check_fence.
[[nodiscard]] base::Result<void> note_launch(store::Transaction& tx, const Fence& fence);
// Whether an attempt that nobody can look at has certainly done nothing: it never had a keeper, or its launch
// waits for a person whose decision nobody but the lease's holder could have delivered.
[[nodiscard]] bool did_nothing(store::Reader& reader, const store::Attempt& attempt);

// Begins the next attempt of a run whose attempt `lost` ended without an exit and is safe to repeat: voids
// its pending approvals, appends run.attempt_started {attempt, reason}. The lost attempt stays open until
// retire_attempt().
//
// Errors: those of check_fence; conflict with reason run_not_active (the run has ended, is being closed or
// cancelled: close it instead).
[[nodiscard]] base::Result<Claim> start_next_attempt(store::Transaction& tx, const Fence& lost,
                                                     const Lease& lease, std::string_view reason,
                                                     Context context);

// Its sandbox and folder are gone, or nobody here can reach them: the attempt is not open any more and its slot
// is free. Also of an attempt that has a successor.
//
// Errors: not_found (attempt_not_found), conflict (lease_lost).
[[nodiscard]] base::Result<void> retire_attempt(store::Transaction& tx, const Fence& fence);

}  // namespace agentrouter::runs
