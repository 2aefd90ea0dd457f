#include <map>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/session_view.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

struct Pending {
  std::string action_digest;
  std::string name;
};

// Actions that were asked about, by id; without `decided` ones.
using Actions = std::map<std::string, Pending>;

void take_event(Actions& actions, const RunEvent& event, const std::string& wanted) {
  const auto id = std::string(event.payload["actionId"].as_string());
  if (id.empty()) return;
  if (event.type == "approval.requested") {
    auto name = event.payload["action"]["name"].as_string();
    if (name.empty()) name = event.payload["actionName"].as_string();
    actions[id] = {std::string(event.payload["actionDigest"].as_string()), one_line(name)};
  }
  const bool settled = event.type == "approval.decided" || event.type == "approval.expired" ||
                       event.type == "approval.withdrawn";
  if (settled && id != wanted) actions.erase(id);  // the server judges one that was named
}

Actions read_actions(const Command& command, Context& context) {
  constexpr int page_size = 500;
  Actions actions;
  for (std::int64_t after = 0;;) {
    const auto page = context.client.list_run_events(command.run_id, {.after_seq = after, .limit = page_size},
                                                     {.stop = context.interrupt});
    for (const auto& event : page.items) take_event(actions, event, command.action_id);
    if (page.items.size() < page_size) return actions;
    after = page.items.back().sequence;
  }
}

Actions::value_type chosen_action(const Command& command, const Actions& actions) {
  if (!command.action_id.empty()) {
    const auto found = actions.find(command.action_id);
    if (found == actions.end()) throw UsageError{"no approval was asked for " + one_line(command.action_id)};
    return *found;
  }
  if (actions.empty()) throw UsageError{"no action of this run waits for a decision"};
  if (actions.size() == 1) return *actions.begin();
  std::string list = "several actions wait; name one of them:";
  for (const auto& [id, pending] : actions) list += "\n  " + one_line(id) + "  " + pending.name;
  throw UsageError{list};
}

}  // namespace

int decide_action(const Command& command, Context& context) {
  const auto [id, pending] = chosen_action(command, read_actions(command, context));
  const ActionDecisionRequest request{.run_id = command.run_id,
                                      .action_id = id,
                                      .action_digest = pending.action_digest,
                                      .reason = command.reason};
  const bool approve = command.name == "approve";
  const CallOptions call{.stop = context.interrupt};
  const auto event = approve ? context.client.approve_run_action(request, call)
                             : context.client.deny_run_action(request, call);
  if (command.json) {
    context.output.out << event.raw.dump() << '\n';
  } else {
    context.output.out << (approve ? "Approved " : "Denied ") << pending.name << " (" << one_line(id)
                       << ")\n";
  }
  return exit_code::completed;
}

int close_run(const Command& command, Context& context) {
  const auto result = context.client.close_run(command.run_id, {.stop = context.interrupt});
  if (command.json) {
    context.output.out << result.raw.dump() << '\n';
  } else {
    context.output.out << "Closed the conversation " << one_line(result.conversation_id) << '\n';
  }
  return exit_code::completed;
}

int cancel_run(const Command& command, Context& context) {
  const auto run = context.client.cancel_run(command.run_id, {.stop = context.interrupt});
  if (command.json) {
    context.output.out << run.raw.dump() << '\n';
  } else {
    context.output.out << "Run " << one_line(run.id) << " " << state_line(run) << '\n';
  }
  return exit_code::completed;
}

}  // namespace agentrouter::cli
