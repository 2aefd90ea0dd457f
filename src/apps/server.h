#pragma once
// `agentrouter serve`, joined: store, blobs, hub, worker, API and HTTP server on one event loop.

#include <functional>
#include <optional>

#include "apps/config.h"
#include "apps/holdings.h"
#include "apps/service_notify.h"
#include "apps/successor.h"
#include "apps/takeover_request.h"

namespace agentrouter::apps {

// What the rooms of a server need of the process. Outlives run_server().
struct ServerNeeds {
  bool drain = false;
  const ServiceNotify& notify;
  // The configuration as it says now. Errors: invalid.
  std::function<base::Result<Config>()> read_config;
  // Starts this program's file again, to take over. Errors: those of starting it.
  std::function<base::Result<void>()> start_newer;
  // Whether SIGTERM or SIGINT came while no rooms heard them. From the first call on they do not end this process.
  std::function<bool()> told_to_end;
  // Called while rooms still hear signals, and soon no more: told_to_end tells what comes from here on.
  std::function<void()> hear_between;
  TakeoverRequest* predecessor = nullptr;  // waits until this server answers
  bool again = false;                      // rooms of this process have been open before
  bool reload_again = false;               // SIGHUP came after the configuration of these rooms was read
};

// Why it has ended, and what is to be done next.
struct Ending {
  enum class Next { exit, hand_over, reload };
  Next next = Next::exit;
  int exit_code = 0;
  // While it was about to hand over or to open again.
  bool told_to_end = false;
  bool told_to_reload = false;
  std::optional<Successor> successor;  // with hand_over
  std::optional<Config> config;        // with reload
};

// Runs until a signal, the idle time, or a newer server that takes over. Serves what `holdings` has; after
// hand_over and reload everything is closed and `holdings` is as full as before. Throws Failure for what goes
// wrong at the start: what, where, how to fix it.
[[nodiscard]] Ending run_server(const Config& config, const ServerNeeds& needs, Holdings& holdings);

}  // namespace agentrouter::apps
