// What leaves the sandbox for an MCP server, where each action is judged; and rules that become stricter
// while a run goes on.

#include "keeper/keeper_person_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class KeeperNetworkTest : public KeeperPersonTest {
 protected:
  KeeperNetworkTest() {
    plan_.approval_scope = model::ApprovalScope::action;
    plan_.runtime.mode = "default";
    const auto port = server_.listen("127.0.0.1", 0).value();
    plan_.mcp = {{"tracker", "http://127.0.0.1:" + std::to_string(port) + "/mcp", {}}};
  }
  ~KeeperNetworkTest() override { testing::run_task(io_, server_.stop(std::chrono::steady_clock::now())); }

  // What a program in the sandbox sends, and what it gets.
  base::Task<std::string> ask(std::string body) {
    co_return co_await exchange(listener_.get(),
                                "POST /mcp/tracker HTTP/1.1\r\nHost: 127.83.1.1\r\nConnection: close\r\nContent-Length: " +
                                    std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  base::Task<void> ask_into(std::string body, std::string& answer) { answer = co_await ask(std::move(body)); }

  std::vector<std::string> heard() const { return {sandbox_->heard.begin() + 1, sandbox_->heard.end()}; }

  Tracker tracker_;
  net::Server server_{io_.get_executor(), tracker_, no_reply};
};

constexpr const char* add =
    R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1}}})";
constexpr const char* list = R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})";

class Requests : public KeeperNetworkTest {
 protected:
  base::Task<void> calls_add(LineSocket& socket) {
    co_await question(socket, 0);
    EXPECT_THAT(co_await ask(add), HasSubstr("policy_denied"));
    co_await approve(socket, 0);
  }
  base::Task<void> approved(LineSocket& socket) {
    co_await question(socket, 0);
    base::TaskScope beside(io_.get_executor());
    std::string answer;
    beside.spawn(ask_into(add, answer));
    auto decision = co_await question(socket, 1);
    EXPECT_THAT(tracker_.bodies, IsEmpty());
    co_await say(socket, decision);
    co_await beside.join();
    EXPECT_THAT(answer, HasSubstr("200 OK"));
    co_await approve(socket, 0);
  }
  base::Task<void> denied(LineSocket& socket) {
    co_await question(socket, 0);
    base::TaskScope beside(io_.get_executor());
    std::string answer;
    beside.spawn(ask_into(add, answer));
    auto decision = co_await question(socket, 1);
    decision.decision = DecisionKind::denied;
    decision.reason = "not today";
    co_await say(socket, decision);
    co_await beside.join();
    EXPECT_THAT(answer, AllOf(HasSubstr("403"), HasSubstr("approval_denied"), HasSubstr("not today")));
    co_await approve(socket, 0);
  }
  base::Task<void> belongs(LineSocket& socket) {
    co_await approve(socket, 0);
    co_await question(socket, 1);
    EXPECT_THAT(co_await ask(add), HasSubstr("200 OK"));
    // The approval was for one call.
    base::TaskScope beside(io_.get_executor());
    std::string answer;
    beside.spawn(ask_into(add, answer));
    auto second = co_await question(socket, 2);
    second.decision = DecisionKind::denied;
    co_await say(socket, second);
    co_await beside.join();
    EXPECT_THAT(answer, HasSubstr("403"));
    co_await approve(socket, 1);
  }
  base::Task<void> looks(LineSocket& socket) {
    co_await question(socket, 0);
    EXPECT_THAT(co_await ask(list), HasSubstr(expected_));
    co_await approve(socket, 0);
  }
  base::Task<void> left_open(LineSocket& socket) {
    co_await question(socket, 0);
    base::TaskScope beside(io_.get_executor());
    std::string answer;
    beside.spawn(ask_into(add, answer));
    co_await question(socket, 1);
    co_await approve(socket, 0);
    co_await beside.join();
    EXPECT_THAT(answer, AllOf(HasSubstr("403"), HasSubstr("withdrawn")));
  }
  std::string expected_;
};

TEST_F(Requests, ACallThatNobodyAskedAboutIsAnActionOfItsOwnAndWaits) {
  run("ask shell make\nsay ok\n", [this](LineSocket& socket) { return approved(socket); });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(tools_proposed(), ElementsAre("codex.launch", "codex.shell", "codex.network"));
  EXPECT_EQ(tracker_.bodies.size(), 1u);
  const auto proposed = payloads("action.proposed").at(2);
  const auto& input = proposed.at("action").at("args").at("input").as_object();
  EXPECT_EQ(input.at("host"), "127.0.0.1");
  EXPECT_EQ(input.at("method"), "POST");
  EXPECT_EQ(input.at("path"), "/mcp");
  EXPECT_EQ(input.at("rpcMethod"), "tools/call");
  EXPECT_EQ(input.at("tool"), "add");
  EXPECT_EQ(base::to_text(input.at("arguments")), R"({"a":1})");
  json::object ended;
  for (const auto& event : payloads("execution.completed"))
    if (event.contains("httpStatus")) ended = event;
  EXPECT_EQ(ended.at("actionId"), proposed.at("actionId"));
  EXPECT_EQ(ended.at("httpStatus"), 200);
  EXPECT_EQ(ended.at("bytesOut"), std::string(add).size());
  EXPECT_GT(ended.at("bytesIn").to_number<int>(), 0);
  EXPECT_EQ(payload("egress.request").at("actionId"), proposed.at("actionId"));
}

