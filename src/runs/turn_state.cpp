#include "runs/turn_state.h"

#include "base/json.h"

namespace agentrouter::runs {

std::string state_error_of(store::Reader& reader, const model::RunId& run) {
  const auto event = reader.last_event_of_type(run, "sandbox.destroyed");
  if (!event) return {};
  const auto payload = base::parse_json(event->payload);
  if (!payload || !payload->is_object()) return {};
  return std::string(base::get_string(payload->get_object(), "checkpointError").value_or(""));
}

base::Error state_unavailable(const std::string& why) {
  return {base::Code::unavailable, "The state of the conversation is not available: " + why,
          "checkpoint_unavailable"};
}

base::Result<std::optional<store::Checkpoint>> state_after(store::Reader& reader,
                                                           const model::RunId& conversation,
                                                           int turn_number) {
  auto latest = reader.latest_checkpoint(conversation, turn_number + 1);
  const int first = latest ? latest->turn_number + 1 : 1;
  const auto owner = reader.conversation(conversation);
  if (owner && owner->lost_turn >= first && owner->lost_turn <= turn_number)
    return tl::unexpected(state_unavailable("turn " + std::to_string(owner->lost_turn) + ", which was deleted, left none"));
  for (int number = first; number <= turn_number; ++number) {
    const auto turn = reader.turn(conversation, number);
    const auto error = turn ? state_error_of(reader, turn->id) : std::string();
    if (!error.empty())
      return tl::unexpected(state_unavailable("turn " + std::to_string(number) + " left none, " + error));
  }
  return latest;
}

}  // namespace agentrouter::runs
