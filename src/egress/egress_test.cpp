#include "egress/egress.h"

#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Forwarding : public EgressTest {
 protected:
  Task<void> real_key_replaces_the_dummy();
  Task<void> request_streams();
  Task<void> response_streams();
  Task<void> passes(int status, std::string fields);
  Task<void> anthropic();
  Task<void> first_forward_is_asked_once();
  Task<void> refused_first_forward();
  Task<void> held_requests();
  Task<void> large_bodies();
  Task<void> metered();
};

Task<void> Forwarding::real_key_replaces_the_dummy() {
  const auto answer = co_await ask(post(
      "/v1/responses?x=1", R"({"model":"m"})",
      "X-Api-Key: dummy\r\nCookie: a=b\r\nProxy-Authorization: x\r\nProxy-Connection: x\r\n"
      "Accept-Encoding: gzip\r\nOriginator: codex\r\nX-Secret-Hop: 1\r\nContent-Type: application/json\r\n"
      "TE: trailers\r\nX-Forwarded-For: 1.1.1.1\r\n"));
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(answer));
  EXPECT_THAT(answer, HasSubstr(R"({"ok":true})"));
  EXPECT_EQ(1u, provider.requests.size());
  const auto& seen = provider.requests.at(0);
  const auto& fields = seen.request.headers;
  EXPECT_EQ("/v1/responses?x=1", seen.request.target);
  EXPECT_EQ(R"({"model":"m"})", seen.body);
  EXPECT_EQ("Bearer " + std::string(real_key), fields.get("authorization"));
  EXPECT_EQ(1u, fields.count("authorization"));
  EXPECT_EQ("127.0.0.1:" + std::to_string(provider_port), fields.get("host"));
  EXPECT_EQ("identity", fields.get("accept-encoding"));
  EXPECT_EQ(1u, fields.count("accept-encoding"));
  EXPECT_EQ("codex", fields.get("originator"));
  EXPECT_EQ("application/json", fields.get("content-type"));
  for (const auto* name :
       {"x-api-key", "cookie", "proxy-authorization", "proxy-connection", "te", "x-forwarded-for"}) {
    EXPECT_EQ(0u, fields.count(name)) << name;
  }
}

TEST_F(Forwarding, RealKeyReplacesTheDummyAndNothingOfTheSandboxsCredentialsLeaves) {
  run(real_key_replaces_the_dummy());
}

TEST_F(Forwarding, RecordSaysWhatWentWhere) {
  run(real_key_replaces_the_dummy());
  ASSERT_EQ(1u, log.done.size());
  const auto& record = log.done[0];
  EXPECT_EQ(Decision::forwarded, record.decision);
  EXPECT_EQ("127.0.0.1:" + std::to_string(provider_port), record.host);
  EXPECT_EQ("POST", record.method);
  EXPECT_EQ("/v1/responses", record.path);
  EXPECT_EQ(200, record.status);
  EXPECT_EQ(13u, record.bytes_out);
  EXPECT_EQ(11u, record.bytes_in);
  EXPECT_EQ("", record.reason);
  EXPECT_FALSE(record.usage);
  EXPECT_TRUE(log.denied.empty());
}

Task<void> Forwarding::request_streams() {
  auto agent = co_await connect();
  co_await agent->send(
      "POST /v1/responses HTTP/1.1\r\nHost: egress.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
  co_await provider.until(
      [this] { return !provider.requests.empty() && provider.requests[0].body == "first"; });
  EXPECT_EQ("chunked", provider.requests[0].request.headers.get("transfer-encoding"));
  co_await agent->send("6\r\nsecond\r\n0\r\n\r\n");
  const auto head = co_await agent->until("\r\n\r\n");
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(head));
  EXPECT_EQ("firstsecond", provider.requests[0].body);
}

TEST_F(Forwarding, RequestBodyArrivesBeforeTheAgentHasFinished) {
  run(request_streams());
}

Task<void> stream_in_two(Provider& provider, net::Exchange& exchange) {
  auto* writer = co_await exchange.start_stream(reply("text/event-stream"));
  std::ignore = co_await writer->write("data: first\n\n");
  co_await provider.go.wait();
  std::ignore = co_await writer->write("data: second\n\n");
}

Task<void> Forwarding::response_streams() {
  auto agent = co_await connect();
  co_await agent->send(post("/v1/responses", "{}"));
  const auto first = co_await agent->until("data: first\n\n");
  EXPECT_THAT(first, HasSubstr("content-type: text/event-stream"));
  EXPECT_EQ(1u, egress->open_forwards());
  EXPECT_TRUE(log.done.empty());
  provider.go.notify();
  const auto rest = co_await agent->rest();
  EXPECT_THAT(rest, HasSubstr("data: second\n\n"));
  EXPECT_THAT(rest, testing::EndsWith("0\r\n\r\n"));
  EXPECT_EQ(0u, egress->open_forwards());
}

TEST_F(Forwarding, ResponseArrivesBeforeTheProviderHasFinished) {
  provider.script = stream_in_two;
  run(response_streams());
}

Task<void> Forwarding::passes(int status, std::string fields) {
  const auto answer = co_await ask(post("/v1/responses", "{}"));
  EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 " + std::to_string(status) + " "));
  EXPECT_THAT(answer, HasSubstr(fields));
  EXPECT_THAT(answer, HasSubstr(R"({"error":{"code":"from_provider"}})"));
  EXPECT_THAT(answer, Not(HasSubstr("session=1")));
}

