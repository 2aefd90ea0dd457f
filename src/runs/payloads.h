#pragma once
// The events that use cases append themselves.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

[[nodiscard]] model::EventDraft make_event(std::string_view type, model::EventSource source,
                                           model::Visibility visibility, const json::object& payload,
                                           base::Time created_at);

// {eventId, priorEventId, actionId, actionDigest, argsDigest, actor}: a control event caused by the question.
[[nodiscard]] json::object answer_payload(const store::Approval& approval, std::string_view actor,
                                          Context context);

// run.completed, run.failed or run.cancelled.
[[nodiscard]] model::EventDraft terminal_event(model::RunStatus status,
                                               const std::optional<model::RunFailure>& failure,
                                               std::optional<int> exit_code, base::Time created_at);

// The status, times, failure and session that a run has once it has ended.
void apply_end(model::Run& run, model::RunStatus status, const std::optional<model::RunFailure>& failure,
               base::Time at);

[[nodiscard]] base::Error conflict(std::string message, std::string reason);
[[nodiscard]] base::Error run_not_found(const model::RunId& id);
// The run that an earlier use of an idempotency key made.
[[nodiscard]] base::Error run_deleted(const model::RunId& id);
[[nodiscard]] base::Error run_not_active(const model::RunId& id);

}  // namespace agentrouter::runs
