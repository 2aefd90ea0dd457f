// A run that waits for its provider's limit: the agent is gone meanwhile, and goes on with its thread.

#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

constexpr auto at_limit =
    "event agent.started {\"provider\":\"codex\",\"threadId\":\"t7\"}\n"
    "fail provider_runtime_failed provider_rate_limited\n";
constexpr auto goes_on = "event agent.started {\"provider\":\"codex\",\"threadId\":\"t7\"}\nsay ok\n";

class KeeperQuotaTest : public KeeperTest {
 protected:
  KeeperQuotaTest() {
    plan_.wait_for_quota = true;
    plan_.quota = {.first = 5ms, .longest = 20ms, .most = 1h};
  }

  // Does `when_waiting` at each run.waiting; by default the time passes.
  void keep_waiting(std::function<ServerMessage()> when_waiting = {}) {
    keep([this, when_waiting](LineSocket socket) { return attend(std::move(socket), when_waiting); });
  }

 private:
  base::Task<void> attend(LineSocket socket, std::function<ServerMessage()> when_waiting) {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    for (std::size_t seen = 0;;) {
      auto line = co_await socket.read_line();
      if (!line || line->find("\"bye\"") != std::string::npos) break;
      read_all();
      const auto waits = payloads("run.waiting").size();
      if (waits == seen) continue;
      seen = waits;
      if (!when_waiting) {
        clock_.advance(1s);
      } else {
        (void)co_await socket.write(to_line(when_waiting()));
      }
    }
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  }
};

TEST_F(KeeperQuotaTest, ALimitIsWaitedForAndTheThreadGoesOn) {
  agent({.says = at_limit, .says_next = {goes_on}});
  keep_waiting();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(kinds(),
              ElementsAre("hello", "sandbox.created", "credential_boundary.verified", "action.proposed",
                          "policy.evaluated", "released", "execution.started", "agent.started", "run.waiting",
                          "run.resumed", "agent.completed", "execution.completed", "exit"));
  const auto waiting = payload("run.waiting");
  EXPECT_EQ(waiting.at("reason"), "provider_rate_limited");
  EXPECT_EQ(waiting.at("message"), "it failed");
  EXPECT_EQ(waiting.at("wait"), 1);
  EXPECT_EQ(payload("run.resumed").at("waitedMs"), 1000);
  ASSERT_EQ(sessions_.size(), 2u);
  EXPECT_EQ(sessions_[0].resume_thread, "");
  EXPECT_EQ(sessions_[1].resume_thread, "t7");
  EXPECT_THAT(sessions_[1].task, HasSubstr("go on where you stopped"));
  EXPECT_EQ(sandbox_->collections, 1);
}

TEST_F(KeeperQuotaTest, UsageIsThatOfAllTurnsTogether) {
  agent({.says = at_limit, .says_next = {at_limit, goes_on}});
  keep_waiting();
  EXPECT_THAT(exit_text(), HasSubstr(R"("usage":{"inputTokens":30,"cachedInputTokens":6,"outputTokens":9)"));
  EXPECT_EQ(payloads("run.waiting").size(), 2u);
}

TEST_F(KeeperQuotaTest, AThreadThatNeverBeganBeginsAnew) {
  agent({.says = "fail provider_runtime_failed provider_quota_exhausted\n", .says_next = {goes_on}});
  keep_waiting();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(sessions_.at(1).task, "do it");
  EXPECT_EQ(payloads("agent.started").size(), 1u);
}

TEST_F(KeeperQuotaTest, CancelEndsTheWait) {
  agent({.says = at_limit, .says_next = {goes_on}});
  keep_waiting([] { return ServerMessage(CancelMessage{}); });
  EXPECT_EQ(outcome(), "cancelled");
  EXPECT_EQ(sessions_.size(), 1u);
  EXPECT_THAT(kinds(), IsSupersetOf({"run.waiting", "agent.error", "execution.failed"}));
  EXPECT_THAT(kinds(), Not(Contains("run.resumed")));
  EXPECT_EQ(payload("execution.failed").at("reason"), "cancelled");
}

TEST_F(KeeperQuotaTest, WithoutTheWishTheRunFailsWithItsCause) {
  plan_.wait_for_quota = false;
  agent({.says = at_limit});
  keep();
  EXPECT_EQ(outcome(), "failed provider_runtime_failed");
  EXPECT_THAT(exit_text(), HasSubstr(R"("cause":"provider_rate_limited")"));
  EXPECT_TRUE(payload("run.waiting").empty());
}

TEST_F(KeeperQuotaTest, BeyondTheMostTheRunFailsWithItsCause) {
  plan_.quota.most = 5ms;
  agent({.says = at_limit, .says_next = {at_limit, goes_on}});
  keep_waiting();
  EXPECT_EQ(outcome(), "failed provider_runtime_failed");
  EXPECT_THAT(exit_text(), HasSubstr(R"("cause":"provider_rate_limited")"));
  EXPECT_EQ(payloads("run.waiting").size(), 1u);
}

TEST_F(KeeperQuotaTest, OtherFailuresAreNotWaitedFor) {
  agent({.says = "fail provider_runtime_failed provider_auth_failed\n"});
  keep_waiting();
  EXPECT_EQ(outcome(), "failed provider_runtime_failed");
  EXPECT_TRUE(payload("run.waiting").empty());
}

TEST_F(KeeperQuotaTest, TheTimeOfTheAgentCountsOverAllTurns) {
  plan_.limits.wall_time = 300ms;
  agent({.says = at_limit, .says_next = {"event agent.progress {}\n"}});
  keep_waiting();
  EXPECT_EQ(outcome(), "failed wall_limit");
}

TEST(NameCause, TheEgressKnowsWhatAnAgentCannotTell) {
  const auto named = [](std::string cause, std::optional<ProviderTrouble> trouble) {
    model::RunFailure failure{"provider_runtime_failed", "r", std::move(cause)};
    name_cause(failure, trouble);
    return failure.cause;
  };
  EXPECT_EQ(named("provider_auth_failed", ProviderTrouble{403, "egress_limit", {}}), "egress_limit");
  EXPECT_EQ(named("provider_unavailable", ProviderTrouble{502, "key_echo", {}}), "key_echo");
  EXPECT_EQ(named("provider_unavailable", ProviderTrouble{502, "provider_certificate", {}}),
            "provider_certificate");
  EXPECT_EQ(named("", ProviderTrouble{429, "", {}}), "provider_rate_limited");
  EXPECT_EQ(named("", ProviderTrouble{200, "provider_unavailable", {}}), "provider_unavailable");
  EXPECT_EQ(named("provider_quota_exhausted", ProviderTrouble{429, "", {}}), "provider_quota_exhausted");
  EXPECT_EQ(named("context_window_exceeded", {}), "context_window_exceeded");
  model::RunFailure other{"agent_exited", "r", {}};
  name_cause(other, ProviderTrouble{429, "", {}});
  EXPECT_EQ(other.cause, "");
}

}  // namespace
}  // namespace agentrouter::keeper
