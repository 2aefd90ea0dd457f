// A second turn that finds the files and the thread of the first, and the end of the conversation.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());

    const auto first = agentrouter::run_agent(
        client, {.task = example::task(argc, argv, "Create src/fib.ts with a fib(n) function."),
                 .runtime = example::runtime(argc, argv)});

    const auto second = agentrouter::stream_agent(
        client, {.continue_run = first.id, .message = "Create src/fib.test.ts with tests for fib(n)."});
    std::cout << "turn " << second.turn_number().value_or(0) << " of " << second.conversation_id() << '\n';
    for (const auto& part : second.full_stream()) {
      if (const auto* text = std::get_if<agentrouter::TextPart>(&part)) std::cout << text->text << '\n';
    }

    // The patch of a turn holds what all turns so far have changed.
    const auto result = second.final_result();
    for (const auto& artifact : result.artifacts()) {
      if (artifact.kind == "workspace_patch") std::cout << client.download_artifact(result.id, artifact.id);
    }

    for (const auto& turn : client.get_run_turns(first.id).items) {
      std::cout << turn.turn_number << ": " << turn.prompt << '\n';
    }
    const auto closed = client.close_run(first.id);
    std::cout << (closed.closed ? "closed" : "still open") << '\n';
  });
}
