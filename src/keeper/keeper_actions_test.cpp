// What becomes of each thing that an agent wants to do at approvalScope "action".

#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Messages = std::vector<ServerMessage>;
// What is sent once the question with this number (from 0 on) is in the journal.
using Person = std::function<Messages(int number, const DecisionMessage& yes)>;

class KeeperActionsTest : public KeeperTest {
 protected:
  KeeperActionsTest() {
    plan_.approval_scope = model::ApprovalScope::action;
    plan_.runtime.mode = "default";
  }

  void run(const std::string& says, Person person = {}) {
    std::filesystem::remove(folder_ / "journal");
    agent({.says = says});
    person_ = std::move(person);
    keep([this](LineSocket socket) { return attend(std::move(socket)); });
  }
  std::vector<std::string> heard() const { return {sandbox_->heard.begin() + 1, sandbox_->heard.end()}; }

  base::Task<void> attend(LineSocket socket) {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    int asked = 0;
    for (;;) {
      auto line = co_await socket.read_line();
      if (!line || line->find("\"bye\"") != std::string::npos) break;
      const auto questions = records("question");
      for (; asked < static_cast<int>(questions.size()); ++asked) {
        const auto messages = answers_to(asked, questions[static_cast<std::size_t>(asked)]);
        for (const auto& message : messages) (void)co_await socket.write(to_line(message));
      }
    }
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  }
  Messages answers_to(int number, const json::object& question) const {
    const DecisionMessage yes{std::string(*base::get_string(question, "actionId")),
                              std::string(*base::get_string(question, "actionDigest")),
                              DecisionKind::approved, "evt_decision_" + std::to_string(number)};
    return person_ ? person_(number, yes) : Messages{};
  }
  std::vector<json::object> records(std::string_view kind) const {
    const base::Fd fd(::open((folder_ / "journal").c_str(), O_RDONLY | O_CLOEXEC));
    std::vector<json::object> all;
    for (auto& record : base::value_or_throw(read_journal(fd.get(), 0, UINT64_MAX, SIZE_MAX)).records)
      if (record.kind == kind) all.push_back(std::move(record.data));
    return all;
  }
  // The control events and records after the launch's.
  std::vector<std::string> story() const {
    auto all = kinds();
    const auto begin = std::ranges::find(all, "execution.started");
    return {begin + 1, all.end() - 3};
  }
  std::vector<std::string> decisions() const {
    std::vector<std::string> all;
    for (const auto& event : payloads("policy.evaluated")) {
      if (event.contains("callId"))
        all.push_back(std::string(event.at("policyId").as_string()) + " " +
                      std::string(event.at("decision").as_string()));
    }
    return all;
  }
  static DecisionMessage no(DecisionMessage message, std::string reason = {}) {
    message.decision = DecisionKind::denied;
    message.reason = std::move(reason);
    return message;
  }

  Person person_;
};

Person says_yes() {
  return [](int, const DecisionMessage& yes) { return Messages{yes}; };
}

constexpr const char* touch = "ask shell touch a\n"
                              "event agent.tool_completed {\"callId\":\"call_1\",\"status\":\"completed\","
                              "\"exitCode\":0,\"durationMs\":7}\nsay ok\n";

TEST_F(KeeperActionsTest, AnApprovedActionTellsItsWholeLife) {
  run(touch, says_yes());
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(story(), ElementsAre("action.proposed", "policy.evaluated", "approval.requested", "question",
                                   "execution.started", "released", "agent.tool_completed",
                                   "execution.completed"));
  EXPECT_THAT(heard(), ElementsAre("yes"));
  std::string before(*base::get_string(payload("execution.started"), "eventId"));
  const std::string digest(*base::get_string(payloads("action.proposed")[1], "actionDigest"));
  for (const auto& [type, number] : {std::pair("action.proposed", 1), std::pair("policy.evaluated", 1),
                                     std::pair("approval.requested", 0)}) {
    const auto event = payloads(type).at(static_cast<std::size_t>(number));
    EXPECT_EQ(base::get_string(event, "priorEventId"), before) << type;
    EXPECT_EQ(base::get_string(event, "actionDigest"), digest) << type;
    before = *base::get_string(event, "eventId");
  }
  const auto started = payloads("execution.started")[1];
  EXPECT_EQ(started.at("priorEventId"), "evt_decision_0");
  const auto ended = payloads("execution.completed")[0];
  EXPECT_EQ(ended.at("priorEventId"), started.at("eventId"));
  EXPECT_EQ(ended.at("executionId"), started.at("executionId"));
  EXPECT_EQ(ended.at("exitCode"), 0);
  EXPECT_EQ(ended.at("durationMs"), 7);
  EXPECT_EQ(ended.at("callId"), "call_1");
}

