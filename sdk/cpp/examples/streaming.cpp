// What an agent does, while it does it.
#include "settings.hpp"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());

    const auto stream = agentrouter::stream_agent(
        client,
        {.task = example::task(argc, argv, "Create reports/agent-smoke.txt and explain what you changed."),
         .runtime = agentrouter::codex({.mode = "full_access"})},
        {.max_wait = 10min});

    for (const auto& part : stream.full_stream()) {
      std::visit(
          agentrouter::Overloaded{
              [](const agentrouter::ProgressPart& p) { std::cout << "process: " << p.text << '\n'; },
              [](const agentrouter::MessagePart& p) { std::cout << "agent: " << p.text << '\n'; },
              [](const agentrouter::TextPart& p) { std::cout << p.text << '\n'; },
              [](const agentrouter::ErrorPart& p) { std::cerr << p.text << '\n'; }, [](const auto&) {}},
          part);
    }

    const auto result = stream.final_result();
    std::cout << agentrouter::to_string(result.status) << '\n';
  });
}
