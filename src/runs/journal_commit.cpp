#include "runs/journal_commit.h"

#include "runs/actions.h"
#include "runs/approvals.h"
#include "runs/outbox.h"
#include "runs/payloads.h"
#include "runs/standing_rules.h"

namespace agentrouter::runs {

namespace {

constexpr std::size_t longest_title = 120;

base::Error gap(std::int64_t offset) {
  base::Error error{base::Code::conflict, "the store has the journal up to byte " + std::to_string(offset),
                    "journal_gap"};
  json::object details;
  details["offset"] = offset;
  error.details = base::to_text(details);
  return error;
}

bool is_decided(const store::Approval& approval) {
  return approval.state == store::ApprovalState::approved || approval.state == store::ApprovalState::denied;
}

void tell(store::Transaction& tx, const model::Run& run, const store::Approval& approval) {
  json::object about{{"actionId", approval.action_id.str()},
                     {"actionDigest", approval.action_digest},
                     {"requestId", approval.request_id}};
  if (approval.expires_at) about["expiresAt"] = base::to_iso(*approval.expires_at);
  if (const auto action = tx.action(run.id, approval.action_id)) {
    about["name"] = action->name;
    about["title"] = title_of(action->target, longest_title);
  }
  notify(tx, {.type = "approval.requested",
              .run = run.id,
              .key = approval.request_id,
              .at = approval.requested_at,
              .about = std::move(about)});
}

void ask(store::Transaction& tx, const model::Run& run, const Question& question, Context context) {
  const auto now = context.clock.now();
  if (auto known = tx.approval(run.id, question.action_id);
      known && known->action_digest == question.action_digest && is_decided(*known)) {
    known->delivered = false;
    tx.put_approval(*known);
    return;
  }
  store::Approval approval;
  approval.run_id = run.id;
  approval.action_id = question.action_id;
  approval.action_digest = question.action_digest;
  approval.args_digest = question.args_digest;
  approval.request_id = question.request_id;
  approval.requested_event_id = question.requested_event_id;
  approval.requested_at = now;
  if (run.approval_timeout) approval.expires_at = now + *run.approval_timeout;
  tx.put_approval(approval);
  if (!decide_by_rule(tx, run, approval, context)) tell(tx, run, approval);
}

void answer(store::Transaction& tx, const model::RunId& run, const Answer& given, Context context) {
  auto approval = tx.approval(run, given.action_id);
  if (!approval) return;  // an action that nobody had to be asked about
  if (given.kind == Answer::Kind::refused && approval->state == store::ApprovalState::pending) {
    settle_approval(tx, run, given.action_id, store::ApprovalState::withdrawn, given.reason, context);
    return;
  }
  approval->delivered = true;
  tx.put_approval(*approval);
}

void note_running(store::Transaction& tx, model::Run& run, const JournalBatch& batch, base::Time now) {
  if (run.status != model::RunStatus::starting) return;
  const bool started = std::any_of(batch.events.begin(), batch.events.end(),
                                   [](const auto& event) { return event.type == "execution.started"; });
  if (!started) return;
  run.status = model::RunStatus::running;
  tx.update_run(run);
  notify(tx, {.type = "run.started", .run = run.id, .key = "started", .at = now});
}

}  // namespace

base::Result<std::int64_t> commit_journal(store::Transaction& tx, const Fence& fence,
                                          const JournalBatch& batch, Context context) {
  AGENTROUTER_TRY(auto attempt, check_fence(tx, fence));
  if (attempt.journal_offset >= batch.to_offset) return attempt.journal_offset;
  if (attempt.journal_offset != batch.from_offset) return tl::unexpected(gap(attempt.journal_offset));
  auto run = tx.run(attempt.run_id);
  AGENTROUTER_CHECK(run.has_value());
  if (model::is_terminal(run->status) || !attempt.closing.empty())
    return tl::unexpected(run_not_active(run->id));
  for (const auto& artifact : batch.artifacts) tx.put_artifact(artifact);
  for (const auto& event : batch.events) append_event(tx, run->id, event);
  for (const auto& question : batch.questions) ask(tx, *run, question, context);
  for (const auto& given : batch.answers) answer(tx, run->id, given, context);
  for (const auto& spent : batch.spendings) spend(tx, run->id, spent, context.clock.now());
  note_running(tx, *run, batch, context.clock.now());
  attempt.journal_offset = batch.to_offset;
  tx.update_attempt(attempt);
  return attempt.journal_offset;
}

}  // namespace agentrouter::runs
