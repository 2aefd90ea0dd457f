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

}  // namespace

int list_runs(const Command& command, Context& context) {
  const auto page = context.client.list_runs({.status = command.status, .limit = command.limit},
                                             {.stop = context.interrupt});
  auto& output = context.output;
  if (command.json) {
    output.out << page.raw.dump() << '\n';
    return exit_code::completed;
  }
  if (page.items.empty()) output.err << "No runs.\n";
  std::vector<std::vector<std::string>> rows;
  for (const auto& run : page.items) {
    rows.push_back({one_line(run.id), one_line(to_string(run.status)), short_time(run.queued_at),
                    fit(one_line(run.task), 60)});
  }
  output.out << table(rows);
  return exit_code::completed;
}

int show_run(const Command& command, Context& context) {
  const auto session = context.client.get_run_session(command.run_id, {.stop = context.interrupt});
  auto& output = context.output;
  if (command.json) {
    output.out << session.raw.dump() << '\n';
    return exit_code::completed;
  }
  const auto& run = session.run;
  std::vector<std::vector<std::string>> rows = {{"Run", one_line(run.id)},
                                                {"State", state_line(run)},
                                                {"Agent", runtime_of(run)},
                                                {"Task", one_line(run.task)},
                                                {"Queued", short_time(run.queued_at)}};
  if (!run.started_at.empty()) rows.push_back({"Started", short_time(run.started_at)});
  if (!run.completed_at.empty()) rows.push_back({"Ended", short_time(run.completed_at)});
  rows.push_back({"Events", std::to_string(session.last_event_seq)});
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
