// Webhooks and standing rules over HTTP.

#include "api/rig_test.h"
#include "model/action.h"
#include "runs/actions.h"
#include "runs/standing_rules.h"

namespace agentrouter::api {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class WebhookRoutes : public ApiRig {
 protected:
  std::string text(const Reply& reply, const char* key) {
    return std::string(base::get_string(reply.object(), key).value_or(""));
  }
  std::string hook(const std::string& more = "") {
    const auto made =
        post("/v1/webhooks", R"({"url":"https://hooks.example/x","events":["run.*"])" + more + "}");
    EXPECT_EQ(made.status, 201) << made.body;
    return text(made, "id");
  }
  Reply send(const std::string& method, const std::string& target, const std::string& body = "") {
    return raw(request(method, target, body, key() + (body.empty() ? "" : "Content-Type: application/json\r\n")));
  }
};

TEST_F(WebhookRoutes, AWebhookIsMadeShownChangedAndDeleted) {
  EXPECT_EQ(get("/v1/webhooks").body, R"({"items":[]})");
  const auto made = post("/v1/webhooks", R"({"url":" https://hooks.example/x ","events":["run.*","test"],)"
                                         R"("description":"chat"})");
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(text(made, "url"), "https://hooks.example/x");
  EXPECT_TRUE(text(made, "secret").starts_with("whsec_"));
  const auto id = text(made, "id");
  EXPECT_THAT(get("/v1/webhooks/" + id).body, Not(HasSubstr("whsec_")));
  EXPECT_THAT(get("/v1/webhooks").body, Not(HasSubstr("whsec_")));
  const auto changed = send("PATCH", "/v1/webhooks/" + id, R"({"enabled":false,"events":["*"]})");
  ASSERT_EQ(changed.status, 200) << changed.body;
  EXPECT_EQ(text(changed, "disabledReason"), "disabled by a request");
  EXPECT_EQ(send("PATCH", "/v1/webhooks/" + id, "{}").status, 200);
  EXPECT_EQ(post("/v1/webhooks/" + id + "/test", "{}").error_code(), "webhook_disabled");
  const auto gone = send("DELETE", "/v1/webhooks/" + id);
  EXPECT_EQ(gone.body, R"({"id":")" + id + R"(","deleted":true})");
  EXPECT_EQ(send("DELETE", "/v1/webhooks/" + id).error_code(), "webhook_not_found");
}

TEST_F(WebhookRoutes, ASecretIsRotatedAndShownOnce) {
  const auto id = hook(R"(,"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")");
  const auto rotated = post("/v1/webhooks/" + id + "/rotate", "");
  ASSERT_EQ(rotated.status, 200) << rotated.body;
  EXPECT_NE(text(rotated, "secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  EXPECT_NE(text(rotated, "oldSecretUntil"), "");
  const auto given = R"({"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})";
  EXPECT_EQ(text(post("/v1/webhooks/" + id + "/rotate", given), "secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  EXPECT_EQ(post("/v1/webhooks/" + id + "/rotate", R"({"secret":"whsec_x"})").error_code(), "validation_error");
}

TEST_F(WebhookRoutes, ARequestThatIsRepeatedIsNotToldALaterSecret) {
  const auto body = R"({"url":"https://hooks.example/x","events":["run.*"]})";
  const auto once = "Idempotency-Key: once\r\n";
  const auto made = post("/v1/webhooks", body, once);
  ASSERT_EQ(made.status, 201) << made.body;
  const auto again = post("/v1/webhooks", body, once);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.body, made.body);
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(post("/v1/webhooks/" + text(made, "id") + "/rotate", "").status, 200);
  const auto late = post("/v1/webhooks", body, once);
  EXPECT_EQ(late.status, 200);
  EXPECT_EQ(text(late, "id"), text(made, "id"));
  EXPECT_EQ(late.header("Idempotent-Replayed"), "true");
  EXPECT_THAT(late.body, Not(HasSubstr("whsec_")));
}

TEST_F(WebhookRoutes, MessagesAreListedAndSentAgain) {
  const auto id = hook();
  const auto run = created();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(post("/v1/webhooks/" + id + "/test", "{}").status, 202);
  const auto page = get("/v1/webhooks/" + id + "/deliveries?limit=2").object();
  ASSERT_EQ(page.at("items").as_array().size(), 2u);
  EXPECT_EQ(page.at("items").as_array()[0].at("type").as_string(), "test");
  const auto before = std::to_string(page.at("nextBefore").as_int64());
  const auto rest = get("/v1/webhooks/" + id + "/deliveries?before=" + before).object();
  ASSERT_EQ(rest.at("items").as_array().size(), 1u);
  EXPECT_EQ(rest.at("items").as_array()[0].at("type").as_string(), "run.created");
  EXPECT_EQ(rest.at("items").as_array()[0].at("runId").as_string(), run);
  const auto message = std::string(rest.at("items").as_array()[0].at("id").as_string());
  EXPECT_EQ(post("/v1/webhooks/" + id + "/deliveries/" + message + "/redeliver", "{}").status, 202);
  EXPECT_EQ(post("/v1/webhooks/" + id + "/deliveries/msg_x/redeliver", "{}").error_code(), "delivery_not_found");
  EXPECT_EQ(get("/v1/webhooks/wh_x/deliveries").error_code(), "webhook_not_found");
}

TEST_F(WebhookRoutes, WhatDoesNotFitIsRefused) {
  const auto refused = [&](const std::string& body) { return post("/v1/webhooks", body).error_code(); };
  EXPECT_EQ(refused(R"({"url":"http://hooks.example/","events":["*"]})"), "webhook_url_refused");
  EXPECT_EQ(refused(R"({"url":"https://127.0.0.1/","events":["*"]})"), "webhook_url_refused");
  for (const auto* body :
       {R"({"url":"https://a.example/"})", R"({"url":"https://a.example/","events":[]})",
        R"({"url":"https://a.example/","events":["agent.message"]})",
        R"({"url":"https://a.example/","events":[7]})", R"({"url":"https://a.example/","events":["*"],"x":1})",
        R"({"url":"https://a.example/","events":["*"],"secret":"short"})",
        R"({"url":7,"events":["*"]})", R"([])"})
    EXPECT_EQ(refused(body), "validation_error") << body;
  EXPECT_EQ(send("PATCH", "/v1/webhooks/" + hook(), R"({"enabled":1})").error_code(), "validation_error");
  EXPECT_EQ(get("/v1/webhooks/" + std::string(257, 'a')).error_code(), "validation_error");
  EXPECT_EQ(send("PUT", "/v1/webhooks/x", "{}").status, 405);
}

// A run with a question about one command.
class RuleRoutes : public WebhookRoutes {
 protected:
  std::string question(const std::string& run, const std::string& command) {
    const auto named = [&](const char* kind) {
      return std::string(kind) + "_" + base::uuid_from_text(run + command + kind);
    };
    const auto action = model::make_action(
        model::ActionId(named("action")), model::tool_action({.tool = "shell",
                                                              .title = command,
                                                              .input = {{"command", command}},
                                                              .input_digest = test_digest(),
                                                              .cwd = "/workspace"}));
    store::Approval approval;
    approval.run_id = model::RunId(run);
    approval.action_id = action.id;
    approval.action_digest = action.digest;
    approval.args_digest = action.args_digest;
    approval.request_id = named("approval");
    approval.requested_event_id = named("evt");
    approval.requested_at = clock_.now();
    write([&](store::Transaction& tx) {
      const auto payload =
          model::approval_requested_payload(action, {named("evt"), named("evt"), "system"}, named("approval"));
      runs::append_event(tx, approval.run_id,
                         testing::make_draft("approval.requested", base::to_text(payload)));
      tx.put_approval(approval);
      (void)runs::decide_by_rule(tx, *tx.run(approval.run_id), approval, {clock_, entropy_});
    });
    return action.id.str();
  }
  std::string state(const std::string& run, const std::string& action) {
    std::string word;
    write([&](store::Transaction& tx) {
      word = to_string(tx.approval(model::RunId(run), model::ActionId(action))->state);
    });
    return word;
  }
};

TEST_F(RuleRoutes, ARuleDecidesWhatWaitsAndWhatComes) {
  const auto run = created();
  append_claim(run);
  const auto first = question(run, "npm test");
  const auto other = question(run, "npm publish");
  const auto given = post("/v1/runs/" + run + "/approval-rules",
                          R"({"decision":"approved","rule":{"command":"npm test"},"reason":"tests are fine"})");
  ASSERT_EQ(given.status, 201) << given.body;
  EXPECT_EQ(given.object().at("decided").as_int64(), 1);
  EXPECT_EQ(state(run, first), "approved");
  EXPECT_EQ(state(run, other), "pending");
  EXPECT_EQ(state(run, question(run, "npm test -- --watch")), "approved");
  const auto events = get("/v1/runs/" + run + "/events").body;
  EXPECT_THAT(events, HasSubstr("approval.rule_given"));
  EXPECT_THAT(events, HasSubstr(R"("ruleId":")" + text(given, "id")));
  const auto listed = get("/v1/runs/" + run + "/approval-rules").object();
  EXPECT_EQ(listed.at("items").as_array().at(0).at("used").as_int64(), 2);
  const auto target = "/v1/runs/" + run + "/approval-rules/" + text(given, "id");
  EXPECT_NE(text(send("DELETE", target), "withdrawnAt"), "");
  EXPECT_EQ(send("DELETE", target).status, 200);
  EXPECT_EQ(state(run, question(run, "npm test -- --again")), "pending");
  EXPECT_EQ(get("/v1/runs/" + run + "/events").status, 200);
}

TEST_F(RuleRoutes, WhatIsNoRuleIsRefused) {
  const auto run = created();
  const auto refused = [&](const std::string& body) {
    return post("/v1/runs/" + run + "/approval-rules", body).error_code();
  };
  EXPECT_EQ(refused(R"({"decision":"approved","rule":{}})"), "policy_invalid");
  EXPECT_EQ(refused(R"({"decision":"approved","rule":{"comand":"x"}})"), "policy_invalid");
  EXPECT_EQ(refused(R"({"decision":"approved","rule":{"tool":"shell","verdict":"allow"}})"), "policy_invalid");
  EXPECT_EQ(refused(R"({"decision":"maybe","rule":{"tool":"shell"}})"), "validation_error");
  EXPECT_EQ(refused(R"({"decision":"approved"})"), "validation_error");
  EXPECT_EQ(refused(R"({"decision":"approved","rule":[]})"), "validation_error");
  EXPECT_EQ(post("/v1/runs/run_x/approval-rules", R"({"decision":"approved","rule":{"tool":"shell"}})").error_code(),
            "run_not_found");
  EXPECT_EQ(send("DELETE", "/v1/runs/" + run + "/approval-rules/rule_x").error_code(), "standing_rule_not_found");
  EXPECT_EQ(get("/v1/runs/run_x/approval-rules").error_code(), "run_not_found");
  end_run(run);
  EXPECT_EQ(refused(R"({"decision":"approved","rule":{"tool":"shell"}})"), "run_not_active");
}

}  // namespace

}  // namespace agentrouter::api
