// Decisions about the rest of a run, by rule.

#include "cli/rules.h"

#include <charconv>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

constexpr std::string_view id_letters = "abcdefghijklmnopqrstuvwxyz0123456789_-";

std::string rules_path(const Command& command, std::string_view rest = {}) {
  if (command.run_id.empty()) throw UsageError{"name the run that the rule is about"};
  if (command.run_id.find_first_not_of(id_letters) != std::string::npos)
    throw UsageError{one_line(command.run_id) + " is no id of a run"};
  return "/v1/runs/" + command.run_id + "/approval-rules" + std::string(rest);
}

Json number_or_text(std::string_view key, const std::string& value) {
  const bool counts = key.starts_with("max_") || key.starts_with("over_");
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (counts && error == std::errc() && end == value.data() + value.size()) return number;
  return value;
}

// Adds a value to the key's own: one is a value, several are a list.
void add(Json::Object& rule, const std::string& key, Json value) {
  for (auto& [name, present] : rule) {
    if (name != key) continue;
    auto list = present.is_array() ? present.as_array() : Json::Array{present};
    list.push_back(std::move(value));
    present = Json::array(std::move(list));
    return;
  }
  rule.emplace_back(key, std::move(value));
}

std::string condition_text(const Json& value) {
  if (value.is_string()) return one_line(value.as_string());
  return one_line(value.dump());
}

void print_rule(const Json& rule, Output& output) {
  output.out << one_line(rule["id"].as_string()) << "  " << one_line(rule["decision"].as_string()) << "  ";
  std::string conditions;
  for (const auto& [key, value] : rule["rule"].as_object())
    conditions += (conditions.empty() ? "" : ", ") + one_line(key) + "=" + condition_text(value);
  output.out << conditions << "  used " << rule["used"].as_int() << " times";
  if (const auto by = rule["givenBy"].as_string(); !by.empty()) output.out << ", by " << one_line(by);
  if (!rule["withdrawnAt"].is_null()) output.out << ", withdrawn";
  output.out << '\n';
}

int give(const Command& command, bool approves, const std::vector<std::string>& conditions, Context& context) {
  const auto reply = give_rule(
      context, command.run_id, {.approves = approves, .rule = rule_of(conditions), .reason = command.reason});
  if (command.json) {
    context.output.out << reply.dump() << '\n';
    return exit_code::completed;
  }
  print_rule(reply, context.output);
  if (const auto decided = reply["decided"].as_int(); decided > 0)
    context.output.err << decided << " waiting questions are decided by it.\n";
  return exit_code::completed;
}

int list(const Command& command, Context& context) {
  const auto reply = context.client.call("GET", rules_path(command), {}, {.stop = context.interrupt});
  if (command.json) {
    context.output.out << reply.dump() << '\n';
    return exit_code::completed;
  }
  for (const auto& rule : reply["items"].as_array()) print_rule(rule, context.output);
  if (reply["items"].as_array().empty()) context.output.err << "The run has no rules.\n";
  return exit_code::completed;
}

int withdraw(const Command& command, Context& context) {
  if (command.withdraw.find_first_not_of(id_letters) != std::string::npos)
    throw UsageError{one_line(command.withdraw) + " is no id of a rule"};
  const auto reply = context.client.call("DELETE", rules_path(command, "/" + command.withdraw), {},
                                         {.stop = context.interrupt});
  if (command.json) {
    context.output.out << reply.dump() << '\n';
  } else {
    print_rule(reply, context.output);
  }
  return exit_code::completed;
}

}  // namespace

Json rule_of(const std::vector<std::string>& conditions) {
  Json::Object rule;
  Json::Object tags;
  for (const auto& condition : conditions) {
    const auto equals = condition.find('=');
    if (equals == 0 || equals == std::string::npos)
      throw UsageError{"a rule is KEY=VALUE, such as 'command=npm test': not " + one_line(condition)};
    const auto key = condition.substr(0, equals);
    const auto value = condition.substr(equals + 1);
    if (key.starts_with("tag.")) {
      add(tags, key.substr(4), value);
    } else if (key == "hours") {
      rule.emplace_back(key, value);
    } else {
      add(rule, key, number_or_text(key, value));
    }
  }
  if (!tags.empty()) rule.emplace_back("tag", Json::object(std::move(tags)));
  return Json::object(std::move(rule));
}

Json give_rule(Context& context, const std::string& run, const RestDecision& decision) {
  Json::Object body{{"decision", decision.approves ? "approved" : "denied"}, {"rule", decision.rule}};
  if (!decision.reason.empty()) body.emplace_back("reason", decision.reason);
  Command about;
  about.run_id = run;
  return context.client.call("POST", rules_path(about), Json::object(std::move(body)), {.stop = context.interrupt});
}

std::optional<Json> rule_like(const Json& action) {
  const auto& args = action["args"];
  const auto tool = args["tool"].as_string();
  if (tool == "mcp") {
    const auto server = args["input"]["server"].as_string();
    const auto name = args["input"]["tool"].as_string();
    if (server.empty() || name.empty()) return std::nullopt;
    const auto whole = std::string(server) + "." + std::string(name);
    if (whole.find_first_of("*?") != std::string::npos) return std::nullopt;
    return Json::object({{"mcp", whole}});
  }
  if (tool != "shell") return std::nullopt;
  std::string_view command = args["input"]["command"].as_string();
  for (const std::string_view shell : {"/bin/bash -lc '", "/bin/bash -c '", "bash -lc '", "/bin/sh -c '"}) {
    if (!command.starts_with(shell) || !command.ends_with("'")) continue;
    command.remove_prefix(shell.size());
    command.remove_suffix(1);
    break;
  }
  // Only plain words: what a shell would read otherwise than it stands there is decided one by one.
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-./:=@,+%";
  if (command.empty() || command.find_first_not_of(plain) != std::string_view::npos) return std::nullopt;
  return Json::object({{"command", std::string(command)}});
}

int standing_rules(const Command& command, Context& context) {
  if (!command.approve_rest.empty() && !command.deny_rest.empty())
    throw UsageError{"--approve-rest and --deny-rest are two rules: give them one after the other"};
  if (!command.approve_rest.empty()) return give(command, true, command.approve_rest, context);
  if (!command.deny_rest.empty()) return give(command, false, command.deny_rest, context);
  if (!command.withdraw.empty()) return withdraw(command, context);
  return list(command, context);
}

}  // namespace agentrouter::cli
