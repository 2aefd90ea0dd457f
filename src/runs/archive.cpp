#include "runs/archive.h"

namespace agentrouter::runs {

namespace {

constexpr int page_events = 100;

model::Event terminal_event(const model::RunId& run, const Closing& closing) {
  model::Event event;
  static_cast<model::EventDraft&>(event) = closing.terminal;
  event.run_id = run;
  event.sequence = closing.terminal_seq;
  return event;
}

// Every event before the terminal one, also when the run has ended meanwhile, then the terminal one.
template <class Visit>
void for_each_event(store::Reader& reader, const model::RunId& run, const Closing& closing, Visit visit) {
  model::Seq after = 0;
  while (after + 1 < closing.terminal_seq) {
    const auto limit = std::min<model::Seq>(page_events, closing.terminal_seq - 1 - after);
    const auto page = reader.events(run, after, static_cast<int>(limit));
    if (page.empty())
      base::throw_failure(base::Code::corrupt, "events of a run are missing", "store_corrupt");
    for (const auto& event : page) visit(event);
    after = page.back().sequence;
  }
  visit(terminal_event(run, closing));
}

json::object run_summary(const model::Run& run, const Closing& closing) {
  json::object summary;
  summary["id"] = run.id.str();
  summary["status"] = to_string(closing.status);
  summary["runtimeKind"] = to_string(run.runtime.kind);
  summary["runtimeMode"] = run.runtime.mode;
  if (run.runtime.model) summary["runtimeModel"] = *run.runtime.model;
  summary["lastEventSeq"] = closing.terminal_seq;
  if (closing.failure) summary["failure"] = closing.failure->to_json();
  return summary;
}

json::object event_summary(const model::Event& event) {
  json::object summary;
  summary["sequence"] = event.sequence;
  summary["type"] = event.type;
  if (event.artifact_ref) {
    json::object ref;
    ref["artifactId"] = event.artifact_ref->artifact_id.str();
    ref["r2Key"] = event.artifact_ref->r2_key;
    summary["artifactRef"] = std::move(ref);
  }
  return summary;
}

json::object artifact_summary(const model::Artifact& artifact) {
  json::object summary;
  summary["id"] = artifact.id.str();
  summary["kind"] = artifact.kind;
  summary["r2Key"] = artifact.r2_key;
  summary["sha256"] = artifact.sha256;
  summary["sizeBytes"] = artifact.size_bytes;
  return summary;
}

}  // namespace

void write_session_events(store::Reader& reader, const model::RunId& run, const Closing& closing,
                          const Sink& sink) {
  for_each_event(reader, run, closing, [&](const model::Event& event) { sink(event.to_wire() + "\n"); });
}

void write_session_manifest(store::Reader& reader, const model::RunId& id, const Closing& closing,
                            const ArchivedBlob& events, const Sink& sink) {
  const auto run = reader.run(id);
  if (!run) base::throw_failure(base::Code::corrupt, "the run of an attempt is missing", "store_corrupt");
  sink("{\"run\":" + base::to_text(run_summary(*run, closing)) + ",\"events\":[");
  std::string_view separator;
  for_each_event(reader, id, closing, [&](const model::Event& event) {
    sink(std::string(separator) + base::to_text(event_summary(event)));
    separator = ",";
  });
  sink("],\"artifacts\":[");
  // The two archive artifacts are in the store only when this is repeated after the end.
  for (const auto& artifact : reader.artifacts(id)) {
    if (artifact.kind == "session_events" || artifact.kind == "session_manifest") continue;
    sink(base::to_text(artifact_summary(artifact)) + ",");
  }
  sink(base::to_text(artifact_summary(archive_artifact(id, "session_events", closing, events))) + "]}");
}

model::Artifact archive_artifact(const model::RunId& run, std::string_view kind, const Closing& closing,
                                 const ArchivedBlob& blob) {
  auto artifact = model::named_artifact(run, kind);
  artifact.size_bytes = blob.size_bytes;
  artifact.sha256 = blob.sha256;
  json::object metadata;
  metadata["sha256"] = blob.sha256;
  metadata["sizeBytes"] = std::to_string(blob.size_bytes);
  artifact.metadata = base::to_text(metadata);
  artifact.created_at = closing.terminal.created_at;
  return artifact;
}

}  // namespace agentrouter::runs
