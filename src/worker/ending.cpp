#include "worker/ending.h"

#include "base/log.h"
#include "base/utf8.h"
#include "keeper/collection.h"
#include "model/action.h"
#include "model/defaults.h"
#include "worker/checkpoint_source.h"

namespace agentrouter::worker {
namespace {

using model::EventSource;
using model::Visibility;

constexpr std::int64_t checkpoint_bytes = std::int64_t{5} << 30;  // beyond what its maker may write
constexpr std::string_view empty_index = R"({"files":[],"truncated":true})";

class Gatherer {
 public:
  explicit Gatherer(const EndingSource& source) : source_(source) {}

  runs::Ending gather() {
    ending_.status = source_.exit.outcome;
    if (ending_.status == model::RunStatus::failed) ending_.failure = source_.exit.failure;
    ending_.exit_code = source_.exit.exit_code;
    if (source_.exit.used) ending_.used = base::to_text(*source_.exit.used);
    log("stdout_log", source_.stdout_log, "provider.stdout", Visibility::open);
    log("stderr_log", source_.stderr_log, "provider.stderr", Visibility::internal);
    response();
    usage();
    index();
    patch();
    checkpoint();
    destroyed();
    return std::move(ending_);
  }

 private:
  model::EventDraft& add(std::string_view type, json::object payload) {
    model::EventDraft draft;
    draft.type = type;
    draft.payload = base::to_text(payload);
    draft.created_at = source_.now;
    return ending_.tail.emplace_back(std::move(draft));
  }

  model::ArtifactRef keep(model::Artifact artifact, const blobs::BlobInfo& stored,
                          const json::object& metadata) {
    artifact.size_bytes = stored.size;
    artifact.sha256 = stored.sha256;
    artifact.metadata = base::to_text(metadata);
    artifact.created_at = source_.now;
    const auto ref = artifact.ref();
    ending_.artifacts.push_back(std::move(artifact));
    return ref;
  }

  static json::object ref_json(const model::ArtifactRef& ref) {
    return {{"artifactId", ref.artifact_id.str()}, {"r2Key", ref.r2_key}};
  }

  void log(std::string_view kind, LogArchive& archive, std::string_view type, Visibility visibility) {
    auto artifact = model::named_artifact(source_.run.id, kind);
    const auto stored = archive.join(artifact.r2_key);
    const auto ref = keep(std::move(artifact), stored,
                          {{"eventSequenceStart", 1},
                           {"eventSequenceEnd", source_.run.last_event_seq},
                           {"redactionStatus", "redacted"}});
    const std::string head = base::to_utf8(archive.head(model::defaults::event_field_bytes + 4));
    const std::string_view shown = base::cut_utf8(head, model::defaults::event_field_bytes);
    const bool cut = archive.size() > shown.size();
    json::object payload{{"text", shown}, {"artifactRef", ref_json(ref)}};
    if (cut) payload["textTruncated"] = true;
    auto& draft = add(type, std::move(payload));
    draft.source = model::parse_event_source(model::to_string(source_.run.runtime.kind));
    draft.visibility = visibility;
    draft.truncated = cut;
    draft.artifact_ref = ref;
  }

  void response() {
    const std::string& text = source_.exit.response_text;
    if (text.empty()) return;
    json::object payload{{"text", text},
                         {"parts", json::array{json::object{{"type", "text"}, {"text", text}}}}};
    if (!source_.exit.response_event_type.empty())
      payload["providerEventType"] = source_.exit.response_event_type;
    payload["provider"] = model::to_string(source_.run.runtime.kind);
    auto& draft = add("agent.response", std::move(payload));
    draft.source = model::parse_event_source(model::to_string(source_.run.runtime.kind));
    draft.provider_event_type = source_.exit.response_event_type;
  }

  void usage() {
    if (!source_.exit.usage) return;
    json::object payload = *source_.exit.usage;
    payload["provider"] = source_.exit.provider;
    add("usage.recorded", std::move(payload));
  }

  // The file in the folder, or `fallback` when the keeper made none.
  blobs::BlobInfo store_file(const char* name, std::string_view key, std::string_view fallback) {
    auto file = source_.exit.changes ? source_.folder.file(name) : base::fail(base::Code::not_found, "");
    if (!file) return source_.blobs.put(key, fallback);
    return base::value_or_throw(source_.blobs.put_from(key, file->get(), std::int64_t{1} << 30));
  }

  static json::object size_metadata(const blobs::BlobInfo& stored) {
    return {{"sha256", stored.sha256}, {"sizeBytes", std::to_string(stored.size)}};
  }

  void index() {
    auto artifact = model::named_artifact(source_.run.id, "workspace_file_index");
    const auto stored = store_file("index.json", artifact.r2_key, empty_index);
    const auto changes = source_.exit.changes.value_or(ExitRecord::Changes{.index_truncated = true});
    json::object metadata = size_metadata(stored);
    metadata["fileCount"] = std::to_string(changes.index_files);
    if (changes.index_truncated) metadata["truncated"] = true;
    if (changes.index_redacted) metadata["redactionStatus"] = "redacted";
    const auto ref = keep(std::move(artifact), stored, metadata);
    json::object payload{{"fileCount", changes.index_files}, {"artifactRef", ref_json(ref)}};
    if (changes.index_truncated) payload["truncated"] = true;
    add("workspace.file_index_collected", std::move(payload)).artifact_ref = ref;
  }

