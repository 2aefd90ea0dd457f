// RunRecord as clients see it.

#include "runs/options.h"
#include "runs/record.h"

namespace agentrouter::runs {

namespace {

json::value attempt_json(const std::optional<store::Attempt>& attempt) {
  if (!attempt) return nullptr;
  return json::object{{"id", attempt->id.str()},
                      {"number", attempt->number},
                      {"workerId", attempt->worker_id},
                      {"startedAt", base::to_iso(attempt->created_at)}};
}

json::value policy_json(const store::ActionRecord& action) {
  if (action.policy_seq == 0) return nullptr;
  json::object policy{{"decision", action.policy_decision},
                      {"reason", action.policy_reason},
                      {"sequence", action.policy_seq}};
  if (!action.policy_id.empty()) policy["policyId"] = action.policy_id;
  if (!action.policy_version.empty()) policy["policyVersion"] = action.policy_version;
  if (!action.policy_rule.empty()) policy["ruleId"] = action.policy_rule;
  return policy;
}

json::value approval_json(const store::ActionRecord& action) {
  if (action.requested_seq == 0) return nullptr;
  json::object approval{{"state", action.approval}, {"requestedSequence", action.requested_seq}};
  if (action.settled_seq != 0) approval["settledSequence"] = action.settled_seq;
  if (!action.approval_reason.empty()) approval["reason"] = action.approval_reason;
  if (!action.decided_by.empty()) approval["decidedBy"] = action.decided_by;
  return approval;
}

json::value execution_json(const store::ActionRecord& action) {
  if (action.started_seq == 0 && action.ended_seq == 0) return nullptr;
  json::object execution{{"status", action.execution}, {"startedSequence", action.started_seq}};
  if (action.ended_seq != 0) execution["endedSequence"] = action.ended_seq;
  if (action.exit_code) execution["exitCode"] = *action.exit_code;
  if (!action.execution_reason.empty()) execution["reason"] = action.execution_reason;
  if (action.duration_ms) execution["durationMs"] = *action.duration_ms;
  return execution;
}

json::object action_json(const store::ActionRecord& action) {
  return {{"actionId", action.action_id.str()},
          {"actionDigest", action.action_digest},
          {"argsDigest", action.args_digest},
          {"name", action.name},
          {"target", action.target},
          {"proposedSequence", action.proposed_seq},
          {"policy", policy_json(action)},
          {"approval", approval_json(action)},
          {"execution", execution_json(action)}};
}

json::object pending_json(const store::Approval& approval) {
  json::object pending{{"actionId", approval.action_id.str()},
                       {"actionDigest", approval.action_digest},
                       {"requestId", approval.request_id}};
  if (approval.expires_at) pending["expiresAt"] = base::to_iso(*approval.expires_at);
  return pending;
}

json::value patch_json(const std::optional<PatchSummary>& patch) {
  if (!patch) return nullptr;
  return json::object{{"artifactId", patch->artifact.artifact_id.str()},
                      {"r2Key", patch->artifact.r2_key},
                      {"bytes", patch->bytes},
                      {"fileCount", patch->file_count}};
}

json::object conversation_json(const RunRecord& record) {
  const auto& row = record.conversation;
  json::object conversation{{"id", row.id.str()},
                            {"sessionId", nullptr},
                            {"state", record.conversation_state},
                            {"turnNumber", record.run.turn_number},
                            {"turns", record.turns},
                            {"reclaimed", row.reclaimed}};
  if (row.session_id) conversation["sessionId"] = row.session_id->str();
  if (row.expires_at != store::never) conversation["expiresAt"] = base::to_iso(row.expires_at);
  if (row.closed_at) conversation["closedAt"] = base::to_iso(*row.closed_at);
  if (record.forked_from) conversation["forkedFrom"] = record.forked_from->to_json();
  return conversation;
}

template <class Items, class ToJson>
std::string list(const Items& items, ToJson to_json) {
  json::array all;
  for (const auto& item : items) all.push_back(to_json(item));
  return base::to_text(all);
}

json::object limits_json(const model::Run& run, const std::optional<store::RunSpending>& spending) {
  json::object limits = options_of(run.input).limits.to_json();
  if (spending && !spending->used.empty()) {
    auto used = base::parse_json(spending->used);
    if (used && used->is_object()) limits["used"] = std::move(*used);
  }
  if (run.approval_timeout) limits["approvalTimeoutSeconds"] = run.approval_timeout->count();
  return limits;
}

json::object placement_json(const Unplaceable& unplaceable) {
  json::object missing;
  for (const auto& [name, value] : unplaceable.missing) missing[name] = value;
  return {{"state", "unplaceable"}, {"missing", std::move(missing)}, {"workers", unplaceable.workers}};
}

}  // namespace

std::string RunRecord::to_wire() const {
  std::string out = "{\"run\":" + run.to_wire();
  const auto add = [&](std::string_view name, const std::string& text) {
    out.append(",\"").append(name).append("\":").append(text);
  };
  add("runtime", base::to_text(run.runtime.to_json()));
  add("state", base::to_text(json::value(to_string(run.status))));
  add("phase", base::to_text(json::value(phase.name)));
  if (waiting)
    add("waiting",
        base::to_text(json::object{{"reason", waiting->reason}, {"resumesAt", waiting->resumes_at}}));
  if (unplaceable) add("placement", base::to_text(placement_json(*unplaceable)));
  add("approvalMode", base::to_text(json::value(to_string(run.approval_mode))));
  add("approvalScope", base::to_text(json::value(to_string(options_of(run.input).scope))));
  add("workspace", base::to_text(run.workspace.to_json()));
  add("attempt", base::to_text(attempt_json(attempt)));
  add("isolation", isolation.empty() ? "null" : base::to_text(json::value(isolation)));
  add("usage", usage);
  add("limits", base::to_text(limits_json(run, spending)));
  add("actions", list(actions, action_json));
  add("hasOlderActions", has_older_actions ? "true" : "false");
  add("pendingApprovals", list(pending, pending_json));
  add("patch", base::to_text(patch_json(patch)));
  std::string items;
  for (const auto& artifact : artifacts) {
    if (!items.empty()) items += ",";
    items += artifact.to_wire();
  }
  add("artifacts", "{\"items\":[" + items + "]}");
  add("eventCursor", base::to_text(json::object{{"lastEventSeq", run.last_event_seq}}));
  add("conversation", base::to_text(conversation_json(*this)));
  add("compat", base::to_text(json::object{{"publishedTurn2", published_turn2}}));
  add("operations", list(operations, [](const std::string& name) { return json::value(name); }));
  return out + "}";
}

}  // namespace agentrouter::runs
