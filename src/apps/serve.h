#pragma once
// The process of `agentrouter serve`: gets what it holds (by itself, from a service manager, from the server that
// it takes over from), runs one set of rooms after the other on it, and passes it on.

#include "apps/config.h"

namespace agentrouter::apps {

struct ServeOrder {
  Flags flags;
  Environment environment;
  Config config;
  std::vector<std::string> arguments;  // after "serve"
  bool root = false;
};

// Returns the exit code. Everything that goes wrong at the start is said in one line on stderr.
[[nodiscard]] int serve(const ServeOrder& order);

}  // namespace agentrouter::apps
