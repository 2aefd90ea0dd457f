// An agent that goes in circles is told to a person, and cancelled.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());
    const auto stream =
        agentrouter::stream_agent(client, {.task = example::task(argc, argv, "Make the flaky test pass.")});
    for (const auto& part : stream.full_stream()) {
      const auto* warning = std::get_if<agentrouter::NoProgressPart>(&part);
      if (!warning) continue;
      std::cerr << "the agent may be stuck: " << warning->signal << " - " << warning->text << '\n';
      client.cancel_run(stream.run().id);
    }
    std::cout << agentrouter::to_string(stream.final_result().status) << '\n';
  });
}
