// What waits for a person in all runs, and decisions about several actions at once.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "api/rig_test.h"
#include "model/action.h"
#include "runs/actions.h"
#include "testing/builders.h"

namespace agentrouter::api {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ApprovalRoutes : public ApiRig {
 protected:
  std::vector<std::string> actions_of(const Reply& reply) {
    std::vector<std::string> ids;
    const auto body = reply.object();
    for (const auto& item : body.at("items").as_array())
      ids.emplace_back(item.at("actionId").as_string());
    return ids;
  }
  // An action of the run that a person is asked about, as the worker stores it: all in one commit.
  std::string question(const std::string& run, const std::string& name) {
    const auto named = [&](const char* kind) { return kind + ("_" + base::uuid_from_text(run + name + kind)); };
    const auto action = model::make_action(
        model::ActionId(named("action")),
        model::tool_action({.runtime = {},
                            .tool = "shell",
                            .title = name,
                            .input = {{"command", name}},
                            .input_digest = test_digest(),
                            .cwd = "/workspace",
                            .environment = {"HOME"}}));
    const auto payload = model::approval_requested_payload(action, {named("evt"), named("evt"), "system"},
                                                           named("approval"));
    store::Approval approval;
    approval.run_id = model::RunId(run);
    approval.action_id = action.id;
    approval.action_digest = test_digest();
    approval.args_digest = action.args_digest;
    approval.request_id = named("approval");
    approval.requested_event_id = named("evt");
    approval.requested_at = clock_.now();
    write([&](store::Transaction& tx) {
      const auto proposal = model::proposed_payload(action, {named("evt"), {}, "agent"});
      runs::append_event(tx, approval.run_id,
                         testing::make_draft("action.proposed", base::to_text(proposal)));
      runs::append_event(tx, approval.run_id,
                         testing::make_draft("approval.requested", base::to_text(payload)));
      tx.put_approval(approval);
    });
    return action.id.str();
  }
  static json::object decision(const std::string& action, const char* word,
                               const std::string& digest = test_digest()) {
    return {{"actionId", action}, {"actionDigest", digest}, {"decision", word}};
  }
  static std::string body(json::array decisions) {
    return base::to_text(json::object{{"decisions", std::move(decisions)}});
  }
};

TEST_F(ApprovalRoutes, QuestionsOfAllRunsAreListedWithWhatTheyAreAbout) {
  const auto first = created(), second = created();
  const auto a = question(first, "touch a"), b = question(second, "touch b"), c = question(first, "touch c");
  const auto all = get("/v1/approvals");
  EXPECT_THAT(actions_of(all), ElementsAre(a, b, c));
  const auto item = all.object().at("items").at(0).as_object();
  EXPECT_EQ(item.at("runId").as_string(), first.c_str());
  EXPECT_EQ(item.at("target").as_string(), "touch a");
  EXPECT_EQ(item.at("actionDigest").as_string(), test_digest().c_str());
  EXPECT_EQ(item.at("event").at("type").as_string(), "approval.requested");
  EXPECT_THAT(actions_of(get("/v1/approvals?runId=" + first)), ElementsAre(a, c));
  const auto page = get("/v1/approvals?limit=2");
  EXPECT_THAT(actions_of(page), ElementsAre(a, b));
  const auto next = std::to_string(page.object().at("nextAfter").as_int64());
  EXPECT_THAT(actions_of(get("/v1/approvals?after=" + next)), ElementsAre(c));
  const auto end = get("/v1/approvals?runId=run_none&after=" + next).object();
  EXPECT_THAT(end.at("items").as_array(), SizeIs(0));
  EXPECT_EQ(std::to_string(end.at("nextAfter").as_int64()), next);
}

TEST_F(ApprovalRoutes, WhatIsDecidedWaitsNoLonger) {
  const auto run = created();
  const auto a = question(run, "touch a"), b = question(run, "touch b");
  EXPECT_EQ(post("/v1/runs/" + run + "/approvals", body({decision(a, "denied")})).status, 200);
  EXPECT_THAT(actions_of(get("/v1/approvals")), ElementsAre(b));
}

TEST_F(ApprovalRoutes, AWaitEndsWithTheNextQuestionOrWithItsTime) {
  const auto run = created();
  std::thread asker([&] { question(run, "touch a"); });
  const auto reply = get("/v1/approvals?waitSeconds=30");
  asker.join();
  EXPECT_THAT(actions_of(reply), SizeIs(1));
  const auto after = std::to_string(reply.object().at("nextAfter").as_int64());
  EXPECT_THAT(actions_of(get("/v1/approvals?waitSeconds=1&after=" + after)), SizeIs(0));
}

TEST_F(ApprovalRoutes, WhoIsShutOutWhileHeWaitsIsToldNoQuestion) {
  const auto run = created();
  const auto made = post("/v1/keys", R"({"name":"k","scopes":["approvals:decide"]})").object();
  const std::string id(made.at("id").as_string());
  std::promise<void> admitted;
  key_used_ = [&] { admitted.set_value(); };
  Wire wire(port_);
  wire.send(request("GET", "/v1/approvals?waitSeconds=30", "",
                    "Authorization: Bearer " + std::string(made.at("key").as_string()) + "\r\n"));
  admitted.get_future().get();
  EXPECT_EQ(raw(request("DELETE", "/v1/keys/" + id, "", key())).status, 200);
  question(run, "touch a");
  const auto reply = read_reply(wire.read_to_end());
  EXPECT_EQ(reply.status, 401);
  EXPECT_EQ(reply.error_code(), "unauthorized");
}

TEST_F(ApprovalRoutes, BadQueriesAreNamed) {
  for (const auto* query : {"limit=0", "limit=501", "after=-1", "after=x", "waitSeconds=31", "runId=a&runId=b"})
    EXPECT_EQ(get(std::string("/v1/approvals?") + query).error_code(), "validation_error") << query;
}

TEST_F(ApprovalRoutes, SeveralDecisionsStandEachForItself) {
  const auto run = created();
  const auto a = question(run, "a"), b = question(run, "b"), c = question(run, "c");
  const auto reply = post("/v1/runs/" + run + "/approvals",
                          body({decision(a, "approved"), decision(b, "approved", "sha256:another"),
                                decision(c, "denied"), decision("action_x", "denied"), decision(a, "denied")}));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto items = reply.object().at("items").as_array();
  ASSERT_EQ(items.size(), 5u);
  EXPECT_EQ(items[0].at("event").at("payload").at("decision").as_string(), "approved");
  EXPECT_EQ(items[1].at("error").at("code").as_string(), "action_digest_mismatch");
  EXPECT_EQ(items[1].at("error").at("details").at("expected").as_string(), test_digest().c_str());
  EXPECT_EQ(items[2].at("event").at("payload").at("decision").as_string(), "denied");
  EXPECT_EQ(items[3].at("error").at("code").as_string(), "approval_not_requested");
  EXPECT_EQ(items[4].at("error").at("code").as_string(), "approval_already_decided");
  EXPECT_THAT(actions_of(get("/v1/approvals")), ElementsAre(b));
}

TEST_F(ApprovalRoutes, ManyDecisionsAreValidatedAsAWhole) {
  const auto run = created();
  const auto path = "/v1/runs/" + run + "/approvals";
  json::array many;
  for (int i = 0; i < 101; ++i) many.push_back(decision("action_x", "denied"));
  auto with_more = decision("action_x", "denied");
  with_more["more"] = 1;
  for (const auto& text :
       std::vector<std::string>{"{}", "[]", R"({"decisions":{}})", R"({"decisions":[]})", body(many),
                                R"({"decisions":[1]})", body({decision("", "denied")}), body({with_more}),
                                body({decision("action_x", "maybe")}), body({decision("action_x", "denied", "md5:abcdefgh")}),
                                R"({"decisions":[{"actionId":"a","actionDigest":"sha256:a"}]})",
                                R"({"decisions":[],"more":1})"}) {
    EXPECT_EQ(post(path, text).error_code(), "validation_error") << text.substr(0, 80);
  }
  EXPECT_EQ(post("/v1/runs/run_none/approvals", body({decision("a", "denied")})).error_code(), "run_not_found");
}

TEST_F(ApprovalRoutes, WhoDecidedIsToldWhereActionsAreDecidedAbout) {
  const auto gated = created(R"({"task":"t","approvalScope":"action"})"), plain = created();
  const auto a = question(gated, "a"), b = question(plain, "b");
  const auto decided = [&](const std::string& run, const std::string& action) {
    return post("/v1/runs/" + run + "/actions/" + action + "/approve",
                base::to_text(json::object{{"actionDigest", test_digest()}}));
  };
  EXPECT_THAT(decided(gated, a).body, HasSubstr(R"("decidedBy":"key_62af8704764f")"));
  EXPECT_THAT(decided(plain, b).body, ::testing::Not(HasSubstr("decidedBy")));
  const auto record = get("/v1/runs/" + gated + "/record").object();
  EXPECT_EQ(record.at("approvalScope").as_string(), "action");
  EXPECT_EQ(record.at("actions").at(0).at("approval").at("decidedBy").as_string(), "key_62af8704764f");
}

TEST_F(ApprovalRoutes, OtherInputIsTakenWhereTheAgentTakesIt) {
  const std::string claude = R"({"task":"t","approvalScope":"action","runtime":{"kind":"claude_code"}})";
  const auto run = created(claude), codex = created(R"({"task":"t","approvalScope":"action"})");
  const auto a = question(run, "a"), b = question(codex, "b");
  const auto decide = [&](const std::string& of, const std::string& action, const char* verb, json::value input) {
    return post("/v1/runs/" + of + "/actions/" + action + "/" + verb,
                base::to_text(json::object{{"actionDigest", test_digest()}, {"updatedInput", std::move(input)}}));
  };
  EXPECT_EQ(decide(codex, b, "approve", json::object()).error_code(), "unsupported_option");
  EXPECT_EQ(decide(run, a, "deny", json::object()).error_code(), "validation_error");
  EXPECT_EQ(decide(run, a, "approve", json::array()).error_code(), "validation_error");
  EXPECT_EQ(decide(run, a, "approve", json::object{{"command", std::string(17'000, 'x')}}).error_code(),
            "validation_error");
  const auto decided = decide(run, a, "approve", json::object{{"command", "pwd"}});
  EXPECT_EQ(decided.object().at("payload").at("updatedInput").at("command").as_string(), "pwd");
}

}  // namespace

}  // namespace agentrouter::api
