#pragma once
// Which server a command talks to: AGENTROUTER_API_BASE_URL when it is set, else the one of this machine and
// user, which is started when none answers.

#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "cli/environment.h"
#include "cli/local_server.h"

namespace agentrouter::cli {

struct Server {
  std::string url;
  std::string api_key;
};

// Whether a URL names this machine by a loopback name: a server there sees the same folders.
[[nodiscard]] bool is_this_machine(std::string_view url);

struct ConnectRequest {
  std::filesystem::path data;  // empty: the environment's
  // What the server has to use; none: whatever it does.
  std::optional<Provider> provider = {};
  // What it has to do with what runs ask their providers.
  Cassettes cassettes = {};
  std::stop_token stop = {};
  // Called before a server is started, for a word to the person who waits.
  std::function<void()> on_start = {};
  // How a server is started; the default is the real way.
  std::function<base::Result<std::string>(const LocalServer&)> start = start_local_server;
};

// Errors: invalid (no base URL and no place for data; cassettes are wanted of the server of a base URL),
// conflict (a server with the other kind of provider, or with other cassettes, is running), and those of
// starting one. A missing key is no error here: the server's refusal says more.
[[nodiscard]] base::Result<Server> connect(const Environment& environment, const ConnectRequest& request);

}  // namespace agentrouter::cli
