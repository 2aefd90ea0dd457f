#include "runs/standing_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/action.h"
#include "runs/approvals.h"
#include "runs/cancel.h"
#include "runs/create.h"
#include "runs/journal_commit.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A run whose agent asks about one thing after the other.
class StandingRules : public ::testing::Test {
 protected:
  void SetUp() override {
    NewRun request;
    request.input = R"({"approvalScope":"action"})";
    request.tags = {{"team", "infra"}};
    run_ = db_.write([&](store::Transaction& tx) { return create_run(tx, request, context()); })->run.id;
    fence_ =
        db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); })->fence();
  }
  // The state of the question afterwards.
  std::string ask(const std::string& tool, json::object input) {
    return ask_about(model::tool_action(
        {.tool = tool, .title = "t", .input = std::move(input), .input_digest = "sha256:i", .cwd = "/workspace"}));
  }
  std::string shell(const std::string& command) {
    return ask("shell", {{"command", command}, {"cwd", "/workspace"}});
  }
  std::string ask_about(json::object body, bool cut = false, std::string digest = "") {
    const auto number = std::to_string(++asked_);
    const auto action = model::make_action(model::ActionId("action_" + number), std::move(body));
    if (digest.empty()) digest = action.digest;
    last_ = action.id;
    last_digest_ = digest;
    auto requested = testing::make_draft(
        "approval.requested",
        base::to_text(model::approval_requested_payload(action, {"evt_" + number, "", "system"}, "approval_1")));
    requested.truncated = cut;
    JournalBatch batch;
    batch.from_offset = offset_;
    batch.to_offset = ++offset_;
    batch.events = {requested};
    batch.questions = {{action.id, digest, action.args_digest, "approval_1", "evt_" + number}};
    base::value_or_throw(
        db_.write([&](store::Transaction& tx) { return commit_journal(tx, fence_, batch, context()); }));
    return state(action.id);
  }
  std::string state(const model::ActionId& action) {
    return std::string(
        to_string(db_.read([&](store::Reader& reader) { return reader.approval(run_, action); })->state));
  }
  base::Result<GivenRule> give(Decision decision, std::string_view rule, std::string by = "key_1") {
    const NewStandingRule request{.run = run_,
                                  .decision = decision,
                                  .rule = base::value_or_throw(base::parse_json(rule)).get_object(),
                                  .reason = "as said before",
                                  .given_by = std::move(by)};
    return db_.write([&](store::Transaction& tx) { return give_rule(tx, request, context()); });
  }
  void approve(std::string_view rule) { base::value_or_throw(give(Decision::approved, rule)); }
  void deny(std::string_view rule) { base::value_or_throw(give(Decision::denied, rule)); }
  model::Event last_event() {
    return db_.read([&](store::Reader& reader) { return reader.events(run_, 0, 1000); }).back();
  }
  std::vector<std::string> audited() {
    std::vector<std::string> all;
    for (const auto& entry : db_.read([](store::Reader& reader) { return reader.audit("default", 0, 100); }))
      all.push_back(entry.type + " " + entry.who);
    return all;
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
  model::RunId run_;
  Fence fence_;
  model::ActionId last_;
  std::string last_digest_;
  int asked_ = 0;
  std::int64_t offset_ = 0;
};

TEST_F(StandingRules, AQuestionThatMatchesIsDecidedWithTheQuestion) {
  approve(R"({"command":"npm test"})");
  EXPECT_EQ(shell("npm test -- --watch"), "approved");
  const auto event = last_event();
  EXPECT_EQ(event.type, "approval.decided");
  const auto payload = base::value_or_throw(base::parse_json(event.payload)).get_object();
  EXPECT_EQ(base::get_string(payload, "decidedBy"), "key_1");
  EXPECT_EQ(base::get_string(payload, "actor"), "human");
  EXPECT_EQ(base::get_string(payload, "reason"), "as said before");
  EXPECT_TRUE(base::get_string(payload, "ruleId")->starts_with("rule_"));
  EXPECT_EQ(base::get_string(payload, "actionDigest"), last_digest_);
  EXPECT_EQ(base::get_string(payload, "priorEventId"), "evt_1");
  const auto undelivered =
      db_.read([&](store::Reader& reader) { return reader.undelivered_approvals(run_); });
  ASSERT_EQ(undelivered.size(), 1u);
  EXPECT_EQ(undelivered[0].decided_by, "key_1");
  EXPECT_THAT(audited(), ElementsAre("run.created ", "approval.rule_given key_1", "approval.requested ",
                                     "approval.decided key_1"));
}

TEST_F(StandingRules, EverythingElseIsAsked) {
  approve(R"({"command":"npm test"})");
  for (const auto* command : {"npm publish", "npm test && rm a", "npm test > /etc/x", "npm $X", "$(npm test)",
                              "X=1 npm test", "./npm test", "sh -c \"$X\"", "npm test; 'unclosed"})
    EXPECT_EQ(shell(command), "pending") << command;
  EXPECT_EQ(ask("edit", {{"changes", json::array{json::object{{"path", "a"}, {"kind", "update"}}}}}), "pending");
  EXPECT_EQ(ask("mcp", {{"server", "npm"}, {"tool", "test"}}), "pending");
  EXPECT_EQ(shell("bash -c 'npm test'"), "approved");
}

TEST_F(StandingRules, NothingThatARuleDoesNotNameIsDecidedByIt) {
  approve(R"({"tool":"edit"})");
  EXPECT_EQ(shell("true"), "pending");
  EXPECT_EQ(shell(":"), "pending");
}

