#include "runs/payloads.h"

#include "model/action.h"

namespace agentrouter::runs {

model::EventDraft make_event(std::string_view type, model::EventSource source, model::Visibility visibility,
                             const json::object& payload, base::Time created_at) {
  model::EventDraft draft;
  draft.type = std::string(type);
  draft.source = source;
  draft.visibility = visibility;
  draft.payload = base::to_text(payload);
  draft.created_at = created_at;
  return draft;
}

json::object answer_payload(const store::Approval& approval, std::string_view actor, Context context) {
  json::object payload;
  payload["eventId"] = model::new_event_id(context.entropy);
  payload["priorEventId"] = approval.requested_event_id;
  payload["actionId"] = approval.action_id.str();
  payload["actionDigest"] = approval.action_digest;
  payload["argsDigest"] = approval.args_digest;
  payload["actor"] = actor;
  if (!approval.request_id.empty()) payload["requestId"] = approval.request_id;
  return payload;
}

model::EventDraft terminal_event(model::RunStatus status, const std::optional<model::RunFailure>& failure,
                                 std::optional<int> exit_code, base::Time created_at) {
  json::object payload;
  std::string type = "run.completed";
  if (status == model::RunStatus::failed) {
    type = "run.failed";
    if (failure) payload = failure->to_json();
    if (exit_code) payload["exitCode"] = *exit_code;
  } else {
    if (status == model::RunStatus::cancelled) type = "run.cancelled";
    payload["message"] = to_string(status);
  }
  return make_event(type, model::EventSource::worker, model::Visibility::open, payload, created_at);
}

void apply_end(model::Run& run, model::RunStatus status, const std::optional<model::RunFailure>& failure,
               base::Time at) {
  run.status = status;
  run.completed_at = at;
  run.failure = status == model::RunStatus::failed ? failure : std::nullopt;
  run.session_id = model::SessionId("sess_" + base::uuid_from_text(run.conversation_id.str()));
}

base::Error conflict(std::string message, std::string reason) {
  return {base::Code::conflict, std::move(message), std::move(reason)};
}

base::Error run_not_found(const model::RunId& id) {
  return {base::Code::not_found, "there is no run " + id.str(), "run_not_found"};
}

base::Error run_deleted(const model::RunId& id) {
  return {base::Code::not_found, "run " + id.str() + ", which was made with this Idempotency-Key, was deleted",
          "run_deleted"};
}

base::Error run_not_active(const model::RunId& id) {
  return {base::Code::conflict, "run " + id.str() + " is not active any more", "run_not_active"};
}

}  // namespace agentrouter::runs
