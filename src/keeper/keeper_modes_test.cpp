// What the modes make of single calls: which are let go, which are denied and why, and which a reviewer
// judges.

#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class KeeperModesTest : public KeeperTest {
 protected:
  // The lines that the agent heard after "start".
  std::vector<std::string> heard(const std::string& mode, const std::string& asks) {
    std::filesystem::remove(folder_ / "journal");
    plan_.runtime.mode = mode;
    agent({.says = asks + "say ok\n"});
    keep();
    EXPECT_EQ(outcome(), "completed");
    return {sandbox_->heard.begin() + 1, sandbox_->heard.end()};
  }
  // What policy.evaluated says about single calls.
  std::vector<std::string> verdicts() const {
    std::vector<std::string> all;
    for (const auto& event : payloads("policy.evaluated")) {
      if (!event.contains("callId")) continue;
      all.push_back(std::string(event.at("policyId").as_string()) + " " +
                    std::string(event.at("decision").as_string()) + ": " +
                    std::string(event.at("reason").as_string()));
    }
    return all;
  }
};

TEST_F(KeeperModesTest, OpenModesLetEverythingGoWithoutAWord) {
  for (const auto* mode : {"default", "full_access", "acceptEdits", "bypassPermissions"}) {
    EXPECT_THAT(heard(mode, "ask shell touch a\nask edit\n"), ElementsAre("yes", "yes")) << mode;
    EXPECT_THAT(verdicts(), IsEmpty()) << mode;
  }
}

TEST_F(KeeperModesTest, DontAskDeniesWithAReasonThatAgentAndEventsHave) {
  const auto lines = heard("dontAsk", "ask shell cat a\nask edit\n");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "yes");
  EXPECT_THAT(lines[1], HasSubstr("no mode dontAsk denies"));
  EXPECT_THAT(verdicts(), ElementsAre(HasSubstr("runtime-mode blocked: mode dontAsk denies")));
  const auto denial = payloads("policy.evaluated").back();
  EXPECT_EQ(denial.at("callId"), "call_2");
  EXPECT_EQ(denial.at("tool"), "edit");
  EXPECT_EQ(denial.at("priorEventId"), payload("execution.started").at("eventId"));
}

TEST_F(KeeperModesTest, TheReviewerIsAskedAboutWhatDoesNotOnlyRead) {
  plan_.task = "sim: judge allow\nsim: sh touch a\nsim: reply ok";
  EXPECT_THAT(heard("auto_review", "ask shell cat a\nask shell touch a\n"), ElementsAre("yes", "yes"));
  EXPECT_THAT(verdicts(), ElementsAre("auto-review allowed: Simulated review."));
  EXPECT_EQ(payload("egress.request").at("purpose"), "review");
  EXPECT_THAT(exit_text(), HasSubstr(R"("requests":1)"));
}

TEST_F(KeeperModesTest, EverythingButAClearAllowIsADenial) {
  for (const auto& [judge, reason] : {std::pair("deny", "Simulated review."),
                                      std::pair("garbage", "the reviewer's answer is no verdict")}) {
    for (const auto kind : {model::RuntimeKind::codex, model::RuntimeKind::claude_code}) {
      plan_.runtime.kind = kind;
      plan_.task = "sim: judge " + std::string(judge) + "\nsim: sh touch a\nsim: reply ok";
      const auto lines = heard("auto", "ask shell touch a\n");
      EXPECT_THAT(lines, ElementsAre("no " + std::string(reason)));
      EXPECT_THAT(verdicts(), ElementsAre("auto-review blocked: " + std::string(reason)));
    }
  }
}

TEST_F(KeeperModesTest, AReviewerThatCannotBeReachedIsADenial) {
  key_ = base::value_or_throw(egress::Secret::create("sk-canary-0123456789"));
  plan_.provider = Provider::upstream;
  plan_.base_url = "http://127.0.0.1:1/v1";
  EXPECT_THAT(heard("auto_review", "ask edit\n"),
              ElementsAre(HasSubstr("no the reviewer could not be asked")));
  EXPECT_THAT(verdicts(), ElementsAre(HasSubstr("auto-review blocked: the reviewer could not be asked")));
}

TEST_F(KeeperModesTest, AReviewerThatIsLateIsADenial) {
  key_ = base::value_or_throw(egress::Secret::create("sk-canary-0123456789"));
  plan_.provider = Provider::upstream;
  plan_.limits.review = 20ms;
  // It takes the connection and never answers: the listener of the sandbox itself, which nobody accepts from.
  const base::Fd silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(silent.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(silent.get(), 8), 0);
  ASSERT_EQ(::getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  plan_.base_url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/v1";
  EXPECT_THAT(heard("auto_review", "ask edit\n"),
              ElementsAre(HasSubstr("no the reviewer could not be asked")));
}

TEST_F(KeeperModesTest, ACallThatIsTooLongIsDeniedWithoutAsking) {
  EXPECT_THAT(heard("auto", "ask shell " + std::string(200'000, 'x') + "\n"),
              ElementsAre("no the call is too long to be reviewed"));
  EXPECT_TRUE(payload("egress.request").empty());
}

}  // namespace
}  // namespace agentrouter::keeper