TEST_F(Requests, WhatIsDeniedNeverLeaves) {
  run("ask shell make\nsay ok\n", [this](LineSocket& socket) { return denied(socket); });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(tracker_.bodies, IsEmpty());
  EXPECT_EQ(base::get_string(payload("egress.request"), "reason"), "approval_denied");
}

TEST_F(Requests, ACallThatTheAgentAskedAboutPassesOnceWithThat) {
  run("ask mcp {\"server\":\"tracker\",\"tool\":\"add\",\"arguments\":{\"a\":1}}\nask shell make\nsay ok\n",
      [this](LineSocket& socket) { return belongs(socket); });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(tracker_.bodies.size(), 1u);
  EXPECT_EQ(payload("egress.request").at("actionId"), payloads("action.proposed").at(1).at("actionId"));
  EXPECT_THAT(tools_proposed(), ElementsAre("codex.launch", "codex.mcp", "codex.shell", "codex.network"));
}

TEST_F(Requests, WhatOnlyKeepsAConnectionUpIsNoAction) {
  expected_ = "200 OK";
  plan_.rules = *policy::preset("locked");
  plan_.rules = rules(R"({"name":"t","default":"deny","rules":[{"tool":"shell","verdict":"ask"}]})");
  run("ask shell make\nsay ok\n", [this](LineSocket& socket) { return looks(socket); });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(tracker_.bodies.size(), 1u);
  EXPECT_THAT(tools_proposed(), ElementsAre("codex.launch", "codex.shell"));
}

TEST_F(Requests, ARuleThatNamesTheServerStopsThatToo) {
  expected_ = "policy_denied";
  plan_.rules = rules(
      R"({"name":"t","default":"ask","rules":[{"id":"off","tool":"network","host":"127.*","verdict":"deny"}]})");
  run("ask shell make\nsay ok\n", [this](LineSocket& socket) { return looks(socket); });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(tracker_.bodies, IsEmpty());
  EXPECT_THAT(tools_proposed(), ElementsAre("codex.launch", "codex.shell", "codex.network"));
  EXPECT_EQ(base::get_string(payloads("policy.evaluated").back(), "ruleId"), "off");
}

TEST_F(Requests, ARuleAboutTheToolReachesCallsThatNobodyAskedAbout) {
  plan_.rules =
      rules(R"({"name":"t","default":"allow","rules":[{"id":"no-add","mcp":"tracker.add","verdict":"deny"},)"
            R"({"tool":"shell","verdict":"ask"}]})");
  expected_ = "policy_denied";
  run("ask shell make\nsay ok\n", [this](LineSocket& socket) { return calls_add(socket); });
  EXPECT_THAT(tracker_.bodies, IsEmpty());
}

TEST_F(Requests, WhatIsHeldWhenTheTurnEndsNeverLeaves) {
  run("ask shell make\nsay ok\n", [this](LineSocket& socket) { return left_open(socket); });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(tracker_.bodies, IsEmpty());
}

class StricterRules : public KeeperNetworkTest {
 protected:
  static PolicyMessage now(const policy::Rules& rules) { return {base::to_text(rules.document())}; }
  base::Task<void> tightened(LineSocket& socket) {
    co_await question(socket, 0);
    co_await say(socket, now(*policy::preset("locked")));
    co_await say(socket, now(*policy::preset("locked")));
  }
  base::Task<void> closes(LineSocket& socket) {
    co_await question(socket, 0);
    co_await say(
        socket, now(rules(R"({"name":"night","default":"allow","rules":[{"id":"closed","tool":"launch","verdict":"deny"}]})")));
  }
  base::Task<void> loosened(LineSocket& socket) {
    co_await question(socket, 0);
    co_await say(socket, now(rules(R"({"name":"ask-all","default":"allow","rules":[]})")));
    co_await approve(socket, 0);
    co_await approve(socket, 1);
  }
  base::Task<void> not_understood(LineSocket& socket) {
    co_await question(socket, 0);
    co_await say(socket, PolicyMessage{R"({"name":"x","default":"perhaps"})"});
    co_await approve(socket, 0);
    co_await approve(socket, 1);
  }
};

