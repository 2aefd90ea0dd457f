// Errors of the server, of waiting, and the caller's own "enough".
#include <thread>

#include "settings.hpp"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());
    try {
      agentrouter::run_agent(client, {.task = example::task(argc, argv, "Run tests.")}, {.max_wait = 0ms});
    } catch (const agentrouter::Error& error) {
      std::cout << error.code() << ' ' << error.status() << ' ' << error.details().dump() << '\n';
      client.cancel_run(error.details()["runId"].as_string());  // it goes on otherwise
    }

    try {
      static_cast<void>(client.get_run("run_00000000-0000-4000-8000-000000000000"));
    } catch (const agentrouter::Error& error) {
      std::cout << error.code() << ' ' << error.status() << '\n';  // run_not_found 404
    }

    std::stop_source enough;
    const std::jthread clock([&] { enough.request_stop(); });
    try {
      agentrouter::run_agent(client, {.task = "Take your time."}, {.stop = enough.get_token()});
      std::cout << "ended in time\n";
    } catch (const agentrouter::Error& error) {
      std::cout << error.code() << '\n';  // cancelled
    }
  });
}
