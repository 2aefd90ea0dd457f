// One run, from the task to the answer.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());

    const auto result = agentrouter::run_agent(
        client, {.task = example::task(argc, argv, "Inspect this repo and summarize the test strategy."),
                 .runtime = agentrouter::codex({.mode = "default"})});

    std::cout << result.id << '\n';                              // run id
    std::cout << agentrouter::to_string(result.status) << '\n';  // completed | failed | cancelled
    std::cout << result.text << '\n';                            // the final answer
    std::cout << result.artifacts().size() << " artifacts\n";    // logs, patch, file index
    std::cout << "last event " << result.last_event_seq() << '\n';
  });
}
