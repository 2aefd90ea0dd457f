#include "policy/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::policy {
namespace {

using testing::HasSubstr;

json::object parsed(const char* text) {
  return base::value_or_throw(base::parse_json(text)).as_object();
}

ActionFacts facts(const char* tool, const char* args) {
  return {.tool = tool, .args = parsed(args), .runtime = "codex", .mode = "default"};
}

ActionFacts edit_of(const std::string& path) {
  json::object args;
  args["changes"] = json::array{json::object{{"path", path}, {"kind", "update"}, {"diff", "+a\n-b\n"}}};
  return {.tool = "edit", .args = std::move(args), .runtime = "codex", .mode = "default"};
}

TEST(Rules, PresetsAreThere) {
  for (const auto& name : preset_names()) {
    ASSERT_TRUE(preset(name)) << name;
    EXPECT_EQ(preset(name)->name(), name);
    EXPECT_THAT(preset(name)->version(), HasSubstr("sha256:"));
  }
  EXPECT_EQ(preset_names().size(), 5u);
  EXPECT_FALSE(preset("none"));
}

TEST(Rules, TheFirstRuleThatMatchesCounts) {
  const auto rules = Rules::parse(parsed(R"({"name": "p", "default": "ask", "rules": [
      {"id": "secrets", "tool": "edit", "path": "**/.env", "verdict": "deny", "reason": "secrets stay"},
      {"tool": "edit", "path": "src/**", "verdict": "allow"}]})"));
  ASSERT_TRUE(rules) << rules.error().message;
  EXPECT_EQ(rules->judge(edit_of("src/.env")).decision, Decision::blocked);
  EXPECT_EQ(rules->judge(edit_of("src/.env")).reason, "secrets stay");
  EXPECT_EQ(rules->judge(edit_of("src/a/../b.cpp")).decision, Decision::allowed);
  EXPECT_EQ(rules->judge(edit_of("src/a/../b.cpp")).rule_id, "rule-2");
  EXPECT_EQ(rules->judge(edit_of("src/../b.cpp")).decision, Decision::requires_approval);
  EXPECT_EQ(rules->judge(edit_of("/etc/passwd")).rule_id, "default");
}

TEST(Rules, ADryRunAllowsAndSaysWhatWouldHaveBeen) {
  const auto verdict = preset("observe")->judge(edit_of("a"));
  EXPECT_EQ(verdict.decision, Decision::allowed);
  EXPECT_TRUE(verdict.dry_run);
  EXPECT_EQ(verdict.would_be, Decision::requires_approval);
  EXPECT_EQ(verdict.to_json().at("wouldBe"), "requires_approval");
}

TEST(Rules, TheRulesAloneLeaveTheDefaultsAside) {
  const auto rules = Rules::parse(parsed(R"({"name": "p", "default": "deny", "rules": [
      {"id": "night", "tool": "launch", "tag": {"team": "night"}, "verdict": "ask"}]})"))
                         .value();
  auto launch = facts("launch", "{}");
  EXPECT_EQ(rules.judge(launch).decision, Decision::blocked);
  EXPECT_EQ(rules.judge_by_rules(launch).decision, Decision::allowed);
  EXPECT_EQ(rules.judge_by_rules(launch).rule_id, "default");
  launch.tags = {{"team", "night"}};
  EXPECT_EQ(rules.judge_by_rules(launch).decision, Decision::requires_approval);
  EXPECT_EQ(rules.judge_by_rules(launch).rule_id, "night");
  // Of several policies the strictest rule counts, whatever the defaults of the others are.
  EXPECT_EQ(tightened(*preset("locked"), rules).judge_by_rules(launch).rule_id, "night");
  for (const auto& name : preset_names()) {
    const auto verdict = preset(name)->judge_by_rules(facts("launch", "{}"));
    EXPECT_EQ(verdict.decision, Decision::allowed) << name;
    EXPECT_EQ(verdict.rule_id, "launch") << name;
  }
}

TEST(Rules, ARequestThatCallsAToolIsMetByRulesAboutTheTool) {
  const auto rules = Rules::parse(parsed(R"({"name": "p", "default": "ask", "rules": [
      {"id": "no-delete", "mcp": "far.delete*", "verdict": "deny"},
      {"id": "far", "tool": "network", "host": "*.example.com", "method": "POST", "url_path": "/mcp", "verdict": "allow"}]})"))
                         .value();
  EXPECT_EQ(
      rules
          .judge(facts(
              "network",
              R"({"host": "a.example.com", "method": "POST", "path": "/mcp", "server": "far", "tool": "delete_all"})"))
          .rule_id,
      "no-delete");
  EXPECT_EQ(
      rules
          .judge(facts(
              "network",
              R"({"host": "a.example.com", "method": "post", "path": "/mcp", "server": "far", "tool": "add"})"))
          .rule_id,
      "far");
  EXPECT_EQ(
      rules
          .judge(facts("network",
                       R"({"host": "a.example.com", "method": "POST", "path": "/mcp/x", "server": "far"})"))
          .rule_id,
      "default");
}

