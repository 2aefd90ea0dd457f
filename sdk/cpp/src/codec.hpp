#pragma once
// JSON of the wire to the types of types.hpp and back. What a reply must have is checked; the rest is read
// forgivingly.

#include <agentrouter/types.hpp>

namespace agentrouter::detail {

// Throws Error protocol_error: no object, or no id.
[[nodiscard]] Run decode_run(const Json& json);
[[nodiscard]] Artifact decode_artifact(const Json& json);
[[nodiscard]] RunSession decode_session(const Json& json);
// Also when the sequence is not positive, or the type is missing.
[[nodiscard]] RunEvent decode_event(const Json& json);
// Also when there is no list.
[[nodiscard]] RunPage decode_runs(const Json& json);
[[nodiscard]] EventPage decode_events(const Json& json);
[[nodiscard]] ArtifactPage decode_artifacts(const Json& json);
[[nodiscard]] ApprovalPage decode_approvals(const Json& json);
[[nodiscard]] RunTurns decode_turns(const Json& json);
[[nodiscard]] RunRecord decode_record(const Json& json);
// Also when it does not name the new run.
[[nodiscard]] ContinueRunResult decode_continue(const Json& json);
[[nodiscard]] CloseRunResult decode_close(const Json& json);
// Also when there is no id.
[[nodiscard]] Upload decode_upload(const Json& json);
[[nodiscard]] FilePage decode_files(const Json& json);
[[nodiscard]] PushResult decode_push(const Json& json);

[[nodiscard]] Json encode_create(const CreateRunRequest& request);
[[nodiscard]] Json encode_message(const ContinueRunRequest& request);
[[nodiscard]] Json encode_fork(const ForkRunRequest& request);
[[nodiscard]] Json encode_push(const PushRunRequest& request);
[[nodiscard]] Json encode_decision(const ActionDecisionRequest& request);

}  // namespace agentrouter::detail
