#include "apps/policy_facts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "net/url.h"

namespace agentrouter::apps {

namespace {

using base::Result;
using std::string_view;

tl::unexpected<base::Error> wrong(const std::string& key, const std::string& wanted) {
  return base::fail(base::Code::invalid, key + ": want " + wanted, "policy_invalid");
}

// "mon 09:30"
std::optional<int> week_minute_of(string_view text) {
  constexpr std::array<string_view, 7> days{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
  if (text.size() != 9 || text[3] != ' ' || text[6] != ':') return std::nullopt;
  const auto* day = std::find(days.begin(), days.end(), text.substr(0, 3));
  int hour = 0;
  int minute = 0;
  std::from_chars(text.data() + 4, text.data() + 6, hour);
  std::from_chars(text.data() + 7, text.data() + 9, minute);
  if (day == days.end() || hour > 23 || minute > 59) return std::nullopt;
  return static_cast<int>(day - days.begin()) * 24 * 60 + hour * 60 + minute;
}

json::object change_of(const json::object& question, string_view path) {
  json::object change{{"path", path}, {"kind", base::get_string(question, "change").value_or("update")}};
  std::string diff;
  for (auto lines = base::get_int(question, "lines").value_or(1); lines > 0 && diff.size() < 1'000'000;
       --lines)
    diff += "+\n";
  change["diff"] = diff;
  return change;
}

void take_request(const json::object& question, json::object& args) {
  const auto request = egress_request_of(question);
  if (!request || !*request) return;
  args["host"] = (*request)->host;
  args["path"] = (*request)->path;
  args["method"] = (*request)->method;
}

// Fills the arguments from the key that says what it is about; false when there is none.
bool take_subject(const json::object& question, policy::ActionFacts& facts) {
  const auto text = [&](string_view key) { return base::get_string(question, key); };
  auto& args = facts.args;
  if (const auto command = text("command")) {
    facts.tool = "shell";
    args["command"] = *command;
  } else if (const auto path = text("path")) {
    facts.tool = "edit";
    args["changes"] = json::array{change_of(question, *path)};
  } else if (const auto file = text("read")) {
    facts.tool = "read";
    args["file_path"] = *file;
  } else if (const auto url = text("url")) {
    facts.tool = "web";
    args["url"] = *url;
    if (text("tool") == "network") take_request(question, args);
  } else if (const auto host = text("host")) {
    facts.tool = "network";
    args["host"] = *host;
    args["path"] = text("url_path").value_or("/");
  } else if (const auto mcp = text("mcp")) {
    facts.tool = "mcp";
    args["server"] = mcp->substr(0, mcp->find('.'));
    args["tool"] = mcp->substr(std::min(mcp->find('.'), mcp->size() - 1) + 1);
  } else {
    return false;
  }
  if (const auto method = text("method")) args["method"] = *method;
  return true;
}

}  // namespace

Result<policy::ActionFacts> facts_of(const json::object& question) {
  constexpr std::array<string_view, 20> keys{"tool",    "command", "path", "read",     "change", "lines",  "url",
                                             "host",    "mcp",     "url_path", "method", "cwd",  "runtime", "mode",
                                             "tags",    "time",    "expect", "rule",     "egress", "egress_rule"};
  for (const auto& member : question) {
    const string_view key(member.key().data(), member.key().size());
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      return wrong(std::string(key), "one of the keys of docs/policies.md");
    const bool text = key != "lines" && key != "tags";
    if (text && (!member.value().is_string() || member.value().get_string().empty()))
      return wrong(std::string(key), "a text");
  }
  policy::ActionFacts facts;
  const bool subject = take_subject(question, facts);
  if (const auto tool = base::get_string(question, "tool")) facts.tool = *tool;
  if (!subject && facts.tool.empty())
    return wrong("command", "one of command, path, read, url, host and mcp");
  facts.args["cwd"] = base::get_string(question, "cwd").value_or("/workspace");
  facts.runtime = base::get_string(question, "runtime").value_or("codex");
  facts.mode = base::get_string(question, "mode").value_or("default");
  if (const auto* tags = base::get_object(question, "tags")) {
    for (const auto& tag : *tags) {
      if (!tag.value().is_string()) return wrong("tags", "texts");
      facts.tags[std::string(tag.key())] = tag.value().get_string();
    }
  }
  if (const auto time = base::get_string(question, "time")) {
    facts.week_minute = week_minute_of(*time);
    if (!facts.week_minute) return wrong("time", "a day and a time of UTC like \"mon 09:30\"");
  }
  return facts;
}

string_view verdict_word(policy::Decision decision) {
  constexpr std::array<string_view, 3> words{"allow", "ask", "deny"};
  return words[static_cast<std::size_t>(decision)];
}

Result<std::optional<policy::EgressRequest>> egress_request_of(const json::object& question) {
  const auto text = base::get_string(question, "url");
  if (!text) return std::nullopt;
  policy::EgressRequest request;
  constexpr string_view tcp = "tcp://";
  if (text->starts_with(tcp)) {
    const auto authority = net::parse_authority(text->substr(tcp.size()));
    if (!authority || authority->port == 0) return wrong("url", "\"tcp://host:port\"");
    request.host = authority->host;
    request.port = authority->port;
    request.scheme = policy::EgressScheme::tcp;
    return request;
  }
  const auto url = net::parse_url(*text);
  if (!url) return wrong("url", "an address like \"https://host/path\": " + url.error().message);
  request.host = url->host;
  request.port = url->port;
  request.scheme = url->scheme == net::Scheme::https ? policy::EgressScheme::https : policy::EgressScheme::http;
  request.method = base::get_string(question, "method").value_or("GET");
  request.path = url->path;
  return request;
}

policy::EgressVerdict judge_egress(const policy::Rules& rules, const policy::EgressRequest& request,
                                   const policy::ActionFacts& facts) {
  auto connection = request;
  connection.method.clear();
  connection.path.clear();
  auto word = rules.judge_egress(connection, facts);
  if (word.decision == policy::Decision::blocked || request.method.empty()) return word;
  // What is only carried is judged as a connection.
  if (request.scheme == policy::EgressScheme::https && !word.inspect) return word;
  auto whole = rules.judge_egress(request, facts);
  whole.inspect = word.inspect;
  return whole;
}

namespace {

// What a case wants and what it got; empty when these are the same.
struct Wanted {
  string_view decision;
  std::optional<string_view> rule;
};

std::string mismatch(const Wanted& wanted, policy::Decision decision, const std::string& rule,
                     const std::string& reason) {
  if (verdict_word(decision) == wanted.decision && (!wanted.rule || *wanted.rule == rule)) return {};
  return "expected " + std::string(wanted.decision) + (wanted.rule ? " by " + std::string(*wanted.rule) : "") +
         ", got " + std::string(verdict_word(decision)) + " by " + rule + ": " + reason;
}

bool is_verdict_word(string_view word) { return word == "allow" || word == "ask" || word == "deny"; }

// The line of its failure, empty when it passes.
Result<std::string> run_case(const policy::Rules& rules, const json::object& question, const std::string& where) {
  const auto facts = facts_of(question);
  if (!facts) return base::fail(base::Code::invalid, where + ": " + facts.error().message, "policy_invalid");
  const auto request = egress_request_of(question);
  if (!request) return base::fail(base::Code::invalid, where + ": " + request.error().message, "policy_invalid");
  Wanted action{base::get_string(question, "expect").value_or(""), base::get_string(question, "rule")};
  Wanted egress{base::get_string(question, "egress").value_or(""), base::get_string(question, "egress_rule")};
  if (!egress.decision.empty() && !*request) return wrong(where + ": egress", "a url beside it");
  if (*request && !rules.judges_actions() && egress.decision.empty()) egress = std::exchange(action, {});
  const bool wants_action = !action.decision.empty() || egress.decision.empty();
  if ((wants_action && !is_verdict_word(action.decision)) ||
      (!egress.decision.empty() && !is_verdict_word(egress.decision)))
    return wrong(where + ": expect", "\"allow\", \"ask\" or \"deny\"");
  std::string failure;
  if (!action.decision.empty()) {
    const auto verdict = rules.judge(*facts);
    failure = mismatch(action, verdict.would_be, verdict.rule_id, verdict.reason);
  }
  if (failure.empty() && !egress.decision.empty()) {
    const auto word = judge_egress(rules, **request, *facts);
    failure = mismatch(egress, word.decision, word.rule_id, word.reason);
    if (!failure.empty()) failure = "egress: " + failure;
  }
  return failure.empty() ? failure : where + ": " + base::to_text(facts->args) + ": " + failure;
}

}  // namespace

Result<PolicyTestResult> test_policy(const policy::Rules& rules, const json::array& cases) {
  PolicyTestResult result;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto where = "test " + std::to_string(i + 1);
    const auto* question = cases[i].if_object();
    if (!question) return wrong(where, "a table");
    AGENTROUTER_TRY(auto failure, run_case(rules, *question, where));
    if (failure.empty())
      ++result.passed;
    else
      result.failures.push_back(std::move(failure));
  }
  return result;
}

}  // namespace agentrouter::apps
