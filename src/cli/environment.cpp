#include "cli/environment.h"

#include <unistd.h>

#include <cstdlib>

namespace agentrouter::cli {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::string default_data(const std::string& state_home, const std::string& home, bool root) {
  if (root) return "/var/lib/agentrouter";
  if (state_home.starts_with('/')) return state_home + "/agentrouter";
  return home.empty() ? std::string() : home + "/.local/state/agentrouter";
}

Environment read_environment() {
  Environment result{.base_url = variable("AGENTROUTER_API_BASE_URL"),
                     .api_key = variable("AGENTROUTER_API_KEY"),
                     .api_key_file = variable("AGENTROUTER_API_KEY_FILE"),
                     .workspace_id = variable("AGENTROUTER_WORKSPACE_ID"),
                     .data = default_data(variable("XDG_STATE_HOME"), variable("HOME"), ::geteuid() == 0)};
  auto locale = variable("LC_ALL");
  if (locale.empty()) locale = variable("LC_CTYPE");
  if (locale.empty()) locale = variable("LANG");
  result.utf8 = locale.find("UTF-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  result.colour = variable("NO_COLOR").empty() && variable("TERM") != "dumb" && !variable("TERM").empty();
  for (char** entry = environ; *entry; ++entry) result.all.emplace_back(*entry);
  return result;
}

}  // namespace agentrouter::cli
