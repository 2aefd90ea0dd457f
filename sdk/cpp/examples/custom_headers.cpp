// Headers of one's own with every request, and how the server is reached.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    auto options = example::server();
    options.headers = {{"x-request-source", "nightly"}};
    options.proxy = example::setting("EXAMPLE_PROXY", "");      // empty: as the environment says
    options.ca_file = example::setting("EXAMPLE_CA_FILE", "");  // empty: the system's certificates
    options.max_retries = 4;
    const agentrouter::Client client(options);
    const auto result =
        agentrouter::run_agent(client, {.task = example::task(argc, argv, "Reply exactly READY")});
    std::cout << result.text << '\n';
  });
}
