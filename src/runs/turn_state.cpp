#include "runs/turn_state.h"

#include "base/json.h"

namespace agentrouter::runs {

namespace {

// Why the turn left no checkpoint, or nothing.
std::string checkpoint_error_of(store::Reader& reader, const model::RunId& run) {
  const auto event = reader.last_event_of_type(run, "sandbox.destroyed");
  if (!event) return {};
  const auto payload = base::parse_json(event->payload);
  if (!payload || !payload->is_object()) return {};
  return std::string(base::get_string(payload->get_object(), "checkpointError").value_or(""));
}

}  // namespace

base::Error state_unavailable(const std::string& why) {
  return {base::Code::unavailable, "The state of the conversation is not available: " + why,
          "checkpoint_unavailable"};
}

base::Result<std::optional<store::Checkpoint>> state_after(store::Reader& reader,
                                                           const model::RunId& conversation,
                                                           int turn_number) {
  auto latest = reader.latest_checkpoint(conversation, turn_number + 1);
  for (int number = latest ? latest->turn_number + 1 : 1; number <= turn_number; ++number) {
    const auto turn = reader.turn(conversation, number);
    const auto error = turn ? checkpoint_error_of(reader, turn->id) : std::string();
    if (!error.empty())
      return tl::unexpected(state_unavailable("turn " + std::to_string(number) + " left none, " + error));
  }
  return latest;
}

}  // namespace agentrouter::runs
