#include "runs/claim.h"

#include "runs/actions.h"
#include "runs/approvals.h"
#include "runs/budgets.h"
#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

model::AttemptId attempt_id(const model::RunId& run, int number) {
  return model::AttemptId("attempt_" +
                          base::uuid_from_text(run.str() + "/attempt/" + std::to_string(number)));
}

store::Attempt insert_attempt(store::Transaction& tx, const model::Run& run, std::int64_t token,
                              const Lease& lease, Context context) {
  store::Attempt attempt;
  attempt.id = attempt_id(run.id, run.attempts);
  attempt.run_id = run.id;
  attempt.number = run.attempts;
  attempt.worker_id = lease.worker_id;
  attempt.host = lease.host;
  attempt.token = token;
  attempt.created_at = context.clock.now();
  attempt.lease_until = attempt.created_at + lease.duration;
  attempt.slot = tx.free_slot();
  attempt.lower_path = run.workspace.path;
  tx.insert_attempt(attempt);
  return attempt;
}

// Decisions for a keeper that is gone: nobody will answer them.
void forget_deliveries(store::Transaction& tx, const model::RunId& run) {
  for (auto approval : tx.undelivered_approvals(run)) {
    approval.delivered = true;
    tx.put_approval(approval);
  }
}

base::Error no_attempt(const model::AttemptId& id) {
  return {base::Code::not_found, "there is no attempt " + id.str(), "attempt_not_found"};
}

base::Error lease_lost(const model::AttemptId& id) {
  return {base::Code::conflict, "the lease of attempt " + id.str() + " was lost to another worker", "lease_lost"};
}

base::Result<store::Attempt> held_attempt(store::Reader& reader, const Fence& fence) {
  auto attempt = reader.attempt(fence.attempt);
  if (!attempt) return tl::unexpected(no_attempt(fence.attempt));
  if (attempt->token != fence.token) return tl::unexpected(lease_lost(fence.attempt));
  return std::move(*attempt);
}

}  // namespace

base::Result<store::Attempt> check_fence(store::Reader& reader, const Fence& fence) {
  AGENTROUTER_TRY(auto attempt, held_attempt(reader, fence));
  const auto newest = reader.latest_attempt(attempt.run_id);
  if (!newest || newest->id != attempt.id) return tl::unexpected(lease_lost(fence.attempt));
  return attempt;
}

std::optional<Claim> claim_run(store::Transaction& tx, const Lease& lease, Context context,
                               const ClaimRules& rules) {
  const auto next = tx.queued_runs(1, lanes_to_pass(tx, rules));
  if (next.empty()) return std::nullopt;
  auto run = tx.run(next.front());
  AGENTROUTER_CHECK(run.has_value());
  const auto now = context.clock.now();
  run->status = model::RunStatus::starting;
  run->started_at = now;
  run->attempts += 1;
  tx.update_run(*run);
  auto attempt = insert_attempt(tx, *run, 1, lease, context);
  json::object payload;
  payload["workerId"] = lease.worker_id;
  const auto event = tx.append(run->id, make_event("run.claimed", model::EventSource::worker,
                                                   model::Visibility::internal, payload, now));
  run->last_event_seq = event.sequence;
  return Claim{std::move(*run), std::move(attempt)};
}

base::Result<store::Attempt> renew_lease(store::Transaction& tx, const Fence& fence,
                                         std::chrono::milliseconds duration, Context context) {
  AGENTROUTER_TRY(auto attempt, check_fence(tx, fence));
  attempt.lease_until = context.clock.now() + duration;
  attempt.beats += 1;
  tx.update_attempt(attempt);
  return attempt;
}

LeaseSeen seen(const store::Attempt& attempt) {
  return {attempt.token, attempt.beats};
}

base::Result<Claim> take_over(store::Transaction& tx, const model::AttemptId& id, const Lease& lease,
                              std::optional<LeaseSeen> stood_still, Context context) {
  auto attempt = tx.attempt(id);
  if (!attempt) return tl::unexpected(no_attempt(id));
  if (!attempt->open) {
    return base::fail(base::Code::conflict, "attempt " + id.str() + " is over", "attempt_closed");
  }
  if (stood_still && *stood_still != seen(*attempt)) {
    return base::fail(base::Code::conflict, "attempt " + id.str() + " is held by " + attempt->worker_id,
                      "lease_held");
  }
  attempt->worker_id = lease.worker_id;
  attempt->token += 1;
  attempt->beats += 1;
  attempt->lease_until = context.clock.now() + lease.duration;
  tx.update_attempt(*attempt);
  auto run = tx.run(attempt->run_id);
  AGENTROUTER_CHECK(run.has_value());
  return Claim{std::move(*run), std::move(*attempt)};
}

base::Result<void> note_launch(store::Transaction& tx, const Fence& fence) {
  AGENTROUTER_TRY(auto attempt, check_fence(tx, fence));
  if (attempt.launched) return {};
  attempt.launched = true;
  tx.update_attempt(attempt);
  return {};
}

bool did_nothing(store::Reader& reader, const store::Attempt& attempt) {
  if (!attempt.launched) return true;
  return reader.open_actions(attempt.run_id).empty() && !reader.pending_approvals(attempt.run_id).empty();
}

base::Result<Claim> start_next_attempt(store::Transaction& tx, const Fence& lost, const Lease& lease,
                                       std::string_view reason, Context context) {
  AGENTROUTER_TRY(const auto before, check_fence(tx, lost));
  auto run = tx.run(before.run_id);
  AGENTROUTER_CHECK(run.has_value());
  if (model::is_terminal(run->status) || run->status == model::RunStatus::cancelling || !before.closing.empty()) {
    return tl::unexpected(run_not_active(run->id));
  }
  void_approvals(tx, run->id, reason, context);
  forget_deliveries(tx, run->id);
  release_allowance(tx, run->id);
  run->attempts += 1;
  tx.update_run(*run);
  auto attempt = insert_attempt(tx, *run, before.token + 1, lease, context);
  json::object payload;
  payload["attempt"] = attempt.number;
  payload["reason"] = reason;
  const auto event = tx.append(run->id, make_event("run.attempt_started", model::EventSource::worker,
                                                   model::Visibility::open, payload, attempt.created_at));
  run->last_event_seq = event.sequence;
  return Claim{std::move(*run), std::move(attempt)};
}

base::Result<void> retire_attempt(store::Transaction& tx, const Fence& fence) {
  AGENTROUTER_TRY(auto attempt, held_attempt(tx, fence));
  attempt.open = false;
  tx.update_attempt(attempt);
  return {};
}

}  // namespace agentrouter::runs
