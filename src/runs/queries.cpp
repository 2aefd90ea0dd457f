#include "runs/queries.h"

#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

// The AgentResponse that a run's last agent.response event holds.
std::string response_of(const std::optional<model::Event>& event) {
  if (!event) return "null";
  const auto payload = base::parse_json(event->payload, {.max_depth = 128});
  const auto* object = payload ? payload->if_object() : nullptr;
  const auto text = object ? base::get_string(*object, "text") : std::nullopt;
  if (!text) return "null";
  json::object response;
  response["text"] = *text;
  if (const auto* parts = base::get_array(*object, "parts")) {
    response["parts"] = *parts;
  } else {
    json::object part;
    part["type"] = "text";
    part["text"] = *text;
    response["parts"] = json::array{std::move(part)};
  }
  for (const auto* key : {"provider", "providerEventType"}) {
    if (const auto value = base::get_string(*object, key)) response[key] = *value;
  }
  return base::to_text(response);
}

std::string manifest_of(const std::vector<model::Artifact>& artifacts) {
  json::object manifest;
  manifest["status"] = "missing";
  for (const auto& artifact : artifacts) {
    if (artifact.kind != "session_manifest") continue;
    manifest["status"] = "available";
    manifest["artifactId"] = artifact.id.str();
    manifest["r2Key"] = artifact.r2_key;
    manifest["sizeBytes"] = artifact.size_bytes;
    manifest["sha256"] = artifact.sha256;
  }
  return base::to_text(manifest);
}

}  // namespace

std::string RunSession::to_wire() const {
  std::string out = "{\"run\":" + run.to_wire();
  out += ",\"eventCursor\":{\"lastEventSeq\":" + std::to_string(run.last_event_seq) + "}";
  out += ",\"response\":" + response;
  out += ",\"artifactManifest\":" + manifest_of(artifacts);
  out += ",\"artifacts\":{\"items\":[";
  for (std::size_t i = 0; i < artifacts.size(); ++i) {
    if (i != 0) out += ",";
    out += artifacts[i].to_wire();
  }
  return out + "]}}";
}

base::Result<RunSession> run_session(store::Reader& reader, const model::RunId& id) {
  AGENTROUTER_TRY(auto run, find_run(reader, id));
  RunSession session;
  session.run = std::move(run);
  session.response = response_of(reader.last_event_of_type(id, "agent.response"));
  session.artifacts = reader.artifacts(id);
  return session;
}

base::Result<model::Run> find_run(store::Reader& reader, const model::RunId& id) {
  auto run = reader.run(id);
  if (!run) return tl::unexpected(run_not_found(id));
  return std::move(*run);
}

base::Result<model::Artifact> find_artifact(store::Reader& reader, const model::RunId& run,
                                            const model::ArtifactId& id) {
  auto artifact = reader.run(run) ? reader.artifact(id) : std::nullopt;
  if (artifact && artifact->run_id == run) return std::move(*artifact);
  return base::fail(base::Code::not_found, "run " + run.str() + " has no artifact " + id.str(),
                    "artifact_not_found");
}

}  // namespace agentrouter::runs
