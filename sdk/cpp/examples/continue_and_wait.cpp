// Continues a conversation and waits, in one call.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());
    const auto first = agentrouter::run_agent(
        client, {.task = example::task(argc, argv, "Create src/fib.ts with a fib(n) function.")});

    const auto result = agentrouter::run_agent(
        client, {.continue_run = first.id, .message = "Create src/edge.test.ts for n = 0 and n = 1."});
    std::cout << result.text << '\n' << agentrouter::to_string(result.status) << '\n';
    client.close_run(first.id);
  });
}
