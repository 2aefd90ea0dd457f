#include "runs/decide.h"

#include "base/hash.h"
#include "runs/actions.h"
#include "runs/options.h"
#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

using store::ApprovalState;

base::Error digest_mismatch(const store::Approval& approval, const DecisionRequest& request) {
  auto error = conflict("the action is another one than was asked about", "action_digest_mismatch");
  json::object details;
  details["expected"] = approval.action_digest;
  details["received"] = request.action_digest;
  error.details = base::to_text(details);
  return error;
}

// A later decision, its opposite, or a cancel cannot be answered by an agent any more.
bool takes_decisions(store::Reader& reader, const model::Run& run) {
  if (model::is_terminal(run.status) || run.status == model::RunStatus::cancelling) return false;
  const auto attempt = reader.latest_attempt(run.id);
  return !attempt || attempt->closing.empty();
}

base::Result<model::Event> repeated(store::Reader& reader, const store::Approval& approval,
                                    const DecisionRequest& request) {
  if (to_string(approval.state) != to_string(request.decision)) {
    return tl::unexpected(conflict("the action was already " + std::string(to_string(approval.state)),
                                   "approval_already_decided"));
  }
  auto event = reader.event(request.run, approval.decided_seq);
  if (!event) base::throw_failure(base::Code::corrupt, "a decision's event is missing", "store_corrupt");
  return *event;
}

// The published protocol does not say who decided.
bool tells_who(const model::Run& run) {
  return options_of(run.input).scope == model::ApprovalScope::action;
}

model::Event append_decision(store::Transaction& tx, const model::Run& run, const store::Approval& approval,
                             const DecisionRequest& request, Context context) {
  auto payload = answer_payload(approval, "human", context);
  payload["decisionId"] = "decision_" + base::new_uuid(context.entropy);
  payload["decision"] = to_string(request.decision);
  if (!request.reason.empty()) payload["reason"] = request.reason;
  if (request.updated_input) payload["updatedInput"] = *request.updated_input;
  const bool by_rule = !request.standing_rule.empty();
  if (by_rule) payload["ruleId"] = request.standing_rule;
  if (!request.decided_by.empty() && (by_rule || tells_who(run))) payload["decidedBy"] = request.decided_by;
  if (request.decision == Decision::denied) payload["terminalState"] = "denied";
  return append_event(tx, request.run,
                      make_event("approval.decided", model::EventSource::api, model::Visibility::open,
                                 payload, context.clock.now()),
                      request.decided_by);
}

base::Result<store::Approval> requested(store::Reader& reader, const DecisionRequest& request) {
  auto approval = reader.approval(request.run, request.action);
  if (!approval) {
    return tl::unexpected(conflict("no approval was requested for this action", "approval_not_requested"));
  }
  if (approval->action_digest.empty() || approval->args_digest.empty() ||
      approval->requested_event_id.empty()) {
    return tl::unexpected(conflict("the approval request is incomplete", "invalid_action_event"));
  }
  if (approval->action_digest != request.action_digest)
    return tl::unexpected(digest_mismatch(*approval, request));
  return std::move(*approval);
}

// Only some agents have a place for it, and only in a tool call.
bool takes_input(store::Reader& reader, const model::Run& run, const store::Approval& approval) {
  const auto action = reader.action(run.id, approval.action_id);
  const bool launch =
      !action || action->name.ends_with(".launch") || action->name.ends_with(".continue");
  return run.runtime.kind == model::RuntimeKind::claude_code && tells_who(run) && !launch;
}

base::Error no_other_input() {
  return {base::Code::invalid, "\"updatedInput\" is not supported by this action: the agent takes no other input",
          "unsupported_option", R"({"option":"updatedInput"})"};
}

base::Error not_pending(const store::Approval& approval) {
  return conflict("the approval is " + std::string(to_string(approval.state)), "approval_not_pending");
}

base::Result<model::Event> decide(store::Transaction& tx, const model::Run& run,
                                  const DecisionRequest& request, Context context) {
  AGENTROUTER_TRY(auto approval, requested(tx, request));
  if (approval.state == ApprovalState::approved || approval.state == ApprovalState::denied) {
    return repeated(tx, approval, request);
  }
  if (approval.state == ApprovalState::expired || approval.state == ApprovalState::withdrawn)
    return tl::unexpected(not_pending(approval));
  if (!takes_decisions(tx, run)) return tl::unexpected(run_not_active(run.id));
  if (request.updated_input && !takes_input(tx, run, approval)) return tl::unexpected(no_other_input());
  if (approval.state != ApprovalState::pending) return tl::unexpected(not_pending(approval));
  auto event = append_decision(tx, run, approval, request, context);
  const bool approved = request.decision == Decision::approved;
  approval.state = approved ? ApprovalState::approved : ApprovalState::denied;
  approval.reason = request.reason;
  approval.decided_by = request.decided_by;
  approval.decided_seq = event.sequence;
  tx.put_approval(approval);
  return event;
}

KeyedUse keyed_use(const DecisionRequest& request) {
  if (request.idempotency_key.empty()) return {};
  json::object body;
  body["actionDigest"] = request.action_digest;
  if (!request.reason.empty()) body["reason"] = request.reason;
  if (request.updated_input) body["updatedInput"] = *request.updated_input;
  return {"POST /v1/runs/" + request.run.str() + "/actions/" + request.action.str() +
              (request.decision == Decision::approved ? "/approve" : "/deny"),
          request.idempotency_key, base::Sha256::hex_of(base::to_canonical(body))};
}

}  // namespace

std::string_view to_string(Decision decision) {
  return decision == Decision::approved ? "approved" : "denied";
}

base::Result<Decided> decide_action(store::Transaction& tx, const DecisionRequest& request, Context context) {
  const auto use = keyed_use(request);
  AGENTROUTER_TRY(const auto earlier, earlier_use(tx, use, context));
  if (earlier) {
    if (auto event = tx.event(earlier->run_id, earlier->event_seq)) return Decided{std::move(*event), true};
  }
  const auto run = tx.run(request.run);
  if (!run) return tl::unexpected(run_not_found(request.run));
  AGENTROUTER_TRY(auto event, decide(tx, *run, request, context));
  remember_use(tx, use, run->id, event.sequence, context);
  return Decided{std::move(event), false};
}

}  // namespace agentrouter::runs
