#include "cli/rules.h"

#include "cli/commands_test.h"

namespace agentrouter::cli {
namespace {

const std::string rule_json =
    R"({"id":"rule_1","runId":"run_1","decision":"approved","rule":{"command":"npm test"},"givenAt":"2026",)"
    R"("used":2,"givenBy":"key_1")";

TEST(Rules, AreMadeOfConditions) {
  EXPECT_EQ(rule_of({"command=npm test"}).dump(), R"({"command":"npm test"})");
  EXPECT_EQ(rule_of({"tool=edit", "path=src/**", "path=*.md", "max_lines=20", "tag.team=infra", "without=--"}).dump(),
            R"({"tool":"edit","path":["src/**","*.md"],"max_lines":20,"without":"--","tag":{"team":"infra"}})");
  EXPECT_EQ(rule_of({"env=A=B"}).dump(), R"({"env":"A=B"})");
  for (const auto* text : {"", "npm test", "=x"}) EXPECT_THROW((void)rule_of({text}), UsageError) << text;
}

TEST(Rules, OfAnActionNamePlainCommandsAndMcpTools) {
  const auto like = [](const std::string& args) {
    const auto rule = rule_like(Json::parse(R"({"args":)" + args + "}"));
    return rule ? rule->dump() : "none";
  };
  const auto shell = [&](const std::string& command) {
    return like(Json::object({{"tool", "shell"}, {"input", Json::object({{"command", command}})}}).dump());
  };
  EXPECT_EQ(shell("npm test"), R"({"command":"npm test"})");
  EXPECT_EQ(shell("/bin/bash -lc 'npm run build:all --prefix=./a'"),
            R"({"command":"npm run build:all --prefix=./a"})");
  for (const auto* command : {"npm test && rm a", "npm test > a", "npm 'a b'", "rm *", "echo $X", "a\nb", "", "ls ?"})
    EXPECT_EQ(shell(command), "none") << command;
  EXPECT_EQ(like(R"({"tool":"mcp","input":{"server":"notes","tool":"add"}})"), R"({"mcp":"notes.add"})");
  EXPECT_EQ(like(R"({"tool":"mcp","input":{"server":"*","tool":"add"}})"), "none");
  EXPECT_EQ(like(R"({"tool":"edit","input":{}})"), "none");
  EXPECT_EQ(like(R"({"runtimeKind":"codex"})"), "none");
}

TEST_F(CommandsTest, TheRestOfARunIsApprovedOrDeniedByRule) {
  server.on("POST /v1/runs/run_1/approval-rules", reply(201, rule_json + R"(,"decided":1})"));
  EXPECT_EQ(run(list_approvals, {.reason = "fine", .approve_rest = {"command=npm test"}}), 0);
  EXPECT_EQ(server.requests().at(0).body,
            R"({"decision":"approved","rule":{"command":"npm test"},"reason":"fine"})");
  EXPECT_EQ(out.str(), "rule_1  approved  command=npm test  used 2 times, by key_1\n");
  EXPECT_THAT(err.str(), HasSubstr("1 waiting questions"));
  EXPECT_EQ(run(list_approvals, {.deny_rest = {"command=npm publish"}}), 0);
  EXPECT_EQ(server.requests().at(1).body, R"({"decision":"denied","rule":{"command":"npm publish"}})");
}

TEST_F(CommandsTest, RulesAreListedAndWithdrawn) {
  server.on("GET /v1/runs/run_1/approval-rules", reply(200, R"({"items":[)" + rule_json + "}]}"));
  server.on("DELETE /v1/runs/run_1/approval-rules/rule_1", reply(200, rule_json + R"(,"withdrawnAt":"2026"})"));
  EXPECT_EQ(run(list_approvals, {.rules = true}), 0);
  EXPECT_EQ(run(list_approvals, {.withdraw = "rule_1"}), 0);
  EXPECT_EQ(out.str(),
            "rule_1  approved  command=npm test  used 2 times, by key_1\n"
            "rule_1  approved  command=npm test  used 2 times, by key_1, withdrawn\n");
  EXPECT_THAT(message_of([&] { (void)run(list_approvals, {.withdraw = "../x"}); }), HasSubstr("no id"));
  EXPECT_THAT(message_of([&] {
                (void)run(list_approvals, {.approve_rest = {"tool=shell"}, .deny_rest = {"tool=edit"}});
              }),
              HasSubstr("two rules"));
}

TEST_F(CommandsTest, APersonApprovesAlwaysInThisRun) {
  asked = R"({"actionId":"action_1","actionDigest":"sha256:aa","action":{"type":"tool_call","name":"codex.shell",)"
          R"("target":"npm test","args":{"tool":"shell","input":{"command":"/bin/bash -lc 'npm test'"}}}})";
  server.on("POST /v1/runs", reply(201, run_json("queued")));
  server.on("GET /v1/runs/run_1/stream", [this](scripted::Connection& connection, const auto&) {
    connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    connection.send(frame(1, "approval.requested", asked));
    server.wait_for("POST /v1/runs/run_1/approval-rules", 1);
    connection.send(frame(2, "approval.decided", R"({"actionId":"action_1","decision":"approved"})"));
    connection.send(frame(3, "run.completed"));
    connection.close();
  });
  server.on("POST /v1/runs/run_1/approval-rules", reply(201, rule_json + R"(,"decided":1})"));
  server.on("GET /v1/runs/run_1/session",
            reply(200, R"({"run":)" + run_json("completed") + R"(,"response":null,"artifacts":{"items":[]}})"));
  person();
  type("a");
  Command command{.task = "t"};
  EXPECT_EQ(run(run_task, command), 0);
  EXPECT_THAT(err.str(), HasSubstr("[a]lways in this run"));
  EXPECT_THAT(err.str(), HasSubstr("--withdraw rule_1"));
}

}  // namespace
}  // namespace agentrouter::cli
