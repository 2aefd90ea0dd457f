#pragma once
// `agentrouter serve`, joined: store, blobs, hub, worker, API and HTTP server on one event loop.

#include <memory>

#include "apps/config.h"

namespace agentrouter::apps {

class Program;

// Runs until SIGTERM, SIGINT or the idle time. Returns the exit code. Everything that goes wrong at the start
// is said in one line on stderr: what, where, how to fix it.
[[nodiscard]] int serve(const Config& config, bool drain);

}  // namespace agentrouter::apps
