#include "codec.hpp"

#include <agentrouter/error.hpp>

namespace agentrouter::detail {
namespace {

std::string text(const Json& json, std::string_view key) {
  return std::string(json[key].as_string());
}

std::string required(const Json& json, std::string_view key, std::string_view what) {
  auto value = text(json, key);
  if (value.empty()) {
    throw Error("protocol_error", "the server's " + std::string(what) + " has no " + std::string(key));
  }
  return value;
}

const Json::Array& required_items(const Json& json, std::string_view what) {
  if (!json["items"].is_array()) {
    throw Error("protocol_error", "the server's list of " + std::string(what) + " has no items");
  }
  return json["items"].as_array();
}

void add(Json::Object& object, std::string_view key, const std::string& value) {
  if (!value.empty()) object.emplace_back(key, value);
}

void add(Json::Object& object, const RunLimits& limits) {
  Json::Object members;
  for (const auto& [key, value] : {std::pair("maxWallSeconds", limits.max_wall_seconds),
                                   std::pair("maxTokens", limits.max_tokens),
                                   std::pair("maxActions", limits.max_actions),
                                   std::pair("maxOutputBytes", limits.max_output_bytes),
                                   std::pair("maxNetworkBytes", limits.max_network_bytes),
                                   std::pair("maxMemoryBytes", limits.max_memory_bytes),
                                   std::pair("maxDiskBytes", limits.max_disk_bytes),
                                   std::pair("maxCpuPercent", limits.max_cpu_percent),
                                   std::pair("maxPids", limits.max_pids)}) {
    if (value != 0) members.emplace_back(key, value);
  }
  if (limits.max_cost_usd != 0) members.emplace_back("maxCostUsd", limits.max_cost_usd);
  if (!members.empty()) object.emplace_back("limits", Json::object(std::move(members)));
}

Json encode_runtime(const RuntimeSelection& runtime) {
  Json::Object object;
  add(object, "kind", runtime.kind);
  add(object, "mode", runtime.mode);
  add(object, "permissionMode", runtime.permission_mode);
  add(object, "model", runtime.model);
  return Json::object(std::move(object));
}

Json encode_workspace(const Workspace& workspace) {
  Json::Object object;
  add(object, "path", workspace.path);
  if (const auto& git = workspace.git) {
    Json::Object source{{"url", git->url}};
    add(source, "ref", git->ref);
    if (git->depth != 0) source.emplace_back("depth", git->depth);
    add(source, "subdir", git->subdir);
    object.emplace_back("git", Json::object(std::move(source)));
  }
  if (!workspace.upload_id.empty())
    object.emplace_back("upload", Json::object({{"id", workspace.upload_id}}));
  if (!workspace.from_run.empty())
    object.emplace_back("fromRun", Json::object({{"runId", workspace.from_run}}));
  return Json::object(std::move(object));
}

std::optional<AgentResponse> decode_response(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  return AgentResponse{.text = text(json, "text"),
                       .parts = json["parts"],
                       .provider = text(json, "provider"),
                       .provider_event_type = text(json, "providerEventType")};
}

}  // namespace

Run decode_run(const Json& json) {
  Run run{.id = required(json, "id", "run"),
          .status = run_status_from(json["status"].as_string()),
          .task = text(json, "task"),
          .input = json["input"],
          .last_event_seq = json["lastEventSeq"].as_int(),
          .session_id = text(json, "sessionId"),
          .conversation_id = text(json, "conversationId"),
          .queued_at = text(json, "queuedAt"),
          .started_at = text(json, "startedAt"),
          .completed_at = text(json, "completedAt"),
          .cancel_requested_at = text(json, "cancelRequestedAt"),
          .raw = json};
  const auto& runtime = json["runtime"];
  run.runtime = {.kind = text(runtime, "kind"),
                 .mode = text(runtime, "mode"),
                 .permission_mode = text(runtime, "permissionMode"),
                 .model = text(runtime, "model")};
  for (const auto& [name, value] : json["tags"].as_object()) {
    run.tags.emplace(name, std::string(value.as_string()));
  }
  if (const auto& failure = json["failure"]; failure.is_object()) {
    run.failure = Failure{
        .code = text(failure, "code"), .reason = text(failure, "reason"), .cause = text(failure, "cause")};
  }
  return run;
}

Artifact decode_artifact(const Json& json) {
  return {.id = required(json, "id", "artifact"),
          .run_id = text(json, "runId"),
          .kind = text(json, "kind"),
          .r2_key = text(json, "r2Key"),
          .content_type = text(json, "contentType"),
          .size_bytes = json["sizeBytes"].as_int(),
          .sha256 = text(json, "sha256"),
          .metadata = json["metadata"],
          .created_at = text(json, "createdAt"),
          .raw = json};
}

RunSession decode_session(const Json& json) {
  RunSession session{.run = decode_run(json["run"]),
                     .last_event_seq = json["eventCursor"]["lastEventSeq"].as_int(),
                     .response = decode_response(json["response"]),
                     .artifact_manifest = json["artifactManifest"],
                     .raw = json};
  for (const auto& item : json["artifacts"]["items"].as_array()) {
    session.artifacts.push_back(decode_artifact(item));
  }
  return session;
}

RunEvent decode_event(const Json& json) {
  RunEvent event{.run_id = text(json, "runId"),
                 .sequence = json["sequence"].as_int(),
                 .type = required(json, "type", "event"),
                 .provider_event_type = text(json, "providerEventType"),
                 .source = text(json, "source"),
                 .visibility = text(json, "visibility"),
                 .payload = json["payload"],
                 .is_truncated = json["isTruncated"].as_bool(),
                 .created_at = text(json, "createdAt"),
                 .raw = json};
  if (event.sequence <= 0) throw Error("protocol_error", "the server's event has no sequence");
  if (const auto& ref = json["artifactRef"]; ref.is_object()) {
    event.artifact_ref = ArtifactRef{.artifact_id = text(ref, "artifactId"), .r2_key = text(ref, "r2Key")};
  }
  return event;
}

RunPage decode_runs(const Json& json) {
  RunPage page{.next_cursor = text(json, "nextCursor"), .raw = json};
  for (const auto& item : required_items(json, "runs")) page.items.push_back(decode_run(item));
  return page;
}

EventPage decode_events(const Json& json) {
  EventPage page{.next_after_seq = json["nextAfterSeq"].as_int(), .raw = json};
  for (const auto& item : required_items(json, "events")) page.items.push_back(decode_event(item));
  return page;
}

ArtifactPage decode_artifacts(const Json& json) {
  ArtifactPage page{.raw = json};
  for (const auto& item : required_items(json, "artifacts")) page.items.push_back(decode_artifact(item));
  return page;
}

ApprovalPage decode_approvals(const Json& json) {
  ApprovalPage page{.next_after = json["nextAfter"].as_int(), .raw = json};
  for (const auto& item : required_items(json, "approvals")) {
    page.items.push_back({.run_id = required(item, "runId", "approval"),
                          .action_id = required(item, "actionId", "approval"),
                          .action_digest = required(item, "actionDigest", "approval"),
                          .request_id = text(item, "requestId"),
                          .requested_at = text(item, "requestedAt"),
                          .expires_at = text(item, "expiresAt"),
                          .name = text(item, "name"),
                          .target = text(item, "target"),
                          .action = item["event"]["payload"]["action"],
                          .raw = item});
  }
  return page;
}

RunTurns decode_turns(const Json& json) {
  RunTurns turns{.conversation_id = text(json, "conversationId"), .raw = json};
  for (const auto& item : required_items(json, "turns")) {
    turns.items.push_back({.id = text(item, "id"),
                           .run_id = required(item, "runId", "turn"),
                           .turn_number = static_cast<int>(item["turnNumber"].as_int()),
                           .prompt = text(item, "prompt"),
                           .created_at = text(item, "createdAt"),
                           .raw = item});
  }
  return turns;
}

RunRecord decode_record(const Json& json) {
  RunRecord record{.run = decode_run(json["run"]),
                   .phase = text(json, "phase"),
                   .attempt = static_cast<int>(json["attempt"]["number"].as_int()),
                   .conversation_state = text(json["conversation"], "state"),
                   .turn_number = static_cast<int>(json["conversation"]["turnNumber"].as_int()),
                   .actions = json["actions"],
                   .limits = json["limits"],
                   .usage = json["usage"],
                   .patch = json["patch"],
                   .last_event_seq = json["eventCursor"]["lastEventSeq"].as_int(),
                   .raw = json};
  for (const auto& item : json["pendingApprovals"].as_array()) {
    record.pending_approvals.push_back({.action_id = text(item, "actionId"),
                                        .action_digest = text(item, "actionDigest"),
                                        .request_id = text(item, "requestId"),
                                        .expires_at = text(item, "expiresAt")});
  }
  for (const auto& item : json["operations"].as_array()) record.operations.emplace_back(item.as_string());
  for (const auto& item : json["artifacts"]["items"].as_array()) {
    record.artifacts.push_back(decode_artifact(item));
  }
  return record;
}

ContinueRunResult decode_continue(const Json& json) {
  return {.run_id = required(json, "runId", "reply"),
          .turn_number = static_cast<int>(json["turnNumber"].as_int()),
          .conversation_id = text(json, "conversationId"),
          .raw = json};
}

CloseRunResult decode_close(const Json& json) {
  return {.closed = json["closed"].as_bool(),
          .conversation_id = text(json, "conversationId"),
          .reclaimed = json["reclaimed"].as_bool(),
          .raw = json};
}

Upload decode_upload(const Json& json) {
  const auto& upload = json["upload"];
  return {.id = required(upload, "id", "upload"),
          .bytes = upload["bytes"].as_int(),
          .sha256 = text(upload, "sha256"),
          .expires_at = text(upload, "expiresAt"),
          .raw = upload};
}

FilePage decode_files(const Json& json) {
  FilePage page{.next_cursor = text(json, "nextCursor"), .raw = json};
  for (const auto& item : required_items(json, "list of files")) {
    page.items.push_back({.path = required(item, "path", "file"),
                          .type = text(item, "type"),
                          .size = item["size"].as_int(),
                          .mode = text(item, "mode"),
                          .status = text(item, "status"),
                          .raw = item});
  }
  return page;
}

PushResult decode_push(const Json& json) {
  const auto& push = json["push"];
  return {.branch = text(push, "branch"),
          .commit = required(push, "commit", "reply"),
          .url = text(push, "url"),
          .files = static_cast<int>(push["files"].as_int()),
          .raw = push};
}

Json encode_create(const CreateRunRequest& request) {
  Json::Object object{{"task", request.task}};
  if (request.runtime) object.emplace_back("runtime", encode_runtime(*request.runtime));
  add(object, "approvalMode", request.approval_mode);
  add(object, "approvalScope", request.approval_scope);
  add(object, "policy", request.policy);
  add(object, "image", request.image);
  add(object, "requireIsolation", request.require_isolation);
  if (!request.requirements.empty()) {
    object.emplace_back("requires", Json::object({request.requirements.begin(), request.requirements.end()}));
  }
  if (!request.metadata.is_null()) object.emplace_back("metadata", request.metadata);
  if (request.workspace) {
    object.emplace_back("workspace", encode_workspace(*request.workspace));
  }
  if (!request.tags.empty()) {
    object.emplace_back("tags", Json::object({request.tags.begin(), request.tags.end()}));
  }
  if (request.approval_timeout) {
    object.emplace_back("approvalTimeoutSeconds", request.approval_timeout->count());
  }
  add(object, request.limits);
  for (const auto& member : request.extra.as_object()) object.push_back(member);
  return Json::object(std::move(object));
}

Json encode_message(const ContinueRunRequest& request) {
  Json::Object object{{"message", request.message}};
  add(object, "approvalMode", request.approval_mode);
  add(object, request.limits);
  return Json::object(std::move(object));
}

Json encode_fork(const ForkRunRequest& request) {
  Json::Object object{{"message", request.message}};
  if (request.at_turn != 0) object.emplace_back("atTurn", request.at_turn);
  add(object, request.limits);
  return Json::object(std::move(object));
}

Json encode_push(const PushRunRequest& request) {
  Json::Object object{{"branch", request.branch}, {"message", request.message}};
  Json::Object author;
  add(author, "name", request.author_name);
  add(author, "email", request.author_email);
  if (!author.empty()) object.emplace_back("author", Json::object(std::move(author)));
  return Json::object(std::move(object));
}

Json encode_decision(const ActionDecisionRequest& request) {
  Json::Object object{{"actionDigest", request.action_digest}};
  add(object, "reason", request.reason);
  return Json::object(std::move(object));
}

}  // namespace agentrouter::detail
