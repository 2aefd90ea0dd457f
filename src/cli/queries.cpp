#include <array>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/session_view.h"
#include "cli/steps.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

// Seconds are enough for a person: "2026-11-24 13:38:23".
std::string short_time(const std::string& iso) {
  auto text = one_line(iso);
  if (text.size() < 19) return text;
  text[10] = ' ';
  return text.substr(0, 19);
}

std::string runtime_of(const Run& run) {
  auto text = run.runtime.kind;
  for (const auto& part : {run.runtime.mode, run.runtime.permission_mode, run.runtime.model}) {
    if (!part.empty()) text += " " + part;
  }
  return one_line(text);
}

void print_event(const RunEvent& event, const Command& command, Output& output) {
  if (command.json) {
    output.out << event.raw.dump() << std::endl;
    return;
  }
  const auto time = one_line(event.created_at);
  auto line = padded(std::to_string(event.sequence), 6) + (time.size() >= 23 ? time.substr(11, 12) : time) +
              "  " + padded(one_line(event.type), 26) + "  " + summary_of(event);
  while (line.ends_with(' ')) line.pop_back();
  output.out << fit(line, output.out_terminal ? output.columns : 400) << std::endl;
}

using Rows = std::vector<std::vector<std::string>>;

// None from a server that keeps no records.
std::optional<RunRecord> record_of(const std::string& run_id, Context& context) {
  try {
    return context.client.get_run_record(run_id, {.stop = context.interrupt});
  } catch (const Error& error) {
    if (error.status() == 404 || error.status() == 405) return std::nullopt;
    throw;
  }
}

std::string usage_of(const Json& usage) {
  if (!usage.is_object()) return {};
  const auto count = [&](std::string_view key) { return std::to_string(usage[key].as_int()); };
  auto text = count("inputTokens") + " tokens in, " + count("outputTokens") + " out";
  if (!usage["costUsd"].is_null()) text += ", " + usage["costUsd"].dump() + " USD";
  return text;
}

// "1200 of 50000 tokens, 0.02 of 1 USD": what there is a limit for.
std::string limits_of(const Json& limits) {
  constexpr std::array<std::array<const char*, 3>, 6> kinds = {
      {{"maxTokens", "tokens", "tokens"},
       {"maxCostUsd", "costUsd", "USD"},
       {"maxWallSeconds", "wallSeconds", "s"},
       {"maxActions", "actions", "actions"},
       {"maxOutputBytes", "outputBytes", "bytes of output"},
       {"maxNetworkBytes", "networkBytes", "bytes of network"}}};
  std::string text;
  for (const auto& [limit, used, unit] : kinds) {
    if (limits[limit].is_null()) continue;
    const auto& so_far = limits["used"][used];
    text += (text.empty() ? "" : ", ") + (so_far.is_null() ? std::string("0") : so_far.dump()) + " of " +
            limits[limit].dump() + " " + unit;
  }
  return text;
}

// "codex.launch action_0b6f...": an approval names its action only by id.
std::string waiting_action(const RunRecord& record, const PendingApproval& approval) {
  std::string name;
  for (const auto& action : record.actions.as_array()) {
    if (action["actionId"].as_string() == approval.action_id)
      name = one_line(action["name"].as_string()) + " ";
  }
  auto text = name + one_line(approval.action_id);
  return approval.expires_at.empty() ? text : text + " until " + short_time(approval.expires_at);
}

// What the session does not tell.
void add_record_rows(Rows& rows, const RunRecord& record) {
  const auto add = [&](const char* name, std::string text) {
    if (!text.empty()) rows.push_back({name, std::move(text)});
  };
  if (record.phase != to_string(record.run.status)) add("Phase", one_line(record.phase));
  if (record.attempt > 1) add("Attempt", std::to_string(record.attempt));
  if (record.turn_number > 1 || record.conversation_state == "closed") {
    add("Turn", std::to_string(record.turn_number) + " of " + one_line(record.run.conversation_id) +
                    (record.conversation_state == "closed" ? " (closed)" : ""));
  }
  add("Usage", usage_of(record.usage));
  add("Limits", limits_of(record.limits));
  for (const auto& approval : record.pending_approvals) add("Waits for", waiting_action(record, approval));
  std::string operations;
  for (const auto& name : record.operations) operations += (operations.empty() ? "" : ", ") + one_line(name);
  add("Possible", operations);
}

void print_runs(const RunPage& page, const Command& command, Output& output) {
  if (command.json) {
    output.out << page.raw.dump() << '\n';
    return;
  }
  if (page.items.empty()) output.err << "No runs.\n";
  Rows rows;
  for (const auto& run : page.items) {
    rows.push_back({one_line(run.id), one_line(to_string(run.status)), short_time(run.queued_at),
                    fit(one_line(run.task), 60)});
  }
  output.out << table(rows) << std::flush;
  if (!page.next_cursor.empty()) {
    output.err << "There are more: add --cursor " << one_line(page.next_cursor) << ", or --all\n";
  }
}

}  // namespace

