// The same with Claude Code. A server without it ends the run with a failure that says so.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());
    const auto result = agentrouter::run_agent(
        client,
        {.task = example::task(argc, argv,
                               "Review the current repository and suggest the highest-impact cleanup."),
         .runtime = agentrouter::claude_code({.permission_mode = "default", .model = "claude-sonnet-4-6"})});
    std::cout << agentrouter::to_string(result.status) << '\n' << result.text << '\n';
    if (const auto& failure = result.run().failure)
      std::cout << failure->code << ": " << failure->reason << '\n';
  });
}
