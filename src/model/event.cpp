#include "model/event.h"

namespace agentrouter::model {

std::string_view to_string(EventSource source) {
  switch (source) {
    case EventSource::worker:
      return "worker";
    case EventSource::api:
      return "api";
    case EventSource::codex:
      return "codex";
    case EventSource::claude_code:
      return "claude_code";
  }
  return "worker";
}

EventSource parse_event_source(std::string_view text) {
  if (text == "api") return EventSource::api;
  if (text == "codex") return EventSource::codex;
  if (text == "claude_code") return EventSource::claude_code;
  return EventSource::worker;
}

std::string_view to_string(Visibility visibility) {
  switch (visibility) {
    case Visibility::open:
      return "public";
    case Visibility::internal:
      return "internal";
    case Visibility::redacted:
      return "redacted";
  }
  return "internal";
}

Visibility parse_visibility(std::string_view text) {
  if (text == "public") return Visibility::open;
  return text == "redacted" ? Visibility::redacted : Visibility::internal;
}

namespace {

void member(std::string& out, std::string_view key, std::string_view json_text) {
  if (out.size() > 1) out += ',';
  out.append("\"").append(key).append("\":").append(json_text);
}

std::string quoted(std::string_view text) {
  return base::to_text(json::value(text));
}

void append_common(std::string& out, const EventDraft& draft) {
  member(out, "type", quoted(draft.type));
  if (!draft.provider_event_type.empty()) member(out, "providerEventType", quoted(draft.provider_event_type));
  member(out, "source", quoted(to_string(draft.source)));
  member(out, "visibility", quoted(to_string(draft.visibility)));
  member(out, "payload", draft.payload);
  if (draft.artifact_ref) {
    json::object ref;
    ref["artifactId"] = draft.artifact_ref->artifact_id.str();
    ref["r2Key"] = draft.artifact_ref->r2_key;
    member(out, "artifactRef", base::to_text(ref));
  }
  member(out, "isTruncated", draft.truncated ? "true" : "false");
  member(out, "createdAt", quoted(base::to_iso(draft.created_at)));
}

}  // namespace

std::string EventDraft::to_json_text() const {
  std::string out = "{";
  append_common(out, *this);
  return out + "}";
}

base::Result<EventDraft> EventDraft::from_json_text(std::string_view text) {
  AGENTROUTER_TRY(const auto value, base::parse_json(text, {.max_depth = 128}));
  const auto* object = value.if_object();
  const auto* payload = object ? base::get_object(*object, "payload") : nullptr;
  const auto type = object ? base::get_string(*object, "type") : std::nullopt;
  const auto created = object ? base::get_string(*object, "createdAt") : std::nullopt;
  if (!payload || !type || !created)
    return base::fail(base::Code::corrupt, "an event lacks type, payload or createdAt");
  EventDraft draft;
  draft.type = std::string(*type);
  draft.source = parse_event_source(base::get_string(*object, "source").value_or("worker"));
  draft.visibility = parse_visibility(base::get_string(*object, "visibility").value_or("internal"));
  draft.provider_event_type = std::string(base::get_string(*object, "providerEventType").value_or(""));
  draft.payload = base::to_text(*payload);
  draft.truncated = base::get_bool(*object, "isTruncated").value_or(false);
  if (const auto* ref = base::get_object(*object, "artifactRef")) {
    draft.artifact_ref =
        ArtifactRef{ArtifactId(std::string(base::get_string(*ref, "artifactId").value_or(""))),
                    std::string(base::get_string(*ref, "r2Key").value_or(""))};
  }
  AGENTROUTER_TRY(draft.created_at, base::parse_iso(*created));
  return draft;
}

std::string Event::to_wire() const {
  std::string out = "{";
  member(out, "runId", quoted(run_id.str()));
  member(out, "sequence", std::to_string(sequence));
  append_common(out, *this);
  return out + "}";
}

}  // namespace agentrouter::model
