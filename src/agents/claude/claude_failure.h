#pragma once
// What a failed turn of Claude Code means in our words: failure code, cause, and the sentence for people.

#include "base/json.h"
#include "model/run.h"

namespace agentrouter::agents::claude {

// `result` is the last line of the turn, `word` the `error` of the CLI's own message before it ("rate_limit",
// "authentication_failed"...), empty when there was none. The code is provider_runtime_failed; the cause is
// empty when nothing that we know was said.
[[nodiscard]] model::RunFailure failure_of(const json::object& result, std::string_view word);

// The fields of agent.retry (without provider) for a system/api_retry line: {attempt, max?, status?,
// delayMs?, message}. `attempt` is the one that the CLI names, else `counted`.
[[nodiscard]] json::object retry_of(const json::object& line, int counted);

}  // namespace agentrouter::agents::claude
