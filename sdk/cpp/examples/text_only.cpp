// Only the answer.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());
    const auto stream = agentrouter::stream_agent(
        client, {.task = example::task(argc, argv, "Say in one sentence what this folder holds.")});
    for (const auto& text : stream.text_stream()) std::cout << text << '\n';
  });
}