TEST_F(KeeperActionsTest, AProposalSaysExactlyWhatWouldRun) {
  plan_.program.env = {"HOME=/home/agent", "API_KEY=secret", "A=1"};
  run(touch, says_yes());
  const auto proposed = payloads("action.proposed")[1];
  const auto& action = proposed.at("action").as_object();
  EXPECT_EQ(base::json_digest(action), base::get_string(proposed, "actionDigest"));
  EXPECT_EQ(action.at("type"), "tool_call");
  EXPECT_EQ(action.at("name"), "codex.shell");
  const auto& args = action.at("args").as_object();
  EXPECT_EQ(base::to_text(args.at("input")), R"({"command":"touch a"})");
  EXPECT_EQ(args.at("cwd"), "/workspace");
  EXPECT_EQ(base::to_text(args.at("environment")), R"(["A","API_KEY","HOME"])");
  EXPECT_THAT(base::to_text(proposed), ::testing::Not(HasSubstr("secret")));
  EXPECT_EQ(base::to_text(payload("approval.requested").at("action")), base::to_text(action));
}

TEST_F(KeeperActionsTest, ADenialIsToldWithItsReasonAndTheRunGoesOn) {
  run("ask shell touch a\nsay ok\n",
      [](int, const DecisionMessage& yes) { return Messages{no(yes, "not today")}; });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(heard(), ElementsAre("no not today"));
  EXPECT_THAT(story(), ElementsAre("action.proposed", "policy.evaluated", "approval.requested", "question",
                                   "refused"));
  EXPECT_EQ(records("refused")[0].at("reason"), "approval_denied");
}

TEST_F(KeeperActionsTest, AnApprovalWithOtherInputRunsThatAndBothDigestsAreRecorded) {
  run("ask shell touch a\nsay ok\n", [](int, DecisionMessage yes) {
    yes.input = R"({"command":"touch b"})";
    return Messages{yes};
  });
  EXPECT_THAT(heard(), ElementsAre("yes touch b"));
  const auto proposed = payloads("action.proposed")[1];
  const auto edited = payload("action.edited");
  EXPECT_EQ(edited.at("editedFrom"), proposed.at("actionDigest"));
  EXPECT_EQ(edited.at("actionId"), proposed.at("actionId"));
  EXPECT_NE(edited.at("actionDigest"), proposed.at("actionDigest"));
  EXPECT_EQ(base::json_digest(edited.at("action")), base::get_string(edited, "actionDigest"));
  EXPECT_EQ(edited.at("priorEventId"), "evt_decision_0");
  const auto started = payloads("execution.started")[1];
  EXPECT_EQ(started.at("actionDigest"), edited.at("actionDigest"));
  EXPECT_EQ(started.at("priorEventId"), edited.at("eventId"));
}

TEST_F(KeeperActionsTest, OtherInputIsJudgedLikeTheAgentsOwn) {
  plan_.rules = base::value_or_throw(policy::Rules::parse(base::value_or_throw(base::parse_json(
      R"({"name":"no-edits","default":"ask","rules":[{"id":"no","tool":"edit","verdict":"deny"},)"
      R"({"id":"rm","tool":"shell","verdict":"deny","command":"rm"}]})")).as_object()));
  run("ask shell touch a\nsay ok\n", [](int, DecisionMessage yes) {
    yes.input = R"({"command":"rm a"})";
    return Messages{yes};
  });
  EXPECT_EQ(records("released").size(), 1u);
  EXPECT_EQ(records("refused")[0].at("reason"), "policy_denied");
}

TEST_F(KeeperActionsTest, OtherInputWithTheDigestOfAnotherActionIsRefused) {
  run("ask shell touch a\nsay ok\n", [](int, DecisionMessage yes) {
    yes.input = R"({"command":"touch b"})";
    yes.action_digest = "sha256:another";
    return Messages{yes};
  });
  EXPECT_THAT(heard(), ElementsAre("no the decision was about another action"));
  EXPECT_TRUE(payload("action.edited").empty());
}