TEST(Rules, TheCallerCanOnlyTighten) {
  const auto both = tightened(*preset("ask-writes"), *preset("locked"));
  EXPECT_EQ(both.judge(edit_of("a")).decision, Decision::blocked);
  EXPECT_EQ(both.judge(edit_of("a")).policy_id, "locked");
  const auto loose = tightened(*preset("locked"), *preset("observe"));
  EXPECT_EQ(loose.judge(edit_of("a")).decision, Decision::blocked);
  EXPECT_EQ(loose.judge(facts("read", R"({"file_path": "a"})")).decision, Decision::allowed);
  const auto again = Rules::parse(both.document());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->version(), both.version());
  EXPECT_EQ(again->name(), "ask-writes+locked");
}

TEST(Rules, TheStrongestIsolationThatAPolicyDemandsCounts) {
  using model::Isolation;
  const auto demand = [](const std::string& keys) {
    return Rules::parse(parsed((R"({"name": "d")" + keys + "}").c_str()));
  };
  const auto vm = demand(R"(, "require_isolation": "vm")");
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(vm->require_isolation(), Isolation::vm);
  EXPECT_FALSE(vm->judges_actions()) << "it says nothing of actions";
  EXPECT_EQ(preset("locked")->require_isolation(), Isolation::process);
  EXPECT_EQ(tightened(*preset("locked"), *vm).require_isolation(), Isolation::vm);
  EXPECT_EQ(tightened(*vm, *preset("locked")).require_isolation(), Isolation::vm);
  EXPECT_EQ(demand(R"(, "require_isolation": "user-kernel", "mode": "dry-run")")->require_isolation(),
            Isolation::user_kernel);
  for (const char* bad : {R"("box")", "7", "true", R"("VM")"}) {
    const auto refused = demand(std::string(R"(, "require_isolation": )") + bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().reason, "policy_invalid");
  }
  const auto child = [](const std::string& own, const std::string& parent) {
    const auto of = R"({"default": "allow", "require_isolation": ")" + parent + "\"}";
    const auto document = inherited(parsed((R"({"name": "c")" + own + "}").c_str()), parsed(of.c_str()));
    return base::value_or_throw(Rules::parse(document)).require_isolation();
  };
  EXPECT_EQ(child("", "vm"), Isolation::vm);
  EXPECT_EQ(child(R"(, "require_isolation": "process")", "vm"), Isolation::vm) << "a parent can only be tightened";
  EXPECT_EQ(child(R"(, "require_isolation": "vm")", "user-kernel"), Isolation::vm);
}

TEST(Rules, WhatAPolicyLeavesOutComesFromItsParent) {
  const auto child = parsed(R"({"name": "c", "rules": [{"tool": "edit", "path": "a", "verdict": "allow"}]})");
  const auto rules = Rules::parse(inherited(child, preset("locked")->document()));
  ASSERT_TRUE(rules) << rules.error().message;
  EXPECT_EQ(rules->judge(edit_of("a")).decision, Decision::allowed);
  EXPECT_EQ(rules->judge(edit_of("b")).decision, Decision::blocked);
  EXPECT_EQ(rules->judge(facts("read", R"({"file_path": "b"})")).rule_id, "locked/reads");
  EXPECT_FALSE(Rules::parse(inherited(child, parsed("{}"))));
}

TEST(Rules, ADocumentThatIsNoneSaysWhereAndWhatIsWanted) {
  const auto error = [](const char* text) {
    const auto rules = Rules::parse(parsed(text));
    return rules ? "" : rules.error().message;
  };
  EXPECT_THAT(error("{}"), HasSubstr("name: want"));
  EXPECT_THAT(error(R"({"name": "p"})"), HasSubstr("default: want"));
  EXPECT_THAT(error(R"({"name": "P!", "default": "ask"})"), HasSubstr("name: want"));
  EXPECT_THAT(error(R"({"name": "p", "default": "ask", "x": 1})"), HasSubstr("unknown key \"x\""));
  EXPECT_THAT(
      error(R"({"name": "p", "default": "ask", "rules": [{"id": "r", "tool": "shel", "verdict": "ask"}]})"),
      HasSubstr("rule 1 (r).tool: \"shel\" is no tool"));
  EXPECT_THAT(error(R"({"name": "p", "default": "ask", "rules": [{"verdict": "maybe"}]})"),
              HasSubstr("rule 1.verdict: want"));
  EXPECT_THAT(error(R"({"name": "p", "default": "ask", "not_understood": "allow"})"),
              HasSubstr("cannot be allowed"));
}

}  // namespace
}  // namespace agentrouter::policy
