#pragma once
// [secrets.NAME] and [egress] of the configuration: what is added to requests of runs outside of their
// sandboxes, and what of this machine and of private networks they may reach where a policy lets them.

#include <string>
#include <string_view>
#include <vector>

#include "apps/environment.h"
#include "base/error.h"
#include "keeper/egress_plan.h"
#include "policy/rules.h"

namespace agentrouter::apps {

struct EgressConfig {
  // A secret as it stands in the configuration.
  struct Written {
    std::string name;
    std::string host;
    std::vector<std::string> methods = {};
    std::vector<std::string> paths = {};
    std::string header = {};  // empty: authorization
    std::string format = {};  // empty: "Bearer {value}" of authorization, else "{value}"
    std::string user = {};    // not empty: Basic, of this user and the value
    std::string value = {};
    std::string value_env = {};
  };
  std::vector<Written> written = {};
  std::vector<std::string> private_hosts = {};
  std::string ca_file = {};
  keeper::EgressPlan plan = {};  // all of it, once finish_egress() was called
};

struct EgressSetting {
  std::string key;                  // "secrets.NAME.host", "egress.private_hosts"...
  std::vector<std::string> values;  // one unless the key is a list
};
[[nodiscard]] bool is_egress_setting(std::string_view key);
[[nodiscard]] bool is_egress_list(std::string_view key);
// Errors: invalid, with what is wanted; those of reading a value_file.
[[nodiscard]] base::Result<void> set_egress(EgressConfig& config, const EgressSetting& setting);
// What only the whole table shows, the variables that value_env names, and the file of ca_file.
// Errors: invalid.
[[nodiscard]] base::Result<void> finish_egress(EgressConfig& config, const Environment& environment);

// As TOML, with the values left out.
[[nodiscard]] std::string print_egress(const EgressConfig& config);

// Whether all secrets that the rules name are there. Errors: invalid (secret_unknown, details {name}).
[[nodiscard]] base::Result<void> check_secrets(const policy::Rules& rules, const EgressConfig& config);

}  // namespace agentrouter::apps
