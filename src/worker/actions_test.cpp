// Actions of a run at approvalScope "action": decided in the store, delivered to the keeper, and settled whatever dies.

#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WorkerActionsTest : public WorkerTest {
 protected:
  model::RunId submit_gated(const std::string& says, std::optional<std::chrono::seconds> timeout = {}) {
    runs::NewRun request;
    const auto script = base::to_text(json::object{{"says", says}});
    request.input = base::to_text(json::object{{"task", script}, {"approvalScope", "action"}});
    request.task = script;
    request.approval_timeout = timeout;
    return write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  }
  std::vector<store::Approval> pending(const model::RunId& id) {
    return read([&](store::Reader& reader) { return reader.pending_approvals(id); });
  }
  void until_asked(const model::RunId& id, std::size_t count) {
    until([&] { return pending(id).size() == count; });
  }
  std::string decide_about(const store::Approval& approval, runs::Decision decision, std::string reason = {}) {
    const auto decided = write([&](store::Transaction& tx) {
      return runs::decide_action(tx,
                                 {.run = approval.run_id,
                                  .action = approval.action_id,
                                  .action_digest = approval.action_digest,
                                  .decision = decision,
                                  .reason = std::move(reason)},
                                 now());
    });
    return decided ? "decided" : decided.error().reason;
  }
  std::vector<json::object> payloads(const model::RunId& id, std::string_view type) {
    std::vector<json::object> all;
    for (const auto& event : events(id)) {
      if (event.type == type) all.push_back(base::value_or_throw(base::parse_json(event.payload)).as_object());
    }
    return all;
  }
  std::vector<store::ActionRecord> actions(const model::RunId& id) {
    return read([&](store::Reader& reader) { return reader.actions(id, 100); });
  }
};

constexpr const char* two_questions = "question shell touch a\nquestion shell touch b\nwait\nsay done\n";

TEST_F(WorkerActionsTest, DecisionsReachTheKeeperInAnyOrderAndEachActionHasItsRecord) {
  start();
  const auto id = submit_gated(two_questions);
  until_asked(id, 2);
  const auto asked = pending(id);
  EXPECT_EQ(decide_about(asked[1], runs::Decision::approved), "decided");
  EXPECT_EQ(decide_about(asked[0], runs::Decision::denied, "not this one"), "decided");
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  const auto all = actions(id);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].name, "codex.launch");
  EXPECT_EQ(all[1].approval, "denied");
  EXPECT_EQ(all[1].approval_reason, "not this one");
  EXPECT_EQ(all[1].execution, "");
  EXPECT_EQ(all[2].approval, "approved");
  EXPECT_EQ(all[2].policy_id, "runtime-mode");
  // The agent never said how it ended.
  EXPECT_EQ(all[2].execution, "failed");
  EXPECT_EQ(all[2].execution_reason, "outcome_unknown");
}

TEST_F(WorkerActionsTest, QuestionsSurviveTheServerAndAreDecidedWithoutIt) {
  start();
  const auto id = submit_gated(two_questions);
  until_asked(id, 2);
  stop();
  for (const auto& approval : pending(id)) EXPECT_EQ(decide_about(approval, runs::Decision::approved), "decided");
  config_.worker_id = "worker_2";
  start();
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(std::ranges::count(types(id), "approval.requested"), 2);
  EXPECT_EQ(std::ranges::count(types(id), "execution.started"), 3);
}