  // The artifact of this file, and what the event says of it.
  json::object patch_artifact(std::string_view kind, const char* file, bool truncated,
                              std::optional<model::ArtifactRef>& ref) {
    auto artifact = model::named_artifact(source_.run.id, kind);
    const auto stored = store_file(file, artifact.r2_key, {});
    json::object metadata = size_metadata(stored);
    if (truncated) metadata["truncated"] = true;
    if (source_.exit.changes && source_.exit.changes->patch_redacted)
      metadata["redactionStatus"] = "redacted";
    ref = keep(std::move(artifact), stored, metadata);
    json::object payload{{"bytes", stored.size}, {"artifactRef", ref_json(*ref)}};
    if (truncated) payload["truncated"] = true;
    return payload;
  }

  void patch() {
    const auto& changes = source_.exit.changes;
    std::optional<model::ArtifactRef> ref, turn_ref;
    auto payload =
        patch_artifact("workspace_patch", "changes.patch", !changes || changes->patch_truncated, ref);
    if (changes && changes->turn_patch_truncated) {
      payload["turn"] = patch_artifact("workspace_turn_patch", keeper::turn_patch_file,
                                       *changes->turn_patch_truncated, turn_ref);
    }
    add("workspace.patch_collected", std::move(payload)).artifact_ref = ref;
  }

  void checkpoint() {
    error_ = source_.exit.checkpoint_error;
    if (!source_.exit.checkpoint) return;
    const std::string key = checkpoint_key(source_.run.id);
    const auto file = source_.folder.file(keeper::checkpoint_file);
    const auto writer = source_.blobs.create(key);
    const auto copied = file ? blobs::copy_into(*writer, file->get(), checkpoint_bytes) : tl::unexpected(file.error());
    if (!copied || writer->written().sha256 != source_.exit.checkpoint->sha256) {
      error_ = "the checkpoint is not what its keeper has written";
      return;
    }
    const auto stored = writer->commit();
    store::Checkpoint kept;
    kept.key = key;
    kept.size_bytes = stored.size;
    kept.sha256 = stored.sha256;
    kept.thread_id = source_.exit.thread_id;
    ending_.checkpoint = std::move(kept);
  }

  void destroyed() {
    json::object payload = source_.exit.sandbox.value_or(json::object{});
    if (source_.exit.lost) payload["checkpointLost"] = "The keeper ended before it could keep the state";
    if (!error_.empty()) {
      payload["checkpointError"] = error_;
      base::log(base::LogLevel::warn, "a turn leaves no checkpoint",
                {{"runId", source_.run.id.str()}, {"cause", error_}});
    }
    payload["sandboxId"] = "sandbox_" + source_.attempt.id.str().substr(sizeof "attempt_" - 1);
    add("sandbox.destroyed", std::move(payload)).visibility = Visibility::internal;
  }

  const EndingSource& source_;
  std::string error_;  // why there is no checkpoint
  runs::Ending ending_;
};

json::object payload_of(const model::Event& event) {
  auto value = base::parse_json(event.payload);
  return value && value->is_object() ? std::move(value->get_object()) : json::object{};
}

model::EventDraft failed_execution(store::Reader& reader, const model::RunId& run,
                                   const store::ActionRecord& action, std::string_view reason,
                                   runs::Context context) {
  const auto started = reader.event(run, action.started_seq);
  const json::object before = started ? payload_of(*started) : json::object{};
  const auto copied = [&](std::string_view key) {
    return std::string(base::get_string(before, key).value_or(""));
  };
  json::object payload{{"eventId", model::new_event_id(context.entropy)},
                       {"priorEventId", copied("eventId")},
                       {"actionId", action.action_id.str()},
                       {"actionDigest", action.action_digest},
                       {"argsDigest", action.args_digest},
                       {"actor", "runtime"},
                       {"executionId", copied("executionId")},
                       {"status", "failed"},
                       {"reason", reason},
                       {"terminalState", "failed"}};
  if (const auto call = copied("callId"); !call.empty()) payload["callId"] = call;
  model::EventDraft draft;
  draft.type = "execution.failed";
  draft.payload = base::to_text(payload);
  draft.created_at = context.clock.now();
  return draft;
}

model::EventDraft agent_error(store::Reader& reader, const model::RunId& run, std::string_view reason,
                              runs::Context context) {
  const auto told = reader.run(run);
  const auto provider = model::to_string(told ? told->runtime.kind : model::RuntimeKind::codex);
  model::EventDraft draft;
  draft.type = "agent.error";
  draft.source = model::parse_event_source(provider);
  draft.payload = base::to_text(json::object{{"provider", provider}, {"message", reason}});
  draft.created_at = context.clock.now();
  return draft;
}

}  // namespace

runs::Ending gather_ending(const EndingSource& source) {
  return Gatherer(source).gather();
}

std::vector<model::EventDraft> close_open_executions(store::Reader& reader, const model::RunId& run,
                                                     std::string_view reason, runs::Context context) {
  auto open = reader.open_actions(run);
  if (open.empty()) return {};
  std::vector<model::EventDraft> drafts;
  // The launch is the first of them and ends last, after the agent's own word.
  for (std::size_t i = open.size(); i-- > 1;)
    drafts.push_back(failed_execution(reader, run, open[i], reason, context));
  const auto& launch = open.front();
  const auto told = reader.last_event_of_type(run, "agent.error");
  if (!told || told->sequence < launch.started_seq)
    drafts.push_back(agent_error(reader, run, reason, context));
  drafts.push_back(failed_execution(reader, run, launch, reason, context));
  return drafts;
}

}  // namespace agentrouter::worker
