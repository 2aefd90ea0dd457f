#include "runs/conversations.h"

#include "base/hash.h"
#include "base/utf8.h"
#include "runs/begin.h"
#include "runs/cancel.h"
#include "runs/heir.h"
#include "runs/idempotency.h"
#include "runs/options.h"
#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

using store::ConversationState;

base::Error looser(const char* what, std::string_view inherited) {
  const auto message =
      std::string(what) + " may only be tightened: this conversation has " + std::string(inherited);
  json::object issue;
  issue["code"] = "custom";
  issue["path"] = json::array{what};
  issue["message"] = message;
  json::object details;
  details["issues"] = json::array{std::move(issue)};
  return {base::Code::invalid, message, "validation_error", base::to_text(details)};
}

base::Result<model::ApprovalMode> mode_of_turn(const model::Run& before, const ContinueRequest& request,
                                               const ConversationRules& rules) {
  const auto inherited = rules.published_turn2 ? model::ApprovalMode::automatic : before.approval_mode;
  const auto wanted = request.approval_mode.value_or(inherited);
  if (is_tighter(inherited, wanted)) return tl::unexpected(looser("approvalMode", to_string(inherited)));
  return wanted;
}

base::Result<void> check_scope(const model::Run& before, const ContinueRequest& request) {
  const auto inherited = options_of(before.input).scope;
  if (inherited == model::ApprovalScope::action && request.scope == model::ApprovalScope::run)
    return tl::unexpected(looser("approvalScope", to_string(inherited)));
  return {};
}

model::Run next_turn(const model::Run& before, const store::Conversation& conversation,
                     const ContinueRequest& request, Context context) {
  auto run = heir_of(before, request.message, context);
  run.turn_number = std::max(before.turn_number, conversation.last_turn) + 1;
  run.conversation_id = conversation.id;
  run.session_id = conversation.session_id;
  return run;
}

KeyedUse keyed_use(const ContinueRequest& request) {
  if (request.idempotency_key.empty()) return {};
  json::object body;
  body["message"] = request.message;
  if (request.approval_mode) body["approvalMode"] = to_string(*request.approval_mode);
  if (request.scope) body["approvalScope"] = to_string(*request.scope);
  if (!request.limits.empty()) body["limits"] = request.limits.to_json();
  return {"POST /v1/runs/" + request.run.str() + "/messages", request.idempotency_key,
          base::Sha256::hex_of(base::to_canonical(body))};
}

// The newest turn, when another may follow it.
base::Result<model::Run> turn_to_continue(store::Reader& reader, const model::Run& named,
                                          const store::Conversation& conversation, base::Time now) {
  if (is_review(named.runtime))
    return tl::unexpected(conflict("a review cannot be continued", "run_not_continuable"));
  if (is_over(conversation, now)) {
    return tl::unexpected(conflict("conversation " + conversation.id.str() + " is closed", "session_closed"));
  }
  auto before = reader.latest_turn(conversation.id);
  AGENTROUTER_CHECK(before.has_value());
  if (!model::is_terminal(before->status)) {
    return tl::unexpected(
        conflict("conversation " + conversation.id.str() + " has an active turn", "run_busy"));
  }
  return std::move(*before);
}

base::Result<store::Conversation> reclaimable(store::Reader& reader, const model::RunId& id, base::Time now) {
  auto conversation = reader.conversation(id);
  if (!conversation) {
    return base::fail(base::Code::not_found, "there is no conversation " + id.str(),
                      "conversation_not_found");
  }
  if (conversation->expires_at <= now) return std::move(*conversation);
  return base::fail(base::Code::conflict, "conversation " + id.str() + " is in use", "conversation_in_use");
}

}  // namespace

store::Conversation conversation_of(store::Reader& reader, const model::Run& run) {
  auto conversation = reader.conversation(run.conversation_id);
  if (!conversation) {
    base::throw_failure(base::Code::corrupt, "the conversation of run " + run.id.str() + " is missing",
                        "store_corrupt");
  }
  return std::move(*conversation);
}

bool is_over(const store::Conversation& conversation, base::Time now) {
  return conversation.state == ConversationState::closed || conversation.reclaimed ||
         conversation.expires_at <= now;
}

bool is_review(const model::Runtime& runtime) {
  return runtime.kind == model::RuntimeKind::codex && runtime.mode == "auto_review";
}

void end_turn(store::Transaction& tx, const model::Run& run, const ConversationRules& rules, base::Time now) {
  auto conversation = conversation_of(tx, run);
  conversation.session_id = run.session_id;
  const bool closed = conversation.state == ConversationState::closed;
  const auto kept = run.turn_number == 1 ? rules.one_shot_grace : rules.idle_ttl;
  conversation.expires_at = closed ? now : now + kept;
  tx.put_conversation(conversation);
}