TEST_F(KeeperActionsTest, AnApprovalOfOneActionNeverStartsAnother) {
  run("ask shell touch a\nsay ok\n", [](int, DecisionMessage yes) {
    yes.action_digest = "sha256:another";
    return Messages{yes};
  });
  EXPECT_THAT(heard(), ElementsAre("no the decision was about another action"));
  EXPECT_EQ(records("refused")[0].at("reason"), "approval_digest_mismatch");
  EXPECT_EQ(records("released").size(), 1u);  // the launch
}

TEST_F(KeeperActionsTest, TheSameActionAgainNeedsADecisionOfItsOwn) {
  std::optional<DecisionMessage> first;
  run("ask shell touch a\nask shell touch a\nsay ok\n", [&](int number, const DecisionMessage& yes) {
    if (number == 0) first = yes;
    return number == 0 ? Messages{yes, yes} : Messages{*first, no(yes)};
  });
  EXPECT_THAT(heard(), ElementsAre("yes", "no "));
  const auto proposed = payloads("action.proposed");
  EXPECT_EQ(proposed[1].at("actionDigest"), proposed[2].at("actionDigest"));
  EXPECT_NE(proposed[1].at("actionId"), proposed[2].at("actionId"));
  EXPECT_EQ(records("released").size(), 2u);
}

TEST_F(KeeperActionsTest, AnyByteThatCouldChangeWhatRunsChangesTheDigest) {
  plan_.runtime.mode = "full_access";
  run("ask shell touch a\nask shell touch b\nask edit touch a\nask shell touch a \nsay ok\n");
  std::set<std::string> digests;
  for (const auto& event : payloads("action.proposed"))
    digests.insert(std::string(*base::get_string(event, "actionDigest")));
  EXPECT_EQ(digests.size(), 5u);
}

TEST_F(KeeperActionsTest, SeveralQuestionsAreOpenAtOnceAndDecidedInAnyOrder) {
  std::vector<DecisionMessage> asked;
  run("question shell touch a\nquestion shell touch b\nquestion shell touch c\nwait\nsay ok\n",
      [&](int number, const DecisionMessage& yes) {
        asked.push_back(yes);
        return number < 2 ? Messages{} : Messages{asked[2], no(asked[0], "first"), asked[1]};
      });
  EXPECT_THAT(heard(), ElementsAre("yes", "no first", "yes"));
  EXPECT_EQ(base::get_string(records("released")[1], "actionId"), asked[2].action_id);
  EXPECT_EQ(base::get_string(records("released")[2], "actionId"), asked[1].action_id);
}

TEST_F(KeeperActionsTest, ADecisionThatNobodyMadeInTimeEndsTheRunAndNothingRuns) {
  run("question shell touch a\nquestion shell touch b\nwait\nsay ok\n", [](int number, DecisionMessage yes) {
    yes.decision = DecisionKind::expired;
    return number == 1 ? Messages{yes} : Messages{};
  });
  EXPECT_EQ(outcome(), "failed approval_expired");
  EXPECT_THAT(heard(), IsEmpty());
  EXPECT_EQ(records("released").size(), 1u);
  EXPECT_EQ(records("refused")[0].at("reason"), "approval_expired");
  EXPECT_EQ(records("refused")[1].at("reason"), "turn_ended");
}

TEST_F(KeeperActionsTest, ACallThatIsOpenWhenTheRunIsEndedEndsWithIt) {
  run("event agent.tool_started {\"callId\":\"call_1\",\"tool\":\"shell\"}\nask shell touch a\nsay ok\n",
      [](int number, DecisionMessage yes) {
        yes.decision = DecisionKind::expired;
        return number == 0 ? Messages{yes} : Messages{};
      });
  EXPECT_EQ(outcome(), "failed approval_expired");
  ASSERT_EQ(payloads("agent.tool_completed").size(), 1u);
  EXPECT_EQ(payloads("agent.tool_completed")[0].at("callId"), "call_1");
  EXPECT_EQ(payloads("agent.tool_completed")[0].at("status"), "failed");
}

TEST_F(KeeperActionsTest, AQuestionThatIsTakenBackCannotBeApprovedAnyMore) {
  DecisionMessage withdrawn;
  run("question shell touch a\nwithdraw 1\nask shell touch b\nsay ok\n",
      [&](int number, const DecisionMessage& yes) {
        if (number == 0) withdrawn = yes;
        return number == 0 ? Messages{} : Messages{withdrawn, yes};
      });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(heard(), ElementsAre("yes"));
  EXPECT_EQ(records("refused")[0].at("reason"), "withdrawn");
  EXPECT_EQ(records("released").size(), 2u);
}

