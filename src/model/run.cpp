#include "model/run.h"

#include <array>

#include "base/utf8.h"

namespace agentrouter::model {

namespace {

constexpr std::array<std::pair<RunStatus, std::string_view>, 7> status_names{{
    {RunStatus::queued, "queued"},
    {RunStatus::starting, "starting"},
    {RunStatus::running, "running"},
    {RunStatus::cancelling, "cancelling"},
    {RunStatus::completed, "completed"},
    {RunStatus::failed, "failed"},
    {RunStatus::cancelled, "cancelled"},
}};

constexpr std::array<std::pair<ApprovalMode, std::string_view>, 3> approval_names{{
    {ApprovalMode::automatic, "auto"},
    {ApprovalMode::manual, "manual"},
    {ApprovalMode::block, "block"},
}};

}  // namespace

std::string_view to_string(RunStatus status) {
  for (const auto& [value, name] : status_names) {
    if (value == status) return name;
  }
  return "failed";
}

std::optional<RunStatus> parse_run_status(std::string_view text) {
  for (const auto& [value, name] : status_names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

bool is_terminal(RunStatus status) {
  return status == RunStatus::completed || status == RunStatus::failed || status == RunStatus::cancelled;
}

bool can_move(RunStatus from, RunStatus to) {
  if (from == to) return true;
  switch (from) {
    case RunStatus::queued:
      return to == RunStatus::starting || to == RunStatus::cancelling || to == RunStatus::failed;
    case RunStatus::starting:
      return to == RunStatus::running || to == RunStatus::cancelling || to == RunStatus::failed;
    case RunStatus::running:
      return to == RunStatus::completed || to == RunStatus::cancelling || to == RunStatus::failed;
    case RunStatus::cancelling:
      return to == RunStatus::cancelled || to == RunStatus::failed;
    default:
      return false;
  }
}

std::string_view to_string(RuntimeKind kind) {
  return kind == RuntimeKind::codex ? "codex" : "claude_code";
}

json::object Runtime::to_json() const {
  json::object object;
  object["kind"] = to_string(kind);
  object[kind == RuntimeKind::codex ? "mode" : "permissionMode"] = mode;
  if (model) object["model"] = *model;
  return object;
}

Runtime Runtime::from_json(const json::object& object) {
  Runtime runtime;
  runtime.kind =
      base::get_string(object, "kind") == "claude_code" ? RuntimeKind::claude_code : RuntimeKind::codex;
  const auto mode = base::get_string(object, runtime.kind == RuntimeKind::codex ? "mode" : "permissionMode");
  runtime.mode = std::string(mode.value_or("default"));
  if (const auto model = base::get_string(object, "model")) runtime.model = std::string(*model);
  return runtime;
}

std::string_view to_string(ApprovalMode mode) {
  for (const auto& [value, name] : approval_names) {
    if (value == mode) return name;
  }
  return "block";
}

std::optional<ApprovalMode> parse_approval_mode(std::string_view text) {
  for (const auto& [value, name] : approval_names) {
    if (name == text) return value;
  }
  return std::nullopt;
}

std::string_view to_string(ApprovalScope scope) {
  return scope == ApprovalScope::action ? "action" : "run";
}

std::optional<ApprovalScope> parse_approval_scope(std::string_view text) {
  for (const auto scope : {ApprovalScope::run, ApprovalScope::action}) {
    if (to_string(scope) == text) return scope;
  }
  return std::nullopt;
}

bool is_tighter(ApprovalMode mode, ApprovalMode than) {
  return static_cast<int>(mode) > static_cast<int>(than);
}

json::object RunFailure::to_json() const {
  json::object object;
  if (!code.empty()) object["code"] = code;
  if (!reason.empty()) object["reason"] = reason;
  if (!cause.empty()) object["cause"] = cause;
  return object;
}

json::object ForkOrigin::to_json() const {
  return {{"runId", run.str()}, {"conversationId", conversation.str()}, {"turn", turn}};
}

std::string Run::to_wire() const {
  json::object object;
  object["id"] = id.str();
  object["status"] = to_string(status);
  object["runtime"] = runtime.to_json();
  object["task"] = base::cut_utf16(task, 500);
  object["input"] = nullptr;
  object["lastEventSeq"] = last_event_seq;
  if (session_id) {
    object["sessionId"] = session_id->str();
  } else {
    object["sessionId"] = nullptr;
  }
  object["conversationId"] = conversation_id.str();
  object["queuedAt"] = base::to_iso(queued_at);
  if (started_at) object["startedAt"] = base::to_iso(*started_at);
  if (completed_at) object["completedAt"] = base::to_iso(*completed_at);
  if (cancel_requested_at) object["cancelRequestedAt"] = base::to_iso(*cancel_requested_at);
  if (failure) object["failure"] = failure->to_json();
  if (forked_from) object["forkedFrom"] = forked_from->to_json();
  if (workspace_id != default_workspace) object["workspaceId"] = workspace_id;
  if (!tags.empty()) {
    json::object named;
    for (const auto& [name, value] : tags) named[name] = value;
    object["tags"] = std::move(named);
  }
  // The stored request is valid JSON text: it is spliced in, not parsed again.
  std::string text = base::to_text(object);
  static constexpr std::string_view hole = "\"input\":null";
  const auto head = text.find(hole, text.find("\"task\":"));
  AGENTROUTER_CHECK(head != std::string::npos);
  std::string out;
  out.reserve(text.size() + input.size());
  // `task` may itself contain the text of the hole only with escaped quotes, so the first match is ours.
  out.append(text, 0, head).append("\"input\":").append(input.empty() ? "{}" : input);
  out.append(text, head + hole.size());
  return out;
}

}  // namespace agentrouter::model
