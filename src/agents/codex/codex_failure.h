#pragma once
// What a failed turn of Codex means in our words: failure code, cause, and the sentence for people.

#include "base/json.h"
#include "model/run.h"

namespace agentrouter::agents::codex {

// `error` is the TurnError of turn/completed: {message, codexErrorInfo, additionalDetails}. The code is
// provider_runtime_failed; the cause is empty when Codex says nothing that we know.
[[nodiscard]] model::RunFailure failure_of(const json::object& error);

// The fields of agent.retry (without provider) for an `error` notification with willRetry:
// {attempt, max?, status?, message}. `attempt` is the one that Codex names, else `counted`.
[[nodiscard]] json::object retry_of(const json::object& error, int counted);

}  // namespace agentrouter::agents::codex
