#include "model/artifact.h"

#include <array>

namespace agentrouter::model {

namespace {

struct Kind {
  std::string_view name;
  std::string_view key;
  std::string_view content_type;
};

constexpr std::array<Kind, 8> kinds{{
    {"stdout_log", "logs/stdout/000001.ndjson.gz", "application/x-ndjson"},
    {"stderr_log", "logs/stderr/000001.ndjson.gz", "application/x-ndjson"},
    {"workspace_file_index", "workspace/file-index.json", "application/json"},
    {"workspace_patch", "workspace/changes.patch", "text/x-patch"},
    {"workspace_turn_patch", "workspace/turn.patch", "text/x-patch"},
    {"session_events", "session/events.jsonl", "application/x-ndjson"},
    {"session_manifest", "session/manifest.json", "application/json"},
    {"payload_overflow", "payloads/", "application/json"},
}};

}  // namespace

std::string Artifact::to_wire() const {
  json::object object;
  object["id"] = id.str();
  object["runId"] = run_id.str();
  object["kind"] = kind;
  object["r2Key"] = r2_key;
  if (!content_type.empty()) object["contentType"] = content_type;
  object["sizeBytes"] = size_bytes;
  object["sha256"] = sha256;
  object["metadata"] = base::value_or_throw(base::parse_json(metadata));
  object["createdAt"] = base::to_iso(created_at);
  return base::to_text(object);
}

Artifact named_artifact(const RunId& run, std::string_view kind, std::string_view suffix) {
  for (const auto& known : kinds) {
    if (known.name != kind) continue;
    Artifact artifact;
    artifact.id = ArtifactId(
        "artifact_" + base::uuid_from_text(run.str() + "/" + std::string(kind) + "/" + std::string(suffix)));
    artifact.run_id = run;
    artifact.kind = std::string(kind);
    artifact.r2_key = "runs/" + run.str() + "/" + std::string(known.key) + std::string(suffix);
    artifact.content_type = std::string(known.content_type);
    return artifact;
  }
  base::throw_failure(base::Code::internal, "no artifact kind " + std::string(kind));
}

}  // namespace agentrouter::model
