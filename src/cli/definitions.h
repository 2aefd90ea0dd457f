#pragma once
// Each command's flags and positional words, as CLI11 takes them.

#include <CLI/CLI.hpp>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace agentrouter::cli {

// An App that remembers the choices of its flags, for the shells.
struct Definition {
  CLI::App app;
  Command& command;
  std::map<std::string, std::vector<std::string>> choices;
  std::vector<std::string> task;  // its words

  explicit Definition(Command& target) : command(target) {}

  void choice(const std::string& flag, std::string& value, std::vector<std::string> options,
              const std::string& summary) {
    app.add_option(flag, value, summary)->check(CLI::IsMember(options));
    choices[flag] = std::move(options);
  }
  void run_id() { app.add_option("RUN", command.run_id, "The run's id (run_...)")->required(); }
  void common(const std::string& json) {
    app.add_flag("--json", command.json, json);
    app.add_option("--data", command.data, "Data folder of the server of this machine")->type_name("DIR");
    app.add_option("--workspace-id", command.workspace_id,
                   "Which workspace of the server is meant (default: AGENTROUTER_WORKSPACE_ID, or the key's "
                   "only one)")
        ->type_name("ID");
  }
};

struct Entry {
  std::string_view name;
  std::string_view summary;
  std::string_view example;
  void (*define)(Definition&);
};

// In the order of the help.
extern const std::array<Entry, 26> entries;

}  // namespace agentrouter::cli
