#include "policy/no_progress_rules.h"

#include <algorithm>

#include "policy/document_values.h"

namespace agentrouter::policy {

namespace {

using base::Result;

constexpr std::array<std::string_view, signal_count> signal_names{
    "repeated_command",          "repeated_edit", "repeated_call", "ping_pong", "reverted_edit", "error_loop",
    "long_output_without_state", "long_silence"};
constexpr std::array<std::string_view, 4> action_names{"warn", "interrupt", "ask", "stop"};
constexpr std::size_t max_steps = 8;

struct Range {
  int least;
  int most;
};
constexpr std::array<Range, signal_count> ranges{
    {{2, 1000}, {2, 1000}, {2, 1000}, {2, 100}, {1, 1000}, {2, 1000}, {10, 1'000'000}, {1, 86'400}}};

Result<void> take_number(const json::value& value, const std::string& where, Range range, int& target) {
  const auto* number = value.if_int64();
  const auto* positive = value.if_uint64();
  const auto most = static_cast<std::uint64_t>(range.most);
  const bool fits = number ? *number >= range.least && *number <= range.most : positive && *positive <= most;
  if (!fits)
    return refuse(where,
                  "want a number from " + std::to_string(range.least) + " to " + std::to_string(range.most));
  target = static_cast<int>(number ? *number : static_cast<std::int64_t>(*positive));
  return {};
}

Result<void> take_actions(const json::value& value, const std::string& where,
                          std::vector<Intervention>& target) {
  const json::array one{value};
  const auto* list = value.if_array();
  if (!list) list = &one;
  std::vector<Intervention> actions;
  for (const auto& item : *list) {
    const auto* text = item.if_string();
    const auto* found = text ? std::find(action_names.begin(), action_names.end(), *text) : nullptr;
    if (!text || found == action_names.end())
      return refuse(where, "want one of " + list_of(action_names) + ", or a list of them by occurrence");
    actions.push_back(static_cast<Intervention>(found - action_names.begin()));
  }
  if (actions.empty() || actions.size() > max_steps)
    return refuse(where, "want 1 to " + std::to_string(max_steps) + " actions");
  target = std::move(actions);
  return {};
}

struct Extra {
  Signal signal;
  std::string_view key;
  int NoProgressRules::*member;
  Range range;
};
constexpr std::array<Extra, 3> extras{
    {{Signal::repeated_command, "polls", &NoProgressRules::polls, {2, 200}},
     {Signal::error_loop, "failures", &NoProgressRules::failures, {2, 1000}},
     {Signal::long_output_without_state,
      "command_kib",
      &NoProgressRules::command_kib,
      {16, 1'000'000}}}};

Result<void> take_signal(Signal signal, const json::value& value, const std::string& where,
                         NoProgressRules& rules) {
  const auto* table = value.if_object();
  if (!table) return refuse(where, "want a table with after and action");
  auto& own = rules.signals[static_cast<std::size_t>(signal)];
  for (const auto& member : *table) {
    const std::string key(member.key());
    const auto at = where + "." + key;
    const auto extra = std::ranges::find_if(
        extras, [&](const Extra& one) { return one.signal == signal && one.key == key; });
    Result<void> done;
    if (key == "after") {
      done = take_number(member.value(), at, ranges[static_cast<std::size_t>(signal)], own.after);
    } else if (key == "action") {
      done = take_actions(member.value(), at, own.actions);
    } else if (extra != extras.end()) {
      done = take_number(member.value(), at, extra->range, rules.*(extra->member));
    } else {
      std::string known = "after, action";
      for (const auto& one : extras)
        if (one.signal == signal) known.append(", ").append(one.key);
      done = refuse(where, "unknown key \"" + key + "\": want one of " + known);
    }
    if (!done) return done;
  }
  return {};
}

Intervention step(const std::vector<Intervention>& actions, std::size_t occurrence) {
  return actions[std::min(std::max<std::size_t>(occurrence, 1), actions.size()) - 1];
}

const std::vector<Intervention>& actions_of(const NoProgressRules& rules, std::size_t signal) {
  const auto& own = rules.signals[signal].actions;
  return own.empty() ? rules.actions : own;
}

std::vector<Intervention> stricter(const std::vector<Intervention>& one,
                                   const std::vector<Intervention>& other) {
  std::vector<Intervention> both;
  for (std::size_t i = 1; i <= std::max(one.size(), other.size()); ++i)
    both.push_back(std::max(step(one, i), step(other, i)));
  return both;
}

}  // namespace

std::string_view to_string(Signal signal) {
  return signal_names[static_cast<std::size_t>(signal)];
}

std::optional<Signal> parse_signal(std::string_view text) {
  const auto* found = std::find(signal_names.begin(), signal_names.end(), text);
  if (found == signal_names.end()) return std::nullopt;
  return static_cast<Signal>(found - signal_names.begin());
}

std::string_view to_string(Intervention action) {
  return action_names[static_cast<std::size_t>(action)];
}

Intervention NoProgressRules::action(Signal signal, int occurrence, int interrupted) const {
  const auto at = static_cast<std::size_t>(std::max(occurrence, 1));
  const auto wanted = step(actions_of(*this, static_cast<std::size_t>(signal)), at);
  return wanted == Intervention::interrupt && interrupted >= interrupts ? Intervention::stop : wanted;
}

bool NoProgressRules::intervenes(Signal signal) const {
  if (dry_run) return false;
  return std::ranges::any_of(actions_of(*this, static_cast<std::size_t>(signal)),
                             [](Intervention action) { return action != Intervention::warn; });
}

Result<NoProgressRules> NoProgressRules::parse(const json::value& value) {
  NoProgressRules rules;
  const std::string where = "no_progress";
  const auto* table = value.if_object();
  if (!table) return refuse(where, "want a table");
  for (const auto& member : *table) {
    const std::string key(member.key());
    const auto at = where + "." + key;
    const auto signal = parse_signal(key);
    Result<void> done;
    if (signal) {
      done = take_signal(*signal, member.value(), at, rules);
    } else if (key == "action") {
      done = take_actions(member.value(), at, rules.actions);
    } else if (key == "interrupts") {
      done = take_number(member.value(), at, {0, 100}, rules.interrupts);
    } else {
      done = refuse(where, "unknown key \"" + key + "\": want action, interrupts, or a table for one of " +
                               list_of(signal_names));
    }
    if (!done) return tl::unexpected(done.error());
  }
  return rules;
}

NoProgressRules tightened(const NoProgressRules& one, const NoProgressRules& other) {
  if (one.dry_run != other.dry_run) return one.dry_run ? other : one;
  NoProgressRules both = one;
  for (std::size_t i = 0; i < signal_count; ++i) {
    both.signals[i].after = std::min(one.signals[i].after, other.signals[i].after);
    both.signals[i].actions = stricter(actions_of(one, i), actions_of(other, i));
  }
  both.actions = stricter(one.actions, other.actions);
  both.polls = std::min(one.polls, other.polls);
  both.failures = std::min(one.failures, other.failures);
  both.command_kib = std::min(one.command_kib, other.command_kib);
  both.interrupts = std::min(one.interrupts, other.interrupts);
  return both;
}

json::object inherited_no_progress(json::object table, const json::object& parent) {
  for (const auto& member : parent) {
    auto* own = table.if_contains(member.key());
    if (!own) {
      table[member.key()] = member.value();
    } else if (own->is_object() && member.value().is_object()) {
      for (const auto& inner : member.value().get_object())
        if (!own->get_object().contains(inner.key())) own->get_object()[inner.key()] = inner.value();
    }
  }
  return table;
}

}  // namespace agentrouter::policy
