#pragma once
// The client's environment, read once and passed on as values.

#include <string>
#include <vector>

namespace agentrouter::cli {

struct Environment {
  std::string base_url;          // AGENTROUTER_API_BASE_URL
  std::string api_key;           // AGENTROUTER_API_KEY
  std::string api_key_file;      // AGENTROUTER_API_KEY_FILE
  std::string workspace_id;      // AGENTROUTER_WORKSPACE_ID
  std::string data;              // where the server of this machine and user keeps its data
  bool utf8 = false;             // the locale can show more than ASCII
  bool colour = false;           // nothing says no to colours
  std::vector<std::string> all;  // NAME=value, for programs that we start
};

[[nodiscard]] Environment read_environment();

// $XDG_STATE_HOME/agentrouter, else ~/.local/state/agentrouter; for root /var/lib/agentrouter. Empty when a
// user has neither.
[[nodiscard]] std::string default_data(const std::string& state_home, const std::string& home, bool root);

}  // namespace agentrouter::cli