TEST_F(KeeperActionsTest, WhatRunsWhenTheTurnEndsHasFailedAndWhatIsAskedIsRefused) {
  run("ask shell cat a\nquestion shell touch b\nfail provider_runtime_failed\n");
  EXPECT_EQ(outcome(), "failed provider_runtime_failed");
  EXPECT_EQ(payloads("execution.failed")[0].at("reason"), "provider_runtime_failed");
  EXPECT_EQ(payloads("execution.failed")[0].at("callId"), "call_1");
  EXPECT_EQ(records("refused")[0].at("reason"), "turn_ended");
  EXPECT_EQ(kinds().at(kinds().size() - 3), "agent.error");
}

TEST_F(KeeperActionsTest, ACancelWhileAPersonIsAskedRefusesTheAction) {
  run("question shell touch a\n", [](int, const DecisionMessage&) { return Messages{CancelMessage{}}; });
  EXPECT_EQ(outcome(), "cancelled");
  EXPECT_THAT(heard(), ElementsAre("interrupt"));
  EXPECT_EQ(records("refused")[0].at("reason"), "turn_ended");
  EXPECT_EQ(records("released").size(), 1u);
}

TEST_F(KeeperActionsTest, AToolThatRanWithoutAQuestionEndsTheRun) {
  const std::string started = "event agent.tool_started {\"callId\":\"x\",\"tool\":\"read\"}\n";
  for (const auto* status : {"\"completed\"", "\"failed\",\"exitCode\":1"}) {
    run(started + "event agent.tool_completed {\"callId\":\"x\",\"status\":" + status +
        "}\nask shell cat a\nsay ok\n");
    EXPECT_EQ(outcome(), "failed ungated_tool_call") << status;
    EXPECT_THAT(heard(), IsEmpty());
  }
}

TEST_F(KeeperActionsTest, WhatDidNotRunOrIsOnlyAListNeedsNoQuestion) {
  run("event agent.tool_started {\"callId\":\"x\",\"tool\":\"mcp\"}\n"
      "event agent.tool_completed {\"callId\":\"x\",\"status\":\"failed\"}\n"
      "event agent.tool_started {\"callId\":\"y\",\"tool\":\"shell\"}\n"
      "event agent.tool_completed {\"callId\":\"y\",\"status\":\"declined\"}\n"
      "event agent.tool_started {\"callId\":\"z\",\"tool\":\"todo\"}\n"
      "event agent.tool_completed {\"callId\":\"z\",\"status\":\"completed\"}\nsay ok\n");
  EXPECT_EQ(outcome(), "completed");
}

TEST_F(KeeperActionsTest, ACommandThatFailsEndsItsActionWithItsExitCode) {
  run("ask shell cat a\nevent agent.tool_completed "
      "{\"callId\":\"call_1\",\"status\":\"failed\",\"exitCode\":3}\nask read a\n"
      "event agent.tool_completed {\"callId\":\"call_2\",\"status\":\"failed\"}\nask read a\n"
      "event agent.tool_completed {\"callId\":\"call_3\",\"status\":\"declined\"}\nsay ok\n");
  EXPECT_EQ(outcome(), "completed");
  const auto failed = payloads("execution.failed");
  ASSERT_EQ(failed.size(), 3u);
  EXPECT_EQ(failed[0].at("exitCode"), 3);
  EXPECT_FALSE(failed[0].contains("reason"));
  EXPECT_EQ(failed[1].at("reason"), "tool_failed");
  EXPECT_EQ(failed[2].at("reason"), "not_executed");
}

TEST_F(KeeperActionsTest, WaitingForAPersonIsNoTimeOfTheRun) {
  plan_.limits.wall_time = 150ms;
  plan_.limits.quiet = 40ms;
  DecisionMessage yes;
  std::filesystem::remove(folder_ / "journal");
  agent({.says = "ask shell touch a\nsay ok\n"});
  keep([&](LineSocket socket) -> base::Task<void> {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    while (records("question").empty()) co_await base::sleep_for(5ms);
    co_await base::sleep_for(300ms);
    const auto question = records("question")[0];
    (void)co_await socket.write(to_line(ServerMessage(
        DecisionMessage{std::string(*base::get_string(question, "actionId")),
                        std::string(*base::get_string(question, "actionDigest")), DecisionKind::approved,
                        "evt"})));
    co_await until_bye(socket);
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  });
  EXPECT_EQ(outcome(), "completed");
}