TEST_F(StricterRules, WhatTheyDenyIsRefusedAlsoWhileAPersonIsAsked) {
  plan_.rules = *policy::preset("ask-all");
  run("ask shell make\nask shell touch a\nsay ok\n",
      [this](LineSocket& socket) { return tightened(socket); });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(heard(), ElementsAre(HasSubstr("no "), HasSubstr("no ")));
  ASSERT_EQ(payloads("policy.tightened").size(), 1u);
  const auto event = payload("policy.tightened");
  EXPECT_EQ(event.at("policyId"), "locked");
  EXPECT_EQ(base::get_string(event, "policyVersion"), policy::preset("locked")->version());
  EXPECT_EQ(base::get_string(event, "pinnedVersion"), policy::preset("ask-all")->version());
  EXPECT_EQ(payloads("approval.requested").size(), 1u);
  std::vector<std::string> reasons;
  for (const auto& record : records_)
    if (record.kind == "refused") reasons.emplace_back(*base::get_string(record.data, "reason"));
  EXPECT_THAT(reasons, ElementsAre("policy_denied", "policy_denied"));
}

TEST_F(StricterRules, WhatTheyAllowIsStillAskedAbout) {
  plan_.rules = *policy::preset("ask-all");
  run("ask shell make\nask shell touch a\nsay ok\n", [this](LineSocket& socket) { return loosened(socket); });
  EXPECT_THAT(heard(), ElementsAre("yes", "yes"));
  EXPECT_EQ(payloads("approval.requested").size(), 2u);
}

TEST_F(StricterRules, WhatIsNotUnderstoodChangesNothing) {
  plan_.rules = *policy::preset("ask-all");
  run("ask shell make\nask shell touch a\nsay ok\n",
      [this](LineSocket& socket) { return not_understood(socket); });
  EXPECT_THAT(heard(), ElementsAre("yes", "yes"));
  EXPECT_THAT(payloads("policy.tightened"), IsEmpty());
}

TEST_F(StricterRules, ARunThatIsHeldToNoneTakesNone) {
  run("ask shell make\nask shell touch a\nsay ok\n", [this](LineSocket& socket) { return loosened(socket); });
  EXPECT_THAT(heard(), ElementsAre("yes", "yes"));
  EXPECT_THAT(payloads("policy.tightened"), IsEmpty());
}

TEST_F(StricterRules, ALaunchThatWaitsForAPersonIsRefusedByThem) {
  plan_.approval_mode = model::ApprovalMode::manual;
  plan_.rules = *policy::preset("ask-all");
  agent({});
  person_ = [this](LineSocket& socket) { return closes(socket); };
  keep([this](LineSocket socket) { return attend(std::move(socket)); });
  EXPECT_EQ(outcome(), "failed policy_denied");
  EXPECT_FALSE(sandbox_->spawned);
  EXPECT_EQ(base::get_string(payloads("policy.evaluated").back(), "ruleId"), "closed");
}

class LaunchRules : public KeeperNetworkTest {};

TEST_F(LaunchRules, ARuleThatDeniesTheLaunchEndsTheRunBeforeIt) {
  plan_.rules = rules(
      R"({"name":"t","default":"allow","rules":[{"id":"nobody","tool":"launch","verdict":"deny","reason":"closed"}]})");
  agent({});
  keep();
  EXPECT_EQ(outcome(), "failed policy_denied");
  EXPECT_FALSE(sandbox_->spawned);
  const auto verdict = payload("policy.evaluated");
  EXPECT_EQ(verdict.at("ruleId"), "nobody");
  EXPECT_EQ(verdict.at("policyId"), "t");
  EXPECT_EQ(verdict.at("decision"), "blocked");
  EXPECT_EQ(verdict.at("reason"), "closed");
}

TEST_F(LaunchRules, ARuleThatAsksAsksAlsoInAutoMode) {
  plan_.rules = rules(R"({"name":"t","default":"allow","rules":[{"tool":"launch","verdict":"ask"}]})");
  run("say ok\n", [this](LineSocket& socket) { return approve(socket, 0); });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(payloads("approval.requested").size(), 1u);
  EXPECT_EQ(payload("policy.evaluated").at("ruleId"), "rule-1");
}

TEST_F(LaunchRules, TheStricterOfModeAndRulesCounts) {
  plan_.rules = rules(R"({"name":"t","default":"allow","rules":[{"tool":"launch","verdict":"allow"}]})");
  plan_.approval_mode = model::ApprovalMode::block;
  agent({});
  keep();
  EXPECT_EQ(outcome(), "failed policy_denied");
  EXPECT_EQ(payload("policy.evaluated").at("policyId"), "approval-mode");
}

TEST_F(LaunchRules, ADefaultIsNotAboutTheLaunch) {
  plan_.rules = rules(R"({"name":"t","default":"deny","rules":[{"tool":"shell","verdict":"allow"}]})");
  agent({.says = "say ok\n"});
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(payload("policy.evaluated").at("decision"), "allowed");
}

}  // namespace
}  // namespace agentrouter::keeper