TEST_F(WorkerActionsTest, WithAKeeperItsQuestionsAreVoidAndWhatRanHasAnUnknownOutcome) {
  start();
  const auto id = submit_gated("ask shell cat a\nquestion shell touch b\n");
  until_asked(id, 1);
  const auto asked = pending(id);
  ::kill(launcher_.keepers.at(0), SIGKILL);
  until_retired(id);
  EXPECT_EQ(failure(id), "attempt_lost");
  EXPECT_EQ(payload(id, "approval.withdrawn").at("reason"), "attempt_lost");
  const auto failed = payloads(id, "execution.failed");
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_EQ(failed[0].at("callId"), "call_1");
  EXPECT_EQ(failed[1].at("actionId"), payload(id, "action.proposed").at("actionId"));  // the launch
  for (const auto& one : failed) EXPECT_EQ(one.at("reason"), "outcome_unknown");
  const auto all = types(id);
  EXPECT_LT(std::ranges::find(all, "execution.failed"), std::ranges::find(all, "agent.error"));
  EXPECT_EQ(decide_about(asked[0], runs::Decision::approved), "run_not_active");
  EXPECT_EQ(launcher_.requests.size(), 1u);
}

TEST_F(WorkerActionsTest, AQuestionThatNobodyAnswersInTimeEndsTheRun) {
  start();
  const auto id = submit_gated("ask shell touch a\nsay done\n", std::chrono::seconds(30));
  until_asked(id, 1);
  const auto asked = pending(id);
  clock_.advance(31s);
  stop();
  start();
  until_retired(id);
  EXPECT_EQ(failure(id), "approval_expired");
  EXPECT_EQ(actions(id)[1].approval, "expired");
  EXPECT_EQ(actions(id)[1].execution, "");
  EXPECT_EQ(decide_about(asked[0], runs::Decision::approved), "approval_not_pending");
}

TEST_F(WorkerActionsTest, ACancelTakesQuestionsBack) {
  start();
  const auto id = submit_gated("question shell touch a\n");
  until_asked(id, 1);
  const auto asked = pending(id);
  cancel(id);
  until_retired(id);
  EXPECT_EQ(failure(id), "cancelled");
  EXPECT_EQ(actions(id)[1].approval, "withdrawn");
  EXPECT_EQ(decide_about(asked[0], runs::Decision::approved), "approval_not_pending");
}

TEST_F(WorkerActionsTest, AnUnknownPolicyEndsTheRunBeforeItsAgent) {
  start();
  runs::NewRun request;
  request.input = R"({"task":"t","policy":"gone"})";
  request.task = "t";
  const auto id = write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  until_retired(id);
  EXPECT_EQ(failure(id), "policy_unknown");
  EXPECT_TRUE(launcher_.requests.empty());
}

TEST_F(WorkerActionsTest, ARunThatDemandsMoreIsolationThanThereIsEndsBeforeItsAgent) {
  start();
  runs::NewRun request;
  request.input = R"({"task":"t","requireIsolation":"vm"})";
  request.task = "t";
  const auto id = write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  until_retired(id);
  EXPECT_EQ(failure(id), "isolation_unavailable");
  EXPECT_TRUE(launcher_.requests.empty());
}

TEST_F(WorkerActionsTest, APolicyIsPinnedIntoThePlan) {
  start();
  runs::NewRun request;
  request.task = base::to_text(json::object{{"says", "ask shell touch a\nsay done\n"}});
  request.input = R"({"task":"t","policy":"locked","approvalScope":"action"})";
  const auto id = write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(actions(id)[1].policy_id, "locked");
  EXPECT_EQ(actions(id)[1].policy_decision, "blocked");
  EXPECT_FALSE(actions(id)[1].policy_rule.empty());
}

TEST_F(WorkerActionsTest, TheServersPolicyHoldsARunThatNamesNoneAtWhateverScope) {
  config_.policy_named = [](std::string_view) -> base::Result<std::optional<policy::Rules>> {
    return std::optional(*policy::preset("locked"));
  };
  start();
  runs::NewRun request;
  request.task = base::to_text(json::object{{"says", "ask shell touch a\nsay done\n"}});
  request.input = R"({"task":"t"})";
  const auto id = write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  until_retired(id);
  ASSERT_EQ(actions(id).size(), 2u);
  EXPECT_EQ(actions(id)[1].policy_id, "locked");
  EXPECT_EQ(actions(id)[1].policy_decision, "blocked");
}

}  // namespace
}  // namespace agentrouter::worker
