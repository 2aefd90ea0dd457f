// Requests to MCP servers that are held until somebody has decided, and what providers are asked and answer
// where tools are filtered.

#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view gate_field = "Bearer mcp-0123456789-canary";

// Answers as it is told, at once or once it is woken.
class Gate final : public RequestGate {
 public:
  explicit Gate(base::Executor executor) : changed(executor) {}

  Task<Pass> pass(HeldRequest request, Asker asker) override {
    asked.push_back(std::move(request));
    changed.notify();
    while (waits && !asker.is_gone) co_await asker.left.wait();
    left = asker.is_gone;
    changed.notify();
    if (asker.is_gone) co_return Pass{.reason = "withdrawn"};
    co_return answer;
  }
  void done(const std::string& call_id, const RequestRecord& record) override {
    ended.push_back(call_id + " " + std::to_string(record.status) + " " + record.reason);
  }

  std::vector<HeldRequest> asked;
  std::vector<std::string> ended;
  Pass answer;
  bool waits = false;
  bool left = false;
  base::Event changed;
};

class RequestGateTest : public EgressTest {
 protected:
  RequestGateTest() {
    config.mcp = {{"tracker",
                   mcp_url("http://127.0.0.1:" + std::to_string(provider_port) + "/team/mcp").value(),
                   {{"Authorization", &value}}}};
    config.gate = &gate;
  }
  static std::string call(const std::string& id = "7") {
    return post("/mcp/tracker",
                R"({"jsonrpc":"2.0","id":)" + id + R"(,"method":"tools/call","params":{"name":"add"}})");
  }
  Task<void> answered(std::string wire, testing::Matcher<std::string> expected) {
    EXPECT_THAT(co_await ask(std::move(wire)), expected);
  }
  Task<void> come_at_once(std::string target);
  Task<void> leaves_while_held();
  Task<void> stops_while_held();

  Gate gate{io.get_executor()};
  Secret value = Secret::create_field(gate_field).value();
};

TEST_F(RequestGateTest, WhatIsAllowedLeavesAsItCameAndItsEndIsTold) {
  gate.answer = {.allowed = true, .action_id = "action_1", .call_id = "request_1"};
  run(answered(call(), HasSubstr("200 OK")));
  ASSERT_EQ(1u, gate.asked.size());
  const auto& held = gate.asked[0];
  EXPECT_EQ("tracker", held.server);
  EXPECT_EQ("127.0.0.1", held.host);
  EXPECT_EQ("POST", held.method);
  EXPECT_EQ("/team/mcp", held.path);
  EXPECT_EQ("add", held.message.tool);
  EXPECT_THAT(held.head, AllOf(HasSubstr("POST /team/mcp"), Not(HasSubstr("canary"))));
  ASSERT_EQ(1u, provider.requests.size());
  EXPECT_EQ(provider.requests[0].body, held.body);
  EXPECT_EQ(gate_field, provider.requests[0].request.headers.get("authorization"));
  EXPECT_THAT(gate.ended, ElementsAre("request_1 200 "));
  ASSERT_EQ(1u, log.done.size());
  EXPECT_EQ("action_1", log.done[0].action_id);
}

TEST_F(RequestGateTest, WhatBelongsToAnotherActionHasNoEndOfItsOwn) {
  gate.answer = {.allowed = true, .action_id = "action_1"};
  run(answered(call(), HasSubstr("200 OK")));
  EXPECT_TRUE(gate.ended.empty());
}

TEST_F(RequestGateTest, WhatIsRefusedNeverLeaves) {
  gate.answer = {.reason = "approval_denied", .message = "not today", .action_id = "action_1"};
  run(answered(call(), AllOf(HasSubstr(" 403 "), HasSubstr("approval_denied"), HasSubstr("not today"))));
  EXPECT_EQ(0, log.asked);
  EXPECT_TRUE(provider.requests.empty());
  ASSERT_EQ(1u, log.denied.size());
  EXPECT_EQ("approval_denied", log.denied[0].reason);
  EXPECT_EQ("action_1", log.denied[0].action_id);
}

TEST_F(RequestGateTest, WhatCannotBeHeldNowIsForLater) {
  gate.answer = {.reason = "held", .message = "later"};
  run(answered(call(), HasSubstr(" 503 ")));
  EXPECT_TRUE(provider.requests.empty());
}

TEST_F(RequestGateTest, ABodyThatIsTooLongIsNeverAskedAbout) {
  config.held_bytes = 20;
  run(answered(call(), HasSubstr(" 413 ")));
  EXPECT_TRUE(gate.asked.empty());
}

Task<void> RequestGateTest::come_at_once(std::string target) {
  std::vector<std::unique_ptr<Agent>> slow;
  for (int i = 0; i < 16; ++i) {
    slow.push_back(co_await connect());
    co_await slow.back()->send("POST " + target +
                               " HTTP/1.1\r\nHost: egress.test\r\nContent-Length: 9\r\n\r\n{");
  }
  // Each has been read so far once a later request has been answered.
  std::string answer;
  for (int tries = 0; tries < 50 && answer.find(" 503 ") == std::string::npos; ++tries)
    answer = co_await ask(post(target, "{}"));
  EXPECT_THAT(answer, AllOf(HasSubstr(" 503 "), HasSubstr("\"held\"")));
  for (auto& agent : slow) agent->leave();
}

TEST_F(RequestGateTest, NoMoreThanAFewBodiesAreHeldAtOnce) {
  gate.answer = {.allowed = true};
  run(come_at_once("/mcp/tracker"));
}

