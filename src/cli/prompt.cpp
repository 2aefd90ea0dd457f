#include "cli/prompt.h"

#include "cli/rules.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

// A refusal that only means that the question is no longer open.
bool is_settled(const Error& error) {
  return error.code() == "approval_already_decided" || error.code() == "approval_not_pending" ||
         error.code() == "run_not_active";
}

// One value of an action, without the quotes of plain text.
std::string shown(const Json& value) {
  return one_line(value.is_string() ? value.as_string() : value.dump());
}

// "codex.shell: touch a" of a tool call; the launch is only named.
std::string question_of(const RunEvent& event) {
  constexpr std::size_t shown_columns = 120;
  const auto& action = event.payload["action"];
  auto name = action["name"].as_string();
  if (name.empty()) name = event.payload["actionName"].as_string("an action");
  auto text = one_line(name);
  const auto target = one_line(action["target"].as_string());
  const auto type = action["type"].as_string();
  if ((type == "tool_call" || type == "continue") && !target.empty()) text += ": " + fit(target, shown_columns);
  return text;
}

}  // namespace

bool Prompt::asks(const RunEvent& event) const {
  return context_.line_typed && !input_ended_ && event.type == "approval.requested";
}

void Prompt::take(const RunEvent& event) {
  const auto id = std::string(event.payload["actionId"].as_string());
  if (asks(event)) {
    questions_.push_back(
        {.decision = {.run_id = event.run_id,
                      .action_id = id,
                      .action_digest = std::string(event.payload["actionDigest"].as_string())},
         .name = question_of(event),
         .action = event.payload["action"]});
  } else if (event.type.starts_with("approval.")) {
    drop(id);
  } else if (is_terminal_event(event.type)) {
    questions_.clear();
  }
}

void Prompt::drop(std::string_view action_id) {
  std::erase_if(questions_,
                [&](const Question& question) { return question.decision.action_id == action_id; });
}

void Prompt::ask() {
  if (!waiting()) return;
  context_.output.err << toned(context_.output.colour, Tone::warning,
                               "Allow " + questions_.front().name + "?")
                      << (rule_like(questions_.front().action) ? " [y]es, [n]o, [a]lways in this run, [d]etails: "
                                                               : " [y]es, [n]o, [d]etails: ")
                      << std::flush;
}

void Prompt::poll() {
  if (!waiting() || !context_.line_typed()) return;
  std::string line;
  if (!std::getline(context_.in, line)) {
    const auto& request = questions_.front().decision;
    context_.output.err << "\nDecide elsewhere: agentrouter approve " << one_line(request.run_id) << " "
                        << one_line(request.action_id) << "   (or deny)" << std::endl;
    input_ended_ = true;
    questions_.clear();
    return;
  }
  const auto words = one_line(line);
  const auto blank = std::min(words.find(' '), words.size());
  const auto word = words.substr(0, blank);
  const auto reason = blank < words.size() ? words.substr(blank + 1) : std::string();
  if (word == "y" || word == "yes") {
    decide(true, reason);
  } else if (word == "n" || word == "no") {
    decide(false, reason);
  } else if (word == "a" || word == "always") {
    approve_like();
  } else if (word == "d" || word == "details") {
    show_details();
  }
  ask();
}

// The event of the decision takes the question back as well, but may be late.
void Prompt::decide(bool approve, const std::string& reason) {
  auto request = questions_.front().decision;
  request.reason = reason;
  questions_.pop_front();
  try {
    const CallOptions call{.stop = context_.interrupt};
    static_cast<void>(approve ? context_.client.approve_run_action(request, call)
                              : context_.client.deny_run_action(request, call));
  } catch (const Error& error) {
    if (!is_settled(error)) throw;
    context_.output.err << one_line(error.message()) << std::endl;
  }
}

// The rule decides this question, too: its event takes it back.
void Prompt::approve_like() {
  const auto rule = rule_like(questions_.front().action);
  if (!rule) return;
  try {
    const auto given =
        give_rule(context_, questions_.front().decision.run_id, {.approves = true, .rule = *rule});
    context_.output.err << "Approved for the rest of this run: " << one_line(rule->dump()) << "   (take back: agentrouter approvals "
                        << one_line(questions_.front().decision.run_id) << " --withdraw "
                        << one_line(given["id"].as_string()) << ")" << std::endl;
    if (given["decided"].as_int() > 0) questions_.pop_front();
  } catch (const Error& error) {
    if (!is_settled(error)) throw;
    context_.output.err << one_line(error.message()) << std::endl;
  }
}

void Prompt::show_details() {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : questions_.front().action.as_object()) {
    if (!value.is_object()) {
      rows.push_back({"  " + one_line(name), shown(value)});
      continue;
    }
    for (const auto& [inner, inner_value] : value.as_object()) {
      rows.push_back({"  " + one_line(inner), shown(inner_value)});
    }
  }
  rows.push_back({"  digest", one_line(questions_.front().decision.action_digest)});
  context_.output.err << table(rows) << std::flush;
}

}  // namespace agentrouter::cli
