#include "apps/environment.h"

#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "base/utf8.h"

namespace agentrouter::apps {

Environment Environment::current() {
  std::map<std::string, std::string> values;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string text(*entry);
    const auto equals = text.find('=');
    if (equals != std::string::npos) values.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return Environment(std::move(values));
}

void Environment::forget(const std::vector<std::string>& names) {
  for (const auto& name : names) ::unsetenv(name.c_str());
}

std::vector<std::string> Environment::without(const std::set<std::string>& names) const {
  std::vector<std::string> entries;
  for (const auto& [name, value] : values_) {
    if (!names.contains(name)) entries.push_back(name + "=" + value);
  }
  return entries;
}

std::optional<std::string> Environment::get(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

std::optional<std::string> Environment::secret(const std::string& name) const {
  if (auto value = get(name)) return value;
  const auto file = get(name + "_FILE");
  if (!file) return std::nullopt;
  const auto text = base::value_or_throw(base::read_file(*file, 64 * 1024));
  return std::string(base::trim_js(text));
}

DefaultPaths default_paths(const Environment& environment, bool root) {
  if (root)
    return {"/var/lib/agentrouter",
            environment.get("AGENTROUTER_AGENTS_DIR").value_or("/opt/agentrouter/agents")};
  const auto home = environment.get("HOME").value_or("/");
  const auto state = environment.get("XDG_STATE_HOME").value_or(home + "/.local/state");
  const auto share = environment.get("XDG_DATA_HOME").value_or(home + "/.local/share");
  return {state + "/agentrouter",
          environment.get("AGENTROUTER_AGENTS_DIR").value_or(share + "/agentrouter/agents")};
}

}  // namespace agentrouter::apps
