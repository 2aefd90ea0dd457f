// The events as the server keeps them: sequence numbers, payloads, references to artifacts.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());
    const auto stream = agentrouter::stream_agent(
        client, {.task = example::task(argc, argv, "Create reports/raw.txt and say so.")});
    for (const auto& event : stream.events()) {
      std::cout << event.sequence << ' ' << event.type << ' ' << event.source << ' ' << event.visibility;
      if (event.artifact_ref) std::cout << " -> " << event.artifact_ref->artifact_id;
      std::cout << '\n';
    }
  });
}
