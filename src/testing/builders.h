#pragma once
// Valid nouns with one line, for the tests of several rooms.

#include "base/clock.h"
#include "model/event.h"
#include "model/run.h"

namespace agentrouter::testing {

inline constexpr std::int64_t test_epoch_ms = 1'780'000'000'000;

[[nodiscard]] inline base::Time test_time(std::int64_t milliseconds_after = 0) {
  return base::Time(std::chrono::milliseconds(test_epoch_ms + milliseconds_after));
}

// "run_<uuid>" that depends only on `name`.
[[nodiscard]] inline model::RunId run_id(std::string_view name) {
  return model::RunId("run_" + base::uuid_from_text(name));
}

// A queued Codex run.
[[nodiscard]] inline model::Run make_run(std::string_view name, std::int64_t queued_after_ms = 0) {
  model::Run run;
  run.id = run_id(name);
  run.task = "do " + std::string(name);
  json::object input;
  input["task"] = run.task;
  input["runtime"] = run.runtime.to_json();
  run.input = base::to_text(input);
  run.conversation_id = run.id;
  run.queued_at = test_time(queued_after_ms);
  return run;
}

[[nodiscard]] inline model::EventDraft make_draft(std::string_view type, std::string_view payload = "{}",
                                                  std::int64_t after_ms = 0) {
  model::EventDraft draft;
  draft.type = std::string(type);
  draft.payload = std::string(payload);
  draft.created_at = test_time(after_ms);
  return draft;
}

}  // namespace agentrouter::testing
