#pragma once
// Command-line flags of the server's programs: --name VALUE, --name=VALUE and --switch.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace agentrouter::apps {

struct FlagSpec {
  std::set<std::string> values;    // flags that take a value; may be given more than once
  std::set<std::string> switches;  // flags that take none
};

struct Flags {
  std::map<std::string, std::vector<std::string>> values;
  std::set<std::string> switches;
  std::vector<std::string> rest;  // what is no flag

  [[nodiscard]] bool has(const std::string& name) const { return switches.contains(name); }
  // The last one given.
  [[nodiscard]] std::optional<std::string> value(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> all(const std::string& name) const;
};

// Errors: invalid (unknown flag, missing value).
[[nodiscard]] base::Result<Flags> parse_flags(const std::vector<std::string>& arguments,
                                              const FlagSpec& spec);

// A whole decimal number within the bounds. Errors: invalid, naming `what`.
[[nodiscard]] base::Result<long long> parse_number(const std::string& text, const std::string& what,
                                                   long long least, long long most);

}  // namespace agentrouter::apps
