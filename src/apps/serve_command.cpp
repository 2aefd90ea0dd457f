#include <unistd.h>

#include <iostream>

#include "apps/commands.h"
#include "apps/config.h"
#include "apps/serve.h"

namespace agentrouter::apps {

int serve_command(const std::vector<std::string>& arguments, const Environment& environment) {
  const auto flags = parse_flags(arguments, serve_flags());
  if (!flags || !flags->rest.empty()) {
    std::cerr << "agentrouter: "
              << (flags ? "unexpected argument " + flags->rest.front() : flags.error().message) << "\n";
    return 2;
  }
  if (flags->has("help")) {
    std::cout << serve_help();
    return 0;
  }
  try {
    const auto config = load_config(*flags, environment, ::geteuid() == 0);
    if (!config) {
      std::cerr << "agentrouter: " << config.error().message << "\n";
      return 2;
    }
    if (flags->has("print-config")) {
      std::cout << print_config(*config);
      return 0;
    }
    return serve({*flags, environment, *config, arguments, ::geteuid() == 0});
  } catch (const base::Failure& failure) {
    std::cerr << "agentrouter: " << failure.what() << "\n";
    return 1;
  }
}

}  // namespace agentrouter::apps
