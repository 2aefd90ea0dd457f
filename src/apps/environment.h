#pragma once
// The environment of the server's programs, read once and passed on as values.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace agentrouter::apps {

class Environment {
 public:
  // The process's own.
  [[nodiscard]] static Environment current();
  explicit Environment(std::map<std::string, std::string> values) : values_(std::move(values)) {}

  // The process' own has these no longer; a program that it starts does not get them. Values read before stay.
  static void forget(const std::vector<std::string>& names);

  // "NAME=value" of all but these: the environment of a program that is started.
  [[nodiscard]] std::vector<std::string> without(const std::set<std::string>& names) const;

  // Set and not empty.
  [[nodiscard]] std::optional<std::string> get(const std::string& name) const;
  // NAME, or else the content of the file that NAME_FILE names, without the line end. Throws Failure when
  // that file cannot be read.
  [[nodiscard]] std::optional<std::string> secret(const std::string& name) const;

 private:
  std::map<std::string, std::string> values_;
};

// Where things are when nothing else is said: XDG folders for a user, system folders for root.
struct DefaultPaths {
  std::string data;
  std::string agents;
};
[[nodiscard]] DefaultPaths default_paths(const Environment& environment, bool root);

}  // namespace agentrouter::apps
