// How much the agent may do by itself.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());
    const auto task = example::task(argc, argv, "Reply exactly READY");
    for (const auto& runtime :
         {agentrouter::codex({.mode = "default", .model = "gpt-5.5"}),
          agentrouter::codex({.mode = "read_only"}), agentrouter::codex({.mode = "full_access"})}) {
      const auto result = agentrouter::run_agent(client, {.task = task, .runtime = runtime});
      std::cout << result.run().runtime.mode << ' ' << agentrouter::to_string(result.status) << '\n';
    }
  });
}
