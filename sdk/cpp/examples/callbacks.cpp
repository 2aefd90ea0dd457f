// The same with callbacks: one call that waits, and tells what happens meanwhile.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());

    const auto result = agentrouter::run_agent(
        client, {.task = example::task(argc, argv, "Create notes.txt with three ideas.")},
        {.on_event = [](const agentrouter::RunEvent& event) { std::clog << event.sequence << '\n'; },
         .on_part =
             [](const agentrouter::AgentStreamPart& part) {
               std::cout << agentrouter::type_of(part) << ": " << agentrouter::text_of(part) << '\n';
             },
         .on_text = [](std::string_view text) { std::cout << "answer: " << text << '\n'; }});
    std::cout << agentrouter::to_string(result.status) << '\n';
  });
}
