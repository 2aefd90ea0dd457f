// agentrouter policy suggest RUN: the decisions of a run, from its server, as a draft.

#include <agentrouter/client.hpp>
#include <iostream>
#include <map>

#include "apps/commands.h"
#include "apps/policy_suggest.h"
#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/text.h"

namespace agentrouter::apps {

namespace {

// The actions that a person decided about, in the order of the decisions.
std::vector<DecidedAction> decided_actions(const Client& client, const std::string& run) {
  std::map<std::string, DecidedAction> proposed;
  std::vector<DecidedAction> decided;
  std::int64_t after = 0;
  for (;;) {
    const auto page = client.list_run_events(run, {.after_seq = after, .limit = 500});
    for (const auto& event : page.items) {
      const std::string id(event.payload["actionId"].as_string());
      if (event.type == "action.proposed") {
        const auto& args = event.payload["action"]["args"];
        const auto input = base::parse_json(args["input"].dump());
        if (input && input->is_object())
          proposed[id] = {std::string(args["tool"].as_string()), input->get_object(), false};
      } else if (event.type == "approval.decided" && proposed.contains(id)) {
        decided.push_back(proposed.at(id));
        decided.back().approved = event.payload["decision"].as_string() == "approved";
      }
    }
    if (page.items.empty() || page.next_after_seq <= after) return decided;
    after = page.next_after_seq;
  }
}

int complain(const std::string& message, int code) {
  std::cerr << "agentrouter: " << cli::printable(message) << std::endl;
  return code;
}

}  // namespace

int suggest_policy(const std::string& run, const std::string& data) {
  const auto server = cli::connect(cli::read_environment(), {.data = data});
  if (!server) return complain(server.error().message, cli::exit_code::failed);
  try {
    const Client client({.api_key = server->api_key, .base_url = server->url});
    const auto decided = decided_actions(client, run);
    if (decided.empty()) return complain("nobody decided about an action of " + run, cli::exit_code::failed);
    std::cout << cli::printable(draft_policy(decided));
    return cli::exit_code::completed;
  } catch (const Error& error) {
    return complain(error.message() + " (" + error.code() + ")", cli::exit_code::failed);
  }
}

}  // namespace agentrouter::apps
