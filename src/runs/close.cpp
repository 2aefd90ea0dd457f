#include "runs/close.h"

#include "runs/actions.h"
#include "runs/approvals.h"
#include "runs/archive.h"
#include "runs/budgets.h"
#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

std::optional<model::RunFailure> read_failure(const json::object& object) {
  const auto* failure = base::get_object(object, "failure");
  if (failure == nullptr) return std::nullopt;
  const auto text = [&](std::string_view key) {
    return std::string(base::get_string(*failure, key).value_or(""));
  };
  return model::RunFailure{text("code"), text("reason"), text("cause")};
}

// What the run ends as. Whoever asked for the end gets it; a failure always has a code.
Closing decide_end(const model::Run& run, const Ending& ending) {
  Closing closing;
  closing.status = run.status == model::RunStatus::cancelling ? model::RunStatus::cancelled : ending.status;
  if (closing.status == model::RunStatus::failed) {
    closing.failure = ending.failure.value_or(model::RunFailure{"worker_failed", "the run failed", ""});
  }
  return closing;
}

void keep_checkpoint(store::Transaction& tx, const model::Run& run, store::Checkpoint checkpoint,
                     base::Time now) {
  checkpoint.run_id = run.id;
  checkpoint.conversation_id = run.conversation_id;
  checkpoint.turn_number = run.turn_number;
  checkpoint.created_at = now;
  tx.put_checkpoint(checkpoint);
  json::object payload;
  payload["checkpointId"] = "checkpoint_" + base::uuid_from_text(run.id.str() + "/checkpoint");
  payload["bytes"] = checkpoint.size_bytes;
  payload["sha256"] = checkpoint.sha256;
  payload["turnNumber"] = checkpoint.turn_number;
  append_event(tx, run.id,
               make_event("checkpoint.created", model::EventSource::worker, model::Visibility::internal,
                          payload, now));
}

// The tail, with the checkpoint before the sandbox's end.
void append_tail(store::Transaction& tx, const model::Run& run, const Ending& ending, base::Time now) {
  bool kept = !ending.checkpoint;
  for (const auto& event : ending.tail) {
    if (!kept && event.type == "sandbox.destroyed") {
      keep_checkpoint(tx, run, *ending.checkpoint, event.created_at);
      kept = true;
    }
    append_event(tx, run.id, event);
  }
  if (!kept) keep_checkpoint(tx, run, *ending.checkpoint, now);
}

}  // namespace

std::string Closing::to_json_text() const {
  json::object object;
  object["status"] = to_string(status);
  if (failure) object["failure"] = failure->to_json();
  object["terminalSeq"] = terminal_seq;
  object["terminal"] = base::value_or_throw(base::parse_json(terminal.to_json_text()));
  return base::to_text(object);
}

base::Result<Closing> Closing::from_json_text(std::string_view text) {
  AGENTROUTER_TRY(const auto value, base::parse_json(text));
  const auto* object = value.if_object();
  const auto status =
      object ? model::parse_run_status(base::get_string(*object, "status").value_or("")) : std::nullopt;
  const auto sequence = object ? base::get_int(*object, "terminalSeq") : std::nullopt;
  const auto* terminal = object ? base::get_object(*object, "terminal") : nullptr;
  if (!status || !sequence || terminal == nullptr) {
    return base::fail(base::Code::corrupt, "the stored closing of an attempt is incomplete", "store_corrupt");
  }
  Closing closing;
  closing.status = *status;
  closing.failure = read_failure(*object);
  closing.terminal_seq = *sequence;
  AGENTROUTER_TRY(closing.terminal, model::EventDraft::from_json_text(base::to_text(*terminal)));
  return closing;
}

base::Result<Closing> begin_close(store::Transaction& tx, const Fence& fence, const Ending& ending,
                                  Context context) {
  AGENTROUTER_TRY(auto attempt, check_fence(tx, fence));
  if (!attempt.closing.empty()) return Closing::from_json_text(attempt.closing);
  auto run = tx.run(attempt.run_id);
  AGENTROUTER_CHECK(run.has_value());
  if (model::is_terminal(run->status)) return tl::unexpected(run_not_active(run->id));
  const bool lost = ending.failure && ending.failure->code == "attempt_lost";
  void_approvals(tx, run->id, lost ? "attempt_lost" : "run_ended", context);
  note_used(tx, run->id, ending.used);
  release_allowance(tx, run->id);
  for (const auto& artifact : ending.artifacts) tx.put_artifact(artifact);
  append_tail(tx, *run, ending, context.clock.now());
  auto closing = decide_end(*run, ending);
  closing.terminal = terminal_event(closing.status, closing.failure, ending.exit_code, context.clock.now());
  closing.terminal_seq = tx.run(run->id)->last_event_seq + 1;
  attempt.closing = closing.to_json_text();
  tx.update_attempt(attempt);
  return closing;
}

base::Result<Closing> fail_run(store::Transaction& tx, const Fence& fence, model::RunFailure failure,
                               Context context) {
  Ending ending;
  ending.failure = std::move(failure);
  return begin_close(tx, fence, ending, context);
}

base::Result<model::Run> finish_close(store::Transaction& tx, const Fence& fence, const Archived& archived,
                                      Context context, const ConversationRules& rules) {
  AGENTROUTER_TRY(const auto attempt, check_fence(tx, fence));
  auto run = tx.run(attempt.run_id);
  AGENTROUTER_CHECK(run.has_value());
  if (model::is_terminal(run->status)) return std::move(*run);
  if (attempt.closing.empty()) {
    return base::fail(base::Code::conflict, "the closing of run " + run->id.str() + " was not begun",
                      "close_not_begun");
  }
  AGENTROUTER_TRY(const auto closing, Closing::from_json_text(attempt.closing));
  const auto event = append_event(tx, run->id, closing.terminal);
  // The archive already says so.
  AGENTROUTER_CHECK(event.sequence == closing.terminal_seq);
  tx.put_artifact(archive_artifact(run->id, "session_events", closing, archived.events));
  tx.put_artifact(archive_artifact(run->id, "session_manifest", closing, archived.manifest));
  apply_end(*run, closing.status, closing.failure, closing.terminal.created_at);
  tx.update_run(*run);
  end_turn(tx, *run, rules, context.clock.now());
  run->last_event_seq = event.sequence;
  return std::move(*run);
}

base::Result<model::Run> fail_queued_run(store::Transaction& tx, const model::RunId& id,
                                         model::RunFailure failure, Context context,
                                         const ConversationRules& rules) {
  auto run = tx.run(id);
  if (!run) return tl::unexpected(run_not_found(id));
  if (run->status != model::RunStatus::queued) {
    return base::fail(base::Code::conflict, "run " + id.str() + " is not queued", "run_not_queued");
  }
  const auto now = context.clock.now();
  const auto event = append_event(tx, id, terminal_event(model::RunStatus::failed, failure, std::nullopt, now));
  apply_end(*run, model::RunStatus::failed, failure, now);
  tx.update_run(*run);
  end_turn(tx, *run, rules, now);
  run->last_event_seq = event.sequence;
  return std::move(*run);
}

}  // namespace agentrouter::runs