TEST_F(StandingRules, WhatIsDeniedIsDeniedWhateverElseIsApproved) {
  approve(R"({"command":"git *"})");
  deny(R"({"command":"git push"})");
  approve(R"({"command":"git push"})");
  EXPECT_EQ(shell("git status"), "approved");
  EXPECT_EQ(shell("git push"), "denied");
  EXPECT_EQ(shell("git status && git -C x push --force"), "denied");
}

TEST_F(StandingRules, AllKeysOfTheLanguageCount) {
  approve(R"({"tool":"edit","path":"src/**","max_lines":2,"tag":{"team":"infra"}})");
  const auto edit = [&](const char* path, const char* diff) {
    return ask("edit", {{"changes", json::array{json::object{{"path", path}, {"kind", "update"}, {"diff", diff}}}}});
  };
  EXPECT_EQ(edit("src/a.cpp", "+x\n"), "approved");
  EXPECT_EQ(edit("src/a.cpp", "+x\n+y\n+z\n"), "pending");
  EXPECT_EQ(edit("docs/a.md", "+x\n"), "pending");
  approve(R"({"mcp":"notes.get_*"})");
  EXPECT_EQ(ask("mcp", {{"server", "notes"}, {"tool", "get_all"}}), "approved");
  EXPECT_EQ(ask("mcp", {{"server", "notes"}, {"tool", "delete"}}), "pending");
}

TEST_F(StandingRules, WhatWaitsAlreadyIsDecidedWhenTheRuleIsGiven) {
  EXPECT_EQ(shell("npm test"), "pending");
  const auto first = last_;
  EXPECT_EQ(shell("npm publish"), "pending");
  const auto given = base::value_or_throw(give(Decision::approved, R"({"command":"npm test"})"));
  EXPECT_EQ(given.decided, 1);
  EXPECT_EQ(given.rule.used, 1);
  EXPECT_EQ(state(first), "approved");
  EXPECT_EQ(state(last_), "pending");
}

TEST_F(StandingRules, AQuestionThatIsNotWholeIsLeftToAPerson) {
  approve(R"({"tool":["shell","edit","read","mcp","web","other"]})");
  const auto body = model::tool_action({.tool = "read",
                                        .input = {{"file_path", "a"}},
                                        .input_digest = "sha256:i",
                                        .cwd = "/workspace"});
  EXPECT_EQ(ask_about(body, true), "pending");
  EXPECT_EQ(ask_about(body, false, "sha256:of another action"), "pending");
  EXPECT_EQ(ask_about(body), "approved");
}

TEST_F(StandingRules, TheLaunchIsNoCallOfATool) {
  approve(R"({"tool":["shell","launch","other"]})");
  EXPECT_EQ(ask_about(model::launch_action({.task = "t", .command = "codex", .cwd = "/workspace"})), "pending");
}

TEST_F(StandingRules, AWithdrawnRuleDecidesNothing) {
  const auto given = base::value_or_throw(give(Decision::approved, R"({"command":"npm test"})"));
  EXPECT_EQ(shell("npm test"), "approved");
  const auto withdraw = [&] {
    return db_.write([&](store::Transaction& tx) {
      return withdraw_rule(tx, run_, given.rule.id, "key_2", context());
    });
  };
  EXPECT_EQ(base::value_or_throw(withdraw()).withdrawn_by, "key_2");
  EXPECT_EQ(last_event().type, "approval.rule_withdrawn");
  EXPECT_EQ(shell("npm test"), "pending");
  EXPECT_EQ(base::value_or_throw(withdraw()).used, 1);
}

TEST_F(StandingRules, AnotherRunDoesNotHaveThem) {
  approve(R"({"tool":"shell"})");
  SetUp();
  offset_ = 0;
  EXPECT_EQ(shell("npm test"), "pending");
}

TEST_F(StandingRules, OnlyWhoIsAskedIsTold) {
  store::Webhook webhook;
  webhook.id = "wh_1";
  webhook.events = {"approval.*"};
  db_.write([&](store::Transaction& tx) { tx.put_webhook(webhook); });
  approve(R"({"command":"npm test"})");
  shell("npm test");
  shell("npm publish");
  std::vector<std::string> told;
  for (const auto& message : db_.read([](store::Reader& reader) { return reader.next_deliveries("wh_1", 10); }))
    told.push_back(message.type);
  EXPECT_THAT(told, ElementsAre("approval.decided", "approval.requested"));
}

TEST_F(StandingRules, RefusalsHaveReasons) {
  const auto refused = [&](std::string_view rule) {
    const auto given = give(Decision::approved, rule);
    return given ? "given" : given.error().reason;
  };
  EXPECT_EQ(refused("{}"), "policy_invalid");
  EXPECT_EQ(refused(R"({"verdict":"allow"})"), "policy_invalid");
  EXPECT_EQ(refused(R"({"id":"x","tool":"shell"})"), "policy_invalid");
  EXPECT_EQ(refused(R"({"tool":"spoon"})"), "policy_invalid");
  for (std::size_t i = 0; i < most_standing_rules; ++i) EXPECT_EQ(refused(R"({"tool":"edit"})"), "given");
  EXPECT_EQ(refused(R"({"tool":"edit"})"), "standing_rule_limit");
  db_.write([&](store::Transaction& tx) { return cancel_run(tx, run_, context()); });
  EXPECT_EQ(refused(R"({"tool":"edit"})"), "run_not_active");
}

TEST_F(StandingRules, ARunThatIsBeingCancelledIsNotApprovedAnything) {
  approve(R"({"command":"npm test"})");
  db_.write([&](store::Transaction& tx) { return cancel_run(tx, run_, context()); });
  EXPECT_EQ(shell("npm test"), "pending");
}

}  // namespace

}  // namespace agentrouter::runs
