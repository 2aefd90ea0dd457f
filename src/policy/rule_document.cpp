// A policy from its document, with errors that say where, what and what is wanted.

#include <algorithm>
#include <array>
#include <charconv>

#include "policy/document_values.h"
#include "policy/rule.h"
#include "policy/rules.h"

namespace agentrouter::policy {

namespace {

using base::Result;
using std::string_view;

constexpr std::size_t max_rules = 1'000;
constexpr std::array<string_view, 10> tools{"shell", "edit",     "read",    "mcp",    "web",
                                            "todo",  "subagent", "network", "launch", "other"};
constexpr std::array<string_view, 7> day_names{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

Patterns words_of(string_view text) {
  Patterns words;
  while (true) {
    const auto start = text.find_first_not_of(" \t");
    if (start == string_view::npos) return words;
    text.remove_prefix(start);
    const auto end = std::min(text.find_first_of(" \t"), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

std::optional<int> clock_of(string_view text) {
  int hour = 0;
  int minute = 0;
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const auto number = [&](std::size_t at, int& target) {
    const auto* end = text.data() + at + 2;
    return std::from_chars(text.data() + at, end, target).ptr == end;
  };
  if (!number(0, hour) || !number(3, minute) || hour < 0 || minute < 0 || hour > 24 || minute > 59)
    return std::nullopt;
  const int clock = hour * 60 + minute;
  return clock <= 24 * 60 ? std::optional(clock) : std::nullopt;
}

// Fills one rule key by key.
class RuleReader {
 public:
  RuleReader(Rule& rule, std::string where) : rule_(rule), where_(std::move(where)) {}

  Result<void> read(const json::object& object) {
    for (const auto& member : object) {
      if (auto done = take(key_of(member), member.value()); !done) return done;
    }
    if (!object.contains("verdict")) return refuse(where_, "want a verdict: allow, ask or deny");
    if (rule_.about_commands() && !only_shell())
      return refuse(where_, "command, with, without and options are about tool = \"shell\" and nothing else");
    return {};
  }

 private:
  using PatternKey = std::pair<string_view, Patterns Rule::*>;
  using NumberKey = std::pair<string_view, std::optional<std::int64_t> Rule::*>;
  static constexpr std::array<PatternKey, 12> pattern_keys{{{"with", &Rule::with},
                                                            {"without", &Rule::without},
                                                            {"options", &Rule::options},
                                                            {"env", &Rule::env},
                                                            {"path", &Rule::path},
                                                            {"change", &Rule::change},
                                                            {"mcp", &Rule::mcp},
                                                            {"host", &Rule::host},
                                                            {"method", &Rule::method},
                                                            {"url_path", &Rule::url_path},
                                                            {"runtime", &Rule::runtime},
                                                            {"mode", &Rule::mode}}};
  static constexpr std::array<NumberKey, 6> number_keys{{{"max_lines", &Rule::max_lines},
                                                         {"max_bytes", &Rule::max_bytes},
                                                         {"max_files", &Rule::max_files},
                                                         {"over_lines", &Rule::over_lines},
                                                         {"over_bytes", &Rule::over_bytes},
                                                         {"over_files", &Rule::over_files}}};

  [[nodiscard]] bool only_shell() const {
    return rule_.tool.empty() || (rule_.tool.size() == 1 && rule_.tool.front() == "shell");
  }
  [[nodiscard]] std::string at(string_view key) const { return where_ + "." + std::string(key); }

  Result<void> take(string_view key, const json::value& value) {
    for (const auto& [name, member] : pattern_keys) {
      if (key == name) return take_patterns(key, value, rule_.*member);
    }
    for (const auto& [name, member] : number_keys) {
      if (key == name) return take_number(key, value, rule_.*member);
    }
    if (key == "tool") return take_tool(value);
    if (key == "command") return take_command(value);
    if (key == "tag") return take_tags(value);
    if (key == "days") return take_days(value);
    if (key == "hours") return take_hours(value);
    return take_name(key, value);
  }

  Result<void> take_name(string_view key, const json::value& value) {
    if (key == "verdict") {
      AGENTROUTER_TRY(rule_.verdict, decision_of(value, at(key)));
    } else if (key == "id") {
      AGENTROUTER_TRY(rule_.id, text_of(value, at(key), max_text_bytes));
    } else if (key == "reason") {
      AGENTROUTER_TRY(rule_.reason, text_of(value, at(key), max_text_bytes));
    } else {
      Patterns known{"id", "verdict", "reason", "tool", "command", "tag", "days", "hours"};
      for (const auto& entry : pattern_keys) known.emplace_back(entry.first);
      for (const auto& entry : number_keys) known.emplace_back(entry.first);
      return refuse(where_, "unknown key \"" + std::string(key) + "\": want one of " + list_of(known));
    }
    return {};
  }

  Result<void> take_patterns(string_view key, const json::value& value, Patterns& target) {
    AGENTROUTER_TRY(target, patterns_of(value, at(key)));
    return {};
  }

  Result<void> take_number(string_view key, const json::value& value, std::optional<std::int64_t>& target) {
    const auto* number = value.if_int64();
    const auto* positive = value.if_uint64();
    if (!positive && (!number || *number < 0)) return refuse(at(key), "want a number, 0 or more");
    target = number ? *number : static_cast<std::int64_t>(std::min<std::uint64_t>(*positive, INT64_MAX));
    return {};
  }

  Result<void> take_tool(const json::value& value) {
    AGENTROUTER_TRY(rule_.tool, patterns_of(value, at("tool")));
    for (const auto& tool : rule_.tool) {
      if (std::find(tools.begin(), tools.end(), tool) == tools.end())
        return refuse(at("tool"), "\"" + tool + "\" is no tool: want one of " + list_of(tools));
    }
    return {};
  }

  Result<void> take_command(const json::value& value) {
    AGENTROUTER_TRY(const auto texts, patterns_of(value, at("command")));
    for (const auto& text : texts) {
      auto words = words_of(text);
      if (words.empty())
        return refuse(at("command"), "want a program and the words behind it, like \"git status\"");
      rule_.command.push_back(std::move(words));
    }
    return {};
  }

  Result<void> take_tags(const json::value& value) {
    const auto* object = value.if_object();
    if (!object) return refuse(at("tag"), "want a table of names and values");
    for (const auto& member : *object) {
      const std::string name(key_of(member));
      AGENTROUTER_TRY(auto values, patterns_of(member.value(), at("tag." + name)));
      rule_.tag.emplace_back(name, std::move(values));
    }
    return {};
  }

  Result<void> take_days(const json::value& value) {
    AGENTROUTER_TRY(const auto names, patterns_of(value, at("days")));
    for (const auto& name : names) {
      const auto* found = std::find(day_names.begin(), day_names.end(), name);
      if (found == day_names.end())
        return refuse(at("days"), "\"" + name + "\" is no day: want " + list_of(day_names));
      rule_.days.push_back(static_cast<int>(found - day_names.begin()));
    }
    return {};
  }

  Result<void> take_hours(const json::value& value) {
    const auto* text = value.if_string();
    const string_view span = text ? string_view(*text) : "";
    const auto from = span.size() == 11 && span[5] == '-' ? clock_of(span.substr(0, 5)) : std::nullopt;
    const auto to = from ? clock_of(span.substr(6)) : std::nullopt;
    if (!to) return refuse(at("hours"), "want a span of UTC like \"09:00-17:00\"");
    rule_.hours = std::pair(*from, *to);
    return {};
  }

  Rule& rule_;
  std::string where_;
};

Result<void> read_rules(Policy& policy, const json::value& value) {
  const auto* list = value.if_array();
  if (!list || list->size() > max_rules)
    return refuse("rules", "want a list of at most " + std::to_string(max_rules) + " rules");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto* object = (*list)[i].if_object();
    const auto number = std::to_string(i + 1);
    if (!object) return refuse("rule " + number, "want a table");
    Rule rule{.id = "rule-" + number};
    const auto name = base::get_string(*object, "id");
    const auto where = "rule " + number + (name ? " (" + std::string(*name) + ")" : "");
    if (auto done = RuleReader(rule, where).read(*object); !done) return done;
    for (const auto& other : policy.rules) {
      if (other.id == rule.id) return refuse(where + ".id", "another rule has this id: want each once");
    }
    policy.rules.push_back(std::move(rule));
  }
  return {};
}

Result<void> read_key(Policy& policy, string_view key, const json::value& value) {
  if (key == "name") {
    const auto* text = value.if_string();
    if (!text || !is_policy_name(*text)) return refuse("name", "want 1 to 64 of a-z 0-9 - _");
    policy.name = *text;
  } else if (key == "description") {
    AGENTROUTER_TRY(std::ignore, text_of(value, "description", max_text_bytes));
  } else if (key == "default") {
    AGENTROUTER_TRY(policy.fallback, decision_of(value, "default"));
  } else if (key == "not_understood") {
    AGENTROUTER_TRY(policy.not_understood, decision_of(value, "not_understood"));
    if (policy.not_understood == Decision::allowed)
      return refuse("not_understood", "what is not understood cannot be allowed: want \"ask\" or \"deny\"");
  } else if (key == "mode") {
    if (value != "enforce" && value != "dry-run") return refuse("mode", "want \"enforce\" or \"dry-run\"");
    policy.dry_run = value == "dry-run";
  } else if (key == "no_progress") {
    AGENTROUTER_TRY(policy.no_progress, NoProgressRules::parse(value));
  } else if (key == "require_isolation") {
    const auto* text = value.if_string();
    const auto isolation = text ? model::parse_isolation(*text) : std::nullopt;
    if (!isolation) return refuse("require_isolation", "want \"process\", \"user-kernel\" or \"vm\"");
    policy.isolation = *isolation;
  } else if (key == "rules") {
    return read_rules(policy, value);
  } else if (key == "egress") {
    return {};  // when name and mode are known
  } else {
    return refuse("document",
                  "unknown key \"" + std::string(key) +
                      "\": want name, description, default, not_understood, mode, inherit, no_progress, "
                      "require_isolation, rules or egress");
  }
  return {};
}

}  // namespace

Result<Policy> parse_policy(const json::object& document) {
  Policy policy;
  for (const auto& member : document) {
    if (auto done = read_key(policy, key_of(member), member.value()); !done)
      return tl::unexpected(done.error());
  }
  if (policy.name.empty()) return refuse("name", "want the policy's name");
  if (const auto* egress = document.if_contains("egress")) {
    AGENTROUTER_TRY(policy.egress, EgressRules::parse(*egress, policy.name,
                                                      policy.dry_run ? Opens::nothing : Opens::as_said));
  }
  const bool says_more =
      policy.no_progress || document.contains("egress") || document.contains("require_isolation");
  policy.judges = !says_more || document.contains("default") || document.contains("rules") ||
                  document.contains("not_understood");
  if (policy.judges && !document.contains("default"))
    return refuse("default", "want \"allow\", \"ask\" or \"deny\"");
  if (policy.no_progress) policy.no_progress->dry_run = policy.dry_run;
  policy.document = document;
  policy.version = base::json_digest(document);
  return policy;
}

}  // namespace agentrouter::policy