TEST_F(KeeperActionsTest, ModesDecideWhatIsAsked) {
  const std::string asks = "ask shell cat a\nask shell touch a\nsay ok\n";
  run(asks, says_yes());
  EXPECT_THAT(decisions(), ElementsAre("runtime-mode allowed", "runtime-mode requires_approval"));
  plan_.runtime.mode = "full_access";
  run(asks);
  EXPECT_THAT(decisions(), ElementsAre("runtime-mode allowed", "runtime-mode allowed"));
  plan_.runtime.mode = "dontAsk";
  run(asks);
  EXPECT_THAT(decisions(), ElementsAre("runtime-mode allowed", "runtime-mode blocked"));
  EXPECT_THAT(heard(), ElementsAre("yes", HasSubstr("no mode dontAsk denies")));
  EXPECT_EQ(payloads("policy.evaluated")[2].at("terminalState"), "blocked");
}

TEST_F(KeeperActionsTest, APolicyTakesThePlaceOfTheModesQuestions) {
  const std::string asks = "ask read a\nask shell touch a\nsay ok\n";
  plan_.rules = *policy::preset("ask-writes");
  run(asks, says_yes());
  EXPECT_THAT(decisions(), ElementsAre("ask-writes allowed", "ask-writes requires_approval"));
  const auto asked = payloads("policy.evaluated")[2];
  EXPECT_EQ(asked.at("ruleId"), "default");
  EXPECT_EQ(base::get_string(asked, "policyVersion"), plan_.rules->version());
  plan_.rules = *policy::preset("locked");
  plan_.approval_mode = model::ApprovalMode::automatic;
  run(asks);
  EXPECT_THAT(decisions(), ElementsAre("locked allowed", "locked blocked"));
  plan_.rules = *policy::preset("observe");
  run(asks);
  EXPECT_THAT(decisions(), ElementsAre("observe allowed", "observe allowed"));
  EXPECT_EQ(payloads("policy.evaluated")[2].at("wouldBe"), "requires_approval");
}

TEST_F(KeeperActionsTest, APolicyDoesNotLoosenWhatTheModeDenies) {
  plan_.rules = *policy::preset("observe");
  plan_.runtime.mode = "dontAsk";
  run("ask shell touch a\nsay ok\n");
  EXPECT_THAT(decisions(), ElementsAre("runtime-mode blocked"));
}

TEST_F(KeeperActionsTest, ManualAsksAboutTheLaunchAndThenAboutEverything) {
  plan_.approval_mode = model::ApprovalMode::manual;
  plan_.runtime.mode = "full_access";
  run("ask shell cat a\nask shell touch a\nsay ok\n", says_yes());
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(records("question").size(), 3u);
  EXPECT_THAT(decisions(), ElementsAre("approval-mode requires_approval", "approval-mode requires_approval"));
}

TEST_F(KeeperActionsTest, AReviewersWordIsTheVerdictOfTheAction) {
  plan_.runtime.mode = "auto_review";
  for (const auto& [judge, decision, word] :
       {std::tuple("allow", "auto-review allowed", "yes"),
        std::tuple("deny", "auto-review blocked", "no Simulated review.")}) {
    plan_.task = "sim: judge " + std::string(judge) + "\nsim: sh touch a\nsim: reply ok";
    run("ask shell touch a\nsay ok\n");
    EXPECT_THAT(decisions(), ElementsAre(decision));
    EXPECT_THAT(heard(), ElementsAre(word));
    EXPECT_EQ(records("released").size(), judge == std::string("allow") ? 2u : 1u);
  }
}

TEST_F(KeeperActionsTest, WhatCannotBeShownInFullIsNotAskedAbout) {
  run("ask shell " + std::string(3u << 20, 'x') + "\nsay ok\n");
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(heard(), ElementsAre("no the call is too long to be shown in full"));
  EXPECT_THAT(decisions(), ElementsAre("action-gate blocked"));
  EXPECT_TRUE(records("question").empty());
}

TEST_F(KeeperActionsTest, AtRunScopeNothingOfThisHappens) {
  plan_.approval_scope = model::ApprovalScope::run;
  run(touch);
  EXPECT_THAT(story(), ElementsAre("agent.tool_completed"));
  EXPECT_EQ(payloads("action.proposed").size(), 1u);
}

}  // namespace
}  // namespace agentrouter::keeper