TEST_F(RequestGateTest, NoMoreThanAFewBodiesForProvidersEither) {
  config.tools = ToolRules{{"Bash"}, {}};
  run(come_at_once("/v1/responses"));
}

Task<void> RequestGateTest::leaves_while_held() {
  auto agent = co_await connect();
  co_await agent->send(call());
  while (gate.asked.empty()) co_await gate.changed.wait();
  agent->leave();
  while (!gate.left) co_await gate.changed.wait();
}

TEST_F(RequestGateTest, WhoeverLeavesWhileItsRequestIsHeldTakesItBack) {
  gate.waits = true;
  gate.answer = {.allowed = true, .call_id = "request_1"};
  run(leaves_while_held());
  EXPECT_TRUE(provider.requests.empty());
  EXPECT_TRUE(gate.ended.empty());
}

Task<void> RequestGateTest::stops_while_held() {
  auto agent = co_await connect();
  co_await agent->send(call());
  while (gate.asked.empty()) co_await gate.changed.wait();
}

TEST_F(RequestGateTest, WhatIsHeldWhenTheEgressStopsNeverLeaves) {
  gate.waits = true;
  gate.answer = {.allowed = true};
  run(stops_while_held());
  EXPECT_TRUE(provider.requests.empty());
}

Task<void> tells_the_secret(Provider& provider, net::Exchange& exchange) {
  const auto sent = std::string(provider.requests.back().request.headers.get("authorization"));
  return exchange.respond(reply("application/json", R"({"jsonrpc":"2.0","id":7,"result":")" + sent + "\"}"));
}

TEST_F(RequestGateTest, AnAnswerWithTheSecretBecomesAnErrorThatItsClientUnderstands) {
  config.gate = nullptr;
  provider.script = tells_the_secret;
  run(answered(call(), AllOf(HasSubstr("200 OK"), HasSubstr(R"({"jsonrpc":"2.0","id":7,"error":{)"),
                             HasSubstr("key_echo"), Not(HasSubstr("0123456789")))));
  EXPECT_EQ("key_echo", log.done.at(0).reason);
}

Task<void> streams_the_secret(Provider& provider, net::Exchange& exchange) {
  const auto sent = std::string(provider.requests.back().request.headers.get("authorization"));
  auto* writer = co_await exchange.start_stream(reply("text/event-stream"));
  std::ignore = co_await writer->write("data: {\"result\":\"" + sent + "\"}\n\n");
}

TEST_F(RequestGateTest, AStreamWithTheSecretEndsWithAnErrorThatItsClientUnderstands) {
  config.gate = nullptr;
  provider.script = streams_the_secret;
  run(answered(call("\"a\""),
               AllOf(HasSubstr("\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{"),
                     HasSubstr("\r\n0\r\n\r\n"), Not(HasSubstr("0123456789")))));
  EXPECT_EQ("key_echo", log.done.at(0).reason);
}

Task<void> says_much(Provider&, net::Exchange& exchange) {
  return exchange.respond(reply("application/json", std::string(3u << 20, 'x')));
}
Task<void> gets_all(Task<std::string> asked) {
  EXPECT_GT((co_await std::move(asked)).size(), 3u << 20);
}

TEST_F(RequestGateTest, ALongAnswerIsNotKeptBack) {
  config.gate = nullptr;
  provider.script = says_much;
  run(gets_all(ask(call())));
  EXPECT_EQ("", log.done.at(0).reason);
}

constexpr const char* offers_two =
    R"({"model":"m","stream":true,"tools":[{"type":"function","name":"view_image"},{"type":"function","name":"Bash"}]})";

TEST_F(RequestGateTest, ProvidersAreOfferedOnlyWhatIsNamed) {
  config.tools = ToolRules{{"Bash"}, {}};
  run(answered(post("/v1/responses", offers_two), HasSubstr("200 OK")));
  ASSERT_EQ(1u, provider.requests.size());
  EXPECT_EQ(provider.requests[0].body,
            R"({"model":"m","stream":true,"tools":[{"type":"function","name":"Bash"}]})");
}

TEST_F(RequestGateTest, ARequestThatCannotBeReadDoesNotLeaveWhereToolsAreFiltered) {
  config.tools = ToolRules{{"Bash"}, {}};
  run(answered(post("/v1/responses", "{\"tools\":"), AllOf(HasSubstr(" 400 "), HasSubstr("request_body"))));
  EXPECT_TRUE(provider.requests.empty());
}

Task<void> calls_a_tool(Provider&, net::Exchange& exchange) {
  auto* writer = co_await exchange.start_stream(reply("text/event-stream"));
  std::ignore = co_await writer->write("data: {\"type\":\"response.created\"}\n\ndata: {\"item\":{\"type\":");
  std::ignore = co_await writer->write("\"function_call\",\"name\":\"view_image\"}}\n\ndata: more\n\n");
}

TEST_F(RequestGateTest, AnAnswerThatCallsSomethingElseIsCutBeforeIt) {
  config.tools = ToolRules{{"Bash"}, {}};
  provider.script = calls_a_tool;
  run(answered(post("/v1/responses", offers_two),
               AllOf(HasSubstr("response.created"), Not(HasSubstr("view_image")), Not(HasSubstr("more")))));
  ASSERT_EQ(1u, log.done.size());
  EXPECT_EQ("ungated_tool_call", log.done[0].reason);
  EXPECT_EQ("view_image", log.done[0].tool);
}

}  // namespace
}  // namespace agentrouter::egress
