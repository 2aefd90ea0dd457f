#pragma once
// Listening sockets that this process did not open: of a service manager (LISTEN_FDS), or of the server that
// it takes over from. And which of them are served.

#include <functional>
#include <string>
#include <vector>

#include "apps/config.h"
#include "apps/environment.h"
#include "base/fd.h"
#include "net/listener.h"

namespace agentrouter::apps {

struct ListeningSocket {
  base::Fd fd;
  net::ListenerAddress address;
  bool activated = false;  // the service manager opened it and keeps it
};

// What LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say, if it is meant for the process `self`; close-on-exec
// from now on. Errors: invalid, naming the descriptor or the variable.
[[nodiscard]] base::Result<std::vector<ListeningSocket>> activated_sockets(const Environment& environment,
                                                                           pid_t self);

struct SocketChoice {
  std::vector<ListeningSocket> serve;
  std::vector<ListeningSocket> retire;  // who waits there already is answered, then they are closed
};
// Waits until it is worth trying again; false when it has been tried long enough.
using AddressWait = std::function<bool()>;
// Tries for two seconds. Blocks.
[[nodiscard]] AddressWait wait_for_address();

// Those of the service manager if there are any, else those of `passed` that are where `config` listens, else
// one opened for it. Both lists are moved from, but only when it works. Errors: those of
// net::open_listener(). When nothing was passed an address that is in use is tried again as long as `wait`
// says: a server that was killed a moment ago may have a child that is not yet another program and holds its
// sockets until it is.
[[nodiscard]] base::Result<SocketChoice> choose_sockets(const Config& config,
                                                        std::vector<ListeningSocket>& activated,
                                                        std::vector<ListeningSocket>& passed,
                                                        const AddressWait& wait = wait_for_address());

// Where clients of this machine reach the first one: "http://127.0.0.1:8787", or
// "unix:/run/agentrouter.sock".
[[nodiscard]] std::string url_of(const Config& config, const ListeningSocket& socket);

}  // namespace agentrouter::apps
