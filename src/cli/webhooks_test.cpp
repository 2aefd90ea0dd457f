#include "cli/commands_test.h"

namespace agentrouter::cli {
namespace {

const std::string webhook_json =
    R"({"id":"wh_1","url":"https://a.test/\u001b[2J","description":"chat","events":["run.*","test"],"enabled":true)";

TEST_F(CommandsTest, AWebhookIsMadeAndItsSecretShown) {
  server.on("POST /v1/webhooks", reply(201, webhook_json + R"(,"secret":"whsec_x"})"));
  EXPECT_EQ(run(webhooks, {.verb = "create", .url = "https://a.test/", .message = "chat"}), 0);
  EXPECT_EQ(server.requests().at(0).body,
            R"({"url":"https://a.test/","events":["approval.requested","run.*"],"description":"chat"})");
  EXPECT_EQ(out.str(),
            "wh_1  https://a.test/\n  run.*,test; enabled; chat\n  Secret (shown only now): whsec_x\n");
}

TEST_F(CommandsTest, WebhooksAreListedWithWhatIsWrongWithThem) {
  server.on("GET /v1/webhooks",
            reply(200, R"({"items":[{"id":"wh_1","url":"u","events":["*"],"enabled":false,)"
                       R"x("disabledReason":"the endpoint answered 410 (Gone)"},)x"
                       R"({"id":"wh_2","url":"u","events":["*"],"enabled":true,"failingSince":"2026"}]})"));
  EXPECT_EQ(run(webhooks, {.verb = "list"}), 0);
  EXPECT_EQ(out.str(),
            "wh_1  u\n  *; disabled (the endpoint answered 410 (Gone))\nwh_2  u\n  *; failing since 2026\n");
}

TEST_F(CommandsTest, WebhooksAreChangedTestedRotatedAndDeleted) {
  server.on("PATCH /v1/webhooks/wh_1", reply(200, webhook_json + "}"));
  server.on("POST /v1/webhooks/wh_1/rotate", reply(200, webhook_json + R"(,"secret":"whsec_y"})"));
  server.on("DELETE /v1/webhooks/wh_1", reply(200, R"({"id":"wh_1","deleted":true})"));
  server.on("POST /v1/webhooks/wh_1/test",
            reply(202, R"({"id":"msg_1","webhookId":"wh_1","type":"test","state":"pending","attempts":0,)"
                       R"("createdAt":"2026"})"));
  EXPECT_EQ(run(webhooks, {.verb = "disable", .hook_id = "wh_1"}), 0);
  EXPECT_EQ(server.requests().back().body, R"({"enabled":false})");
  EXPECT_EQ(run(webhooks, {.verb = "change", .hook_id = "wh_1", .hook_events = {"run.failed"}}), 0);
  EXPECT_EQ(server.requests().back().body, R"({"events":["run.failed"]})");
  out.str("");
  EXPECT_EQ(run(webhooks, {.verb = "rotate", .hook_id = "wh_1"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("whsec_y"));
  out.str("");
  EXPECT_EQ(run(webhooks, {.verb = "test", .hook_id = "wh_1"}), 0);
  EXPECT_EQ(out.str(), "msg_1  2026  test  pending after 0 attempts\n");
  EXPECT_THAT(err.str(), HasSubstr("agentrouter webhooks deliveries wh_1"));
  out.str("");
  EXPECT_EQ(run(webhooks, {.verb = "delete", .hook_id = "wh_1"}), 0);
  EXPECT_EQ(out.str(), "Deleted wh_1\n");
}

TEST_F(CommandsTest, MessagesOfAWebhookSayWhatBecameOfThem) {
  server.on("GET /v1/webhooks/wh_1/deliveries",
            reply(200, R"({"items":[{"id":"msg_1","webhookId":"wh_1","type":"run.failed","state":"failed",)"
                       R"("attempts":12,"createdAt":"2026","status":500,"error":"the endpoint answered 500"}]})"));
  EXPECT_EQ(run(webhooks, {.verb = "deliveries", .hook_id = "wh_1"}), 0);
  EXPECT_EQ(out.str(), "msg_1  2026  run.failed  failed after 12 attempts, 500: the endpoint answered 500\n");
  server.on("POST /v1/webhooks/wh_1/deliveries/msg_1/redeliver",
            reply(202, R"({"id":"msg_1","webhookId":"wh_1","state":"pending"})"));
  EXPECT_EQ(run(webhooks, {.verb = "redeliver", .hook_id = "wh_1", .message_id = "msg_1"}), 0);
}

TEST_F(CommandsTest, WebhookCommandsNeedWhatTheyAreAbout) {
  const auto told = [&](Command command) {
    return message_of([&] { (void)run(webhooks, std::move(command)); });
  };
  EXPECT_THAT(told({.verb = "create"}), HasSubstr("--url"));
  EXPECT_THAT(told({.verb = "test"}), HasSubstr("name the webhook"));
  EXPECT_THAT(told({.verb = "test", .hook_id = "../runs"}), HasSubstr("no id"));
  EXPECT_THAT(told({.verb = "redeliver", .hook_id = "wh_1"}), HasSubstr("name the message"));
}

}  // namespace
}  // namespace agentrouter::cli
