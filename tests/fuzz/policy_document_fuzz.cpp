// covers: src/policy/rule_document.cpp src/policy/rules.cpp src/policy/no_progress_rules.cpp src/policy/egress_rules.cpp
// Policy documents from arbitrary JSON: an error or rules that survive a round trip, judge actions of every kind, and only get
// stricter by what is put beside or above them.
#include <string_view>

#include "policy/rules.h"
#include "require.h"

using namespace agentrouter;

namespace {

int strictness(policy::Decision decision) {
  return decision == policy::Decision::allowed ? 0 : decision == policy::Decision::blocked ? 2 : 1;
}

std::vector<policy::ActionFacts> actions() {
  const json::array changes{json::object{{"path", "src/a.cpp"}, {"kind", "update"}, {"diff", "@@ -1 +1 @@\n-a\n+b\n"}},
                            json::object{{"path", "/tmp/new"}, {"kind", "add"}, {"diff", "one\n"}}, json::object{{"path", "gone"}, {"kind", "delete"}}};
  return {{.tool = "shell", .args = {{"command", "A=1 git -C a push $b > c && rm -rf /tmp/x | sudo tee d"}, {"cwd", "/workspace"}}, .runtime = "codex",
           .mode = "default", .tags = {{"k", "v"}}, .week_minute = 700},
          {.tool = "shell", .args = {{"command", "eval \"$x\""}}},
          {.tool = "edit", .args = {{"changes", changes}}, .runtime = "claude_code", .week_minute = 10'000},
          {.tool = "mcp", .args = {{"server", "a"}, {"tool", "bc"}, {"arguments", json::object{{"x", 1}}}}, .week_minute = 0},
          {.tool = "network", .args = {{"host", "x.example.com"}, {"method", "GET"}, {"path", "/a/b"}}, .week_minute = 3000},
          {.tool = "launch", .args = {}, .mode = "full_access"},
          {.tool = "read", .args = {{"file_path", "/etc/passwd"}}}};
}

void reach(const policy::EgressRules& egress) {
  require(egress.ports().size() <= policy::EgressRules::max_ports);
  for (const auto& secret : egress.secrets()) require(!secret.empty());
  for (const auto* host : {"x.example.com", "example.org", "10.0.0.1", "", "x."}) std::ignore = egress.knows_host(host);
}

void judge(const policy::Rules& rules) {
  static const auto all = actions();
  const auto both = policy::tightened(rules, *policy::preset("ask-writes"));
  for (const auto& facts : all) {
    const auto verdict = rules.judge(facts);
    std::ignore = verdict.to_json();
    std::ignore = rules.judge_by_rules(facts);
    for (const auto& part : rules.explain(facts)) require(!part.what.empty());
    if (rules.judges_actions()) require(strictness(both.judge(facts).decision) >= strictness(verdict.decision));
  }
  for (const auto* host : {"x.example.com", "10.0.0.1", "example.org"}) {
    for (const auto* path : {"", "/a/b", "/a/../c", "/%2e%2e/c"}) {
      const policy::EgressRequest request{.host = host, .method = *path ? "GET" : "", .path = path};
      const auto verdict = rules.judge_egress(request, {.tool = {}, .week_minute = 700});
      require(strictness(both.judge_egress(request, {.tool = {}, .week_minute = 700}).decision) >= strictness(verdict.decision));
    }
  }
  reach(rules.egress());
}

void watch(const policy::Rules& rules) {
  const auto watched = rules.no_progress();
  for (const auto* name : {"repeated_command", "error_loop", "long_silence", "long_output_without_state"}) {
    const auto signal = policy::parse_signal(name);
    require(signal.has_value() && policy::to_string(*signal) == name);
    for (int occurrence = 1; occurrence < 4; ++occurrence) std::ignore = policy::to_string(watched.action(*signal, occurrence, 1));
    std::ignore = watched.intervenes(*signal);
  }
  std::ignore = rules.inspects();
  std::ignore = rules.require_isolation();
  std::ignore = rules.judges_actions();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto value = base::parse_json({reinterpret_cast<const char*>(data), size});
  if (!value || !value->is_object()) return 0;
  const auto rules = policy::Rules::parse(value->as_object());
  if (!rules) return 0;
  const auto again = policy::Rules::parse(rules->document());
  require(again.has_value() && again->version() == rules->version() && again->name() == rules->name());
  judge(*rules);
  watch(*rules);
  if (value->as_object().contains("allOf")) return 0;
  static const auto parent = policy::preset("ci-safe")->document();
  std::ignore = policy::Rules::parse(policy::inherited(value->as_object(), parent));
  std::ignore = policy::Rules::parse(policy::inherited(parent, value->as_object()));
  return 0;
}