class ErrorsOfTheProvider : public Forwarding, public testing::WithParamInterface<int> {};

TEST_P(ErrorsOfTheProvider, PassWithTheirFieldsButWithoutCookies) {
  const int status = GetParam();
  provider.script = [status](Provider&, net::Exchange& exchange) {
    return exchange.respond(
        {status,
         {{"content-type", "application/json"}, {"retry-after", "7"}, {"set-cookie", "session=1"}},
         R"({"error":{"code":"from_provider"}})"});
  };
  run(passes(status, "retry-after: 7"));
  EXPECT_EQ(status, log.done.at(0).status);
  EXPECT_EQ(Decision::forwarded, log.done.at(0).decision);
}

INSTANTIATE_TEST_SUITE_P(Status, ErrorsOfTheProvider, testing::Values(401, 429, 500));

Task<void> Forwarding::anthropic() {
  const auto answer = co_await ask(post("/v1/messages?beta=true", "{}", "x-api-key: dummy\r\n"));
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(answer));
  const auto counted = co_await ask(post("/v1/messages/count_tokens", "{}"));
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(counted));
  EXPECT_EQ("/gateway/v1/messages?beta=true", provider.requests.at(0).request.target);
  EXPECT_EQ(real_key, provider.requests.at(0).request.headers.get("x-api-key"));
  EXPECT_EQ(0u, provider.requests.at(0).request.headers.count("authorization"));
}

TEST_F(Forwarding, MessagesGoToTheAnthropicUpstreamWithItsOwnKeyField) {
  config.anthropic = upstream("/gateway", BaseUrl::without_version);
  run(anthropic());
}

Task<void> Forwarding::first_forward_is_asked_once() {
  auto one = co_await connect();
  auto two = co_await connect();
  co_await one->send(post("/v1/responses", "{}"));
  co_await two->send(post("/v1/responses", "{}"));
  co_await log.until([this] { return log.asked == 1; });
  EXPECT_TRUE(provider.requests.empty());
  log.hold = false;
  log.release.notify();
  const auto first = co_await one->rest();
  const auto second = co_await two->rest();
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(first));
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(second));
  EXPECT_EQ(1, log.asked);
}

TEST_F(Forwarding, NothingLeavesBeforeTheObserverAgreedOnce) {
  log.hold = true;
  run(first_forward_is_asked_once());
}

Task<void> Forwarding::held_requests() {
  std::ignore = co_await ask(post("/v1/responses", "{}"));
  egress->hold();
  auto agent = co_await connect();
  co_await agent->send(post("/v1/responses", "{}"));
  co_await base::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(provider.requests.size(), 1u);
  egress->release();
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(co_await agent->rest()));
  EXPECT_EQ(provider.requests.size(), 2u);
}

TEST_F(Forwarding, HeldRequestsWaitAndThenLeave) {
  run(held_requests());
}

Task<void> Forwarding::refused_first_forward() {
  const auto held = co_await ask(post("/v1/responses", "{}"));
  EXPECT_THAT(held, testing::StartsWith("HTTP/1.1 503"));
  EXPECT_TRUE(provider.requests.empty());
  log.answer = {};
  const auto passed = co_await ask(post("/v1/responses", "{}"));
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(passed));
  EXPECT_EQ(2, log.asked);
}

TEST_F(Forwarding, ObserverThatCannotAgreeHoldsTheRequestAndIsAskedAgain) {
  log.answer = base::fail(base::Code::exhausted, "no room in the journal");
  run(refused_first_forward());
  EXPECT_EQ("held", log.denied.at(0).reason);
}

Task<void> send_back(Provider& provider, net::Exchange& exchange) {
  return exchange.respond({200, {}, provider.requests.back().body});
}

Task<void> Forwarding::large_bodies() {
  const std::string body(8u << 20, 'x');
  const auto answer = co_await ask(post("/v1/responses", body));
  EXPECT_EQ(body.size(), answer.size() - answer.find("\r\n\r\n") - 4);
  EXPECT_EQ(body.size(), log.done.at(0).bytes_out);
  EXPECT_EQ(body.size(), log.done.at(0).bytes_in);
}

TEST_F(Forwarding, LargeBodiesPassBothWays) {
  provider.script = send_back;
  run(large_bodies());
}

Task<void> with_usage(Provider&, net::Exchange& exchange) {
  auto* writer = co_await exchange.start_stream(reply("text/event-stream; charset=utf-8"));
  std::ignore = co_await writer->write("event: response.created\ndata: {\"response\":{\"usage\":null}}\n\n");
  std::ignore = co_await writer->write(
      "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usa");
  std::ignore = co_await writer->write(
      "ge\":{\"input_tokens\":120,\"input_tokens_details\":{\"cached_tokens\":20},"
      "\"output_tokens\":30,\"output_tokens_details\":{\"reasoning_tokens\":7}}}}\n\n");
}

Task<void> Forwarding::metered() {
  const auto answer = co_await ask(post("/v1/responses", "{}"));
  EXPECT_THAT(answer, HasSubstr("response.completed"));
}

TEST_F(Forwarding, TokensAreReadFromTheStream) {
  provider.script = with_usage;
  run(metered());
  const auto usage = log.done.at(0).usage;
  ASSERT_TRUE(usage);
  EXPECT_EQ(120, usage->input_tokens);
  EXPECT_EQ(20, usage->cached_input_tokens);
  EXPECT_EQ(30, usage->output_tokens);
  EXPECT_EQ(7, usage->reasoning_output_tokens);
}

}  // namespace
}  // namespace agentrouter::egress
