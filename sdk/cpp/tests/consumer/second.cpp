#include <agentrouter/agent.hpp>

// A second unit, so that a header with a definition too many would not link.
std::string answer_of(const agentrouter::Client& client, const std::string& task) {
  std::string parts;
  const auto stream = agentrouter::stream_agent(client, {.task = task});
  for (const auto& part : stream.full_stream()) {
    if (std::holds_alternative<agentrouter::DonePart>(part)) parts = "done: ";
  }
  return parts + stream.final_result().text;
}
