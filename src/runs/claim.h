#pragma once
// Who works on a run: attempts, their leases, and the fence. A token grows with every lease of a run; whoever
// holds an older one may not write. Every use case of a worker takes a Fence and checks it in its
// transaction.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

struct Lease {
  std::string worker_id;
  std::chrono::milliseconds duration{30'000};
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

// The attempt, when the fence holds its newest token.
//
// Errors: not_found (attempt_not_found), conflict (lease_lost).
[[nodiscard]] base::Result<store::Attempt> check_fence(store::Reader& reader, const Fence& fence);

// Takes the next queued run: it becomes starting with startedAt, gets attempt 1 and the event run.claimed
// {workerId}. Nothing when no run is queued.
[[nodiscard]] std::optional<Claim> claim_run(store::Transaction& tx, const Lease& lease, Context context);

// Errors: those of check_fence.
[[nodiscard]] base::Result<store::Attempt> renew_lease(store::Transaction& tx, const Fence& fence,
                                                       std::chrono::milliseconds duration, Context context);

enum class TakeOver {
  when_expired,    // only when the lease has run out
  holder_is_gone,  // the caller knows that the holder is dead (it owns the data directory's lock)
};
// Gives an open attempt to another worker, or to the same one after a restart, with a higher token.
//
// Errors: not_found (attempt_not_found), conflict (attempt_closed, lease_held).
[[nodiscard]] base::Result<Claim> take_over(store::Transaction& tx, const model::AttemptId& attempt,
                                            const Lease& lease, TakeOver how, Context context);

// Begins the next attempt of a run whose attempt `lost` ended without an exit and is safe to repeat: voids
// its pending approvals, appends run.attempt_started {attempt, reason}. The lost attempt stays open until
// retire_attempt().
//
// Errors: those of check_fence; conflict with reason run_not_active (the run has ended, is being closed or
// cancelled: close it instead).
[[nodiscard]] base::Result<Claim> start_next_attempt(store::Transaction& tx, const Fence& lost,
                                                     const Lease& lease, std::string_view reason,
                                                     Context context);

// Its sandbox and folder are gone: the attempt is not open any more and its slot is free.
//
// Errors: those of check_fence.
[[nodiscard]] base::Result<void> retire_attempt(store::Transaction& tx, const Fence& fence);

}  // namespace agentrouter::runs
