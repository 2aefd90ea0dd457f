#include <agentrouter/agentrouter.hpp>
#include <iostream>

std::string answer_of(const agentrouter::Client& client, const std::string& task);

// consumer URL KEY TASK: the answer, and how an error of the library arrives in another binary.
int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const agentrouter::Client client({.api_key = argv[2], .base_url = argv[1]});
  std::cout << answer_of(client, argv[3]) << '\n';
  try {
    static_cast<void>(client.get_run("run_00000000-0000-4000-8000-000000000000"));
  } catch (const agentrouter::Error& error) {
    std::cout << error.code() << ' ' << error.status() << '\n';
    return 0;
  }
  return 1;
}
