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

void print_question(const WaitingApproval& question, const Command& command, Output& output) {
  if (command.json) {
    output.out << question.raw.dump() << std::endl;
    return;
  }
  output.out << one_line(question.run_id) << "  " << one_line(question.action_id) << "  "
             << one_line(question.name) << "  " << fit(one_line(question.target), 100) << std::endl;
}

void decide_about(const std::string& id, const Pending& pending, const Command& command, Context& context) {
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
}

}  // namespace

int list_approvals(const Command& command, Context& context) {
  if (command.rules || !command.approve_rest.empty() || !command.deny_rest.empty() || !command.withdraw.empty())
    return standing_rules(command, context);
  constexpr int page_size = 500;
  constexpr int wait_seconds = 20;
  bool any = false;
  for (ListApprovalsRequest request{.run_id = command.run_id, .limit = page_size};;) {
    const auto page = context.client.list_approvals(request, {.stop = context.interrupt});
    for (const auto& question : page.items) print_question(question, command, context.output);
    any = any || !page.items.empty();
    request.after = page.next_after;
    if (page.items.size() == page_size) continue;
    if (!command.watch) break;
    request.wait_seconds = wait_seconds;
  }
  if (!any && !command.json) context.output.err << "Nothing waits for a decision.\n";
  return exit_code::completed;
}

int decide_action(const Command& command, Context& context) {
  const auto actions = read_actions(command, context);
  if (command.all) {
    for (const auto& [id, pending] : actions) decide_about(id, pending, command, context);
    if (actions.empty()) throw UsageError{"no action of this run waits for a decision"};
    return exit_code::completed;
  }
  const auto [id, pending] = chosen_action(command, actions);
  decide_about(id, pending, command, context);
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

int delete_run(const Command& command, Context& context) {
  context.client.delete_run(command.run_id, {.stop = context.interrupt});
  if (command.json) {
    context.output.out << Json::object({{"runId", command.run_id}, {"deleted", true}}).dump() << '\n';
  } else {
    context.output.out << "Deleted the run " << one_line(command.run_id) << '\n';
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
