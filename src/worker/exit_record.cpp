#include "worker/exit_record.h"

namespace agentrouter::worker {
namespace {

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

std::optional<json::object> object_of(const json::object& object, std::string_view key) {
  const json::object* found = base::get_object(object, key);
  if (found == nullptr) return std::nullopt;
  return *found;
}

std::optional<ExitRecord::Changes> changes_of(const json::object& data) {
  const json::object* index = base::get_object(data, "index");
  const json::object* patch = base::get_object(data, "patch");
  if (index == nullptr || patch == nullptr) return std::nullopt;
  ExitRecord::Changes changes{.index_files = base::get_int(*index, "files").value_or(0),
                              .index_truncated = base::get_bool(*index, "truncated").value_or(true),
                              .patch_truncated = base::get_bool(*patch, "truncated").value_or(true),
                              .index_redacted = base::get_bool(*index, "redacted").value_or(false),
                              .patch_redacted = base::get_bool(*patch, "redacted").value_or(false),
                              .turn_patch_truncated = {}};
  if (const json::object* turn = base::get_object(data, "turnPatch")) {
    changes.turn_patch_truncated = base::get_bool(*turn, "truncated").value_or(true);
    changes.patch_redacted = changes.patch_redacted || base::get_bool(*turn, "redacted").value_or(false);
  }
  return changes;
}

}  // namespace

base::Result<ExitRecord> parse_exit(const json::object& data) {
  const auto outcome = model::parse_run_status(text_of(data, "outcome"));
  if (!outcome || !model::is_terminal(*outcome)) {
    return base::fail(base::Code::corrupt, "cannot read the journal: an exit without an outcome");
  }
  ExitRecord exit;
  exit.outcome = *outcome;
  if (const json::object* failure = base::get_object(data, "failure")) {
    exit.failure = {text_of(*failure, "code"), text_of(*failure, "reason"), text_of(*failure, "cause")};
  }
  if (const json::object* cassette = base::get_object(data, "cassette")) exit.cassette = text_of(*cassette, "name");
  exit.response_text = text_of(data, "responseText");
  exit.response_event_type = text_of(data, "responseEventType");
  exit.usage = object_of(data, "usage");
  exit.used = object_of(data, "used");
  exit.provider = text_of(data, "provider");
  if (const auto code = base::get_int(data, "exitCode")) exit.exit_code = static_cast<int>(*code);
  exit.changes = changes_of(data);
  exit.sandbox = object_of(data, "sandbox");
  exit.thread_id = text_of(data, "threadId");
  exit.checkpoint_error = text_of(data, "checkpointError");
  if (const json::object* checkpoint = base::get_object(data, "checkpoint")) {
    exit.checkpoint = ExitRecord::Checkpoint{base::get_int(*checkpoint, "bytes").value_or(0),
                                             text_of(*checkpoint, "sha256")};
    const auto layer_bytes = base::get_int(*checkpoint, "layerBytes");
    if (layer_bytes && *layer_bytes >= 0) exit.checkpoint->layer_bytes = *layer_bytes;
  }
  return exit;
}

}  // namespace agentrouter::worker
