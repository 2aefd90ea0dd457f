#pragma once
// Every key of agentrouter.toml that belongs to no group of its own. Internal to apps.

#include <functional>
#include <map>
#include <string>

#include "apps/config.h"

namespace agentrouter::apps {

struct Setting {
  std::function<base::Result<void>(Config&, const std::string&)> set;
};

// A list is given to its setting item by item.
[[nodiscard]] const std::map<std::string, Setting>& settings();
// Keys whose values are lists.
[[nodiscard]] bool is_list(const std::string& key);
// Where to listen: HOST:PORT, or [ADDRESS]:PORT of IPv6. `name` is for the error, which is invalid.
struct ListenText {
  std::string host;  // without brackets
  std::uint16_t port = 0;
};
[[nodiscard]] base::Result<ListenText> parse_listen(const std::string& name, const std::string& text);
// `name` is for the error.
[[nodiscard]] base::Result<void> set_minutes(std::chrono::milliseconds& target, const std::string& name,
                                             const std::string& text);

}  // namespace agentrouter::apps