base::Result<Continued> continue_run(store::Transaction& tx, const ContinueRequest& request, Context context,
                                     const ConversationRules& rules, const SpendingRules& spending,
                                     const QueueRules& queue) {
  const auto use = keyed_use(request);
  AGENTROUTER_TRY(const auto earlier, earlier_use(tx, use, context));
  if (earlier) {
    if (auto run = tx.run(earlier->run_id)) return Continued{std::move(*run), true};
    return tl::unexpected(run_deleted(earlier->run_id));
  }
  const auto named = tx.run(request.run);
  if (!named) return tl::unexpected(run_not_found(request.run));
  auto conversation = conversation_of(tx, *named);
  AGENTROUTER_TRY(const auto before, turn_to_continue(tx, *named, conversation, context.clock.now()));
  AGENTROUTER_TRY(const auto mode, mode_of_turn(before, request, rules));
  if (auto checked = check_scope(before, request); !checked) return tl::unexpected(checked.error());
  auto run = next_turn(before, conversation, request, context);
  if (request.scope) set_scope(run, *request.scope);
  run.approval_mode = mode;
  if (auto admitted = admit_spending(tx, run, request.limits, request.api_key, spending, context, &before);
      !admitted)
    return tl::unexpected(admitted.error());
  AGENTROUTER_TRY(const auto place, admit_queued(tx, run, request.api_key, queue));
  begin_run(tx, run, request.api_key, place);
  conversation.expires_at = store::never;
  tx.put_conversation(conversation);
  remember_use(tx, use, run.id, 0, context);
  return Continued{std::move(run), false};
}

std::string Turns::to_wire() const {
  json::array all;
  for (const auto& turn : items) {
    json::object item;
    item["id"] = turn.id;
    item["runId"] = turn.run_id.str();
    item["turnNumber"] = turn.turn_number;
    item["prompt"] = turn.prompt;
    item["createdAt"] = base::to_iso(turn.created_at);
    all.push_back(std::move(item));
  }
  json::object result;
  result["conversationId"] = conversation_id.str();
  result["items"] = std::move(all);
  return base::to_text(result);
}

base::Result<Turns> turns(store::Reader& reader, const model::RunId& id) {
  const auto named = reader.run(id);
  if (!named) return tl::unexpected(run_not_found(id));
  const bool has_session = conversation_of(reader, *named).session_id.has_value();
  Turns result{named->conversation_id, {}};
  for (auto& run : reader.turns(named->conversation_id)) {
    auto prompt = has_session ? std::move(run.task) : std::string(base::cut_utf16(run.task, 500));
    result.items.push_back({has_session ? run.turn_id : run.id.str(), run.id, run.turn_number,
                            std::move(prompt), run.queued_at});
  }
  return result;
}

std::string ClosedConversation::to_wire() const {
  json::object result;
  result["closed"] = true;
  result["conversationId"] = conversation_id.str();
  result["reclaimed"] = reclaimed;
  return base::to_text(result);
}

base::Result<ClosedConversation> close_conversation(store::Transaction& tx, const model::RunId& id,
                                                    Context context) {
  const auto named = tx.run(id);
  if (!named) return tl::unexpected(run_not_found(id));
  auto conversation = conversation_of(tx, *named);
  const ClosedConversation result{conversation.id, conversation.session_id.has_value()};
  if (const auto latest = tx.latest_turn(conversation.id)) {
    AGENTROUTER_TRY(std::ignore, cancel_run(tx, latest->id, context));
  }
  if (conversation.state == ConversationState::closed) return result;
  conversation.state = ConversationState::closed;
  conversation.closed_at = context.clock.now();
  // An active turn ends first: end_turn sets the time then.
  if (conversation.expires_at != store::never) conversation.expires_at = *conversation.closed_at;
  tx.put_conversation(conversation);
  return result;
}

base::Result<std::vector<store::Checkpoint>> begin_reclaim(store::Transaction& tx, const model::RunId& id,
                                                           Context context) {
  const auto now = context.clock.now();
  AGENTROUTER_TRY(auto conversation, reclaimable(tx, id, now));
  if (conversation.state == ConversationState::open) {
    conversation.state = ConversationState::closed;
    conversation.closed_at = now;
    tx.put_conversation(conversation);
  }
  std::vector<store::Checkpoint> doomed;
  for (auto& checkpoint : tx.checkpoints(id)) {
    if (tx.is_shared(checkpoint)) {
      tx.delete_checkpoint(id, checkpoint.turn_number);
      continue;
    }
    checkpoint.doomed = true;
    tx.put_checkpoint(checkpoint);
    doomed.push_back(std::move(checkpoint));
  }
  return doomed;
}

base::Result<void> reclaim(store::Transaction& tx, const model::RunId& id, Context context) {
  AGENTROUTER_TRY(auto conversation, reclaimable(tx, id, context.clock.now()));
  for (const auto& checkpoint : tx.checkpoints(id)) tx.delete_checkpoint(id, checkpoint.turn_number);
  if (!tx.latest_turn(id)) {
    tx.delete_conversation(id);
    return {};
  }
  conversation.state = ConversationState::closed;
  if (!conversation.closed_at) conversation.closed_at = context.clock.now();
  conversation.reclaimed = true;
  tx.put_conversation(conversation);
  return {};
}

}  // namespace agentrouter::runs