int list_budgets(const Command& command, Context& context) {
  const auto budgets = context.client.list_budgets({.stop = context.interrupt});
  auto& output = context.output;
  if (command.json) {
    output.out << budgets.dump() << '\n';
    return exit_code::completed;
  }
  const auto amount = [](const Json& of, const Json& limit) {
    std::string text;
    if (!limit["tokens"].is_null()) text = of["tokens"].dump() + " tokens";
    if (!limit["costUsd"].is_null()) text += (text.empty() ? "" : ", ") + of["costUsd"].dump() + " USD";
    return text;
  };
  Rows rows{{"BUDGET", "PERIOD", "LIMIT", "SPENT", "RESERVED"}};
  for (const auto& item : budgets["items"].as_array()) {
    const auto& limit = item["limit"];
    rows.push_back({one_line(item["scope"].as_string()) + " " + one_line(item["name"].as_string()),
                    one_line(item["period"].as_string()), amount(limit, limit), amount(item["spent"], limit),
                    amount(item["reserved"], limit)});
  }
  if (rows.size() == 1) output.err << "No budgets are configured.\n";
  if (rows.size() > 1) output.out << table(rows) << std::flush;
  return exit_code::completed;
}

Tags tags_of(const Command& command) {
  Tags tags;
  for (const auto& tag : command.tags) {
    const auto equals = tag.find('=');
    if (!tags.emplace(tag.substr(0, equals), tag.substr(equals + 1)).second) {
      throw UsageError{"the tag " + one_line(tag.substr(0, equals)) + " is given twice"};
    }
  }
  return tags;
}

int list_runs(const Command& command, Context& context) {
  const ListRunsRequest request{.status = command.status,
                                .runtime = command.runtime,
                                .tags = tags_of(command),
                                .query = command.query,
                                .limit = command.all ? 100 : command.limit,
                                .cursor = command.cursor};
  const CallOptions call{.stop = context.interrupt};
  if (command.all) {
    RunPage all;
    for (auto& run : context.client.list_all_runs(request, call)) all.items.push_back(run);
    Json::Array items;
    for (const auto& run : all.items) items.push_back(run.raw);
    all.raw = Json::object({{"items", Json::array(std::move(items))}});
    print_runs(all, command, context.output);
  } else {
    print_runs(context.client.list_runs(request, call), command, context.output);
  }
  return exit_code::completed;
}

int list_turns(const Command& command, Context& context) {
  const auto turns = context.client.get_run_turns(command.run_id, {.stop = context.interrupt});
  auto& output = context.output;
  if (command.json) {
    output.out << turns.raw.dump() << '\n';
    return exit_code::completed;
  }
  Rows rows;
  for (const auto& turn : turns.items) {
    rows.push_back({std::to_string(turn.turn_number), one_line(turn.run_id), short_time(turn.created_at),
                    fit(one_line(turn.prompt), 60)});
  }
  output.out << table(rows);
  return exit_code::completed;
}

int show_run(const Command& command, Context& context) {
  const auto session = context.client.get_run_session(command.run_id, {.stop = context.interrupt});
  const auto record = record_of(command.run_id, context);
  auto& output = context.output;
  if (command.json) {
    auto members = session.raw.as_object();
    members.emplace_back("record", record ? record->raw : Json());
    output.out << Json::object(std::move(members)).dump() << '\n';
    return exit_code::completed;
  }
  const auto& run = session.run;
  Rows rows = {{"Run", one_line(run.id)},
               {"State", state_line(run)},
               {"Agent", runtime_of(run)},
               {"Task", one_line(run.task)},
               {"Queued", short_time(run.queued_at)}};
  if (!run.started_at.empty()) rows.push_back({"Started", short_time(run.started_at)});
  if (!run.completed_at.empty()) rows.push_back({"Ended", short_time(run.completed_at)});
  rows.push_back({"Events", std::to_string(session.last_event_seq)});
  if (record) add_record_rows(rows, *record);
  output.out << table(rows) << '\n';
  print_outcome(context.client, session, output);
  return exit_code::completed;
}

int print_events(const Command& command, Context& context) {
  if (command.follow) {
    auto stream =
        context.client.stream_run(command.run_id, {.after_seq = command.after, .stop = context.interrupt});
    for (const auto& event : stream) print_event(event, command, context.output);
    return exit_code::completed;
  }
  constexpr int page_size = 500;
  for (auto after = command.after;;) {
    const auto page = context.client.list_run_events(command.run_id, {.after_seq = after, .limit = page_size},
                                                     {.stop = context.interrupt});
    for (const auto& event : page.items) print_event(event, command, context.output);
    if (page.items.size() < page_size) return exit_code::completed;
    after = page.items.back().sequence;
  }
}

int list_artifacts(const Command& command, Context& context) {
  const auto page = context.client.list_run_artifacts(command.run_id, {.stop = context.interrupt});
  auto& output = context.output;
  if (command.json) {
    output.out << page.raw.dump() << '\n';
  } else {
    if (page.items.empty()) output.err << "No artifacts yet.\n";
    print_artifacts(page.items, output.out);
  }
  return exit_code::completed;
}

}  // namespace agentrouter::cli
