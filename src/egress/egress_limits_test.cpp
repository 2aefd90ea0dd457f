#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Refusing : public EgressTest {
 protected:
  // Asks each in turn; none may reach the provider.
  Task<void> refuses(std::vector<std::string> wires, std::string status) {
    for (const auto& wire : wires) {
      const auto answer = co_await ask(wire);
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + status)) << wire;
      EXPECT_THAT(answer, HasSubstr(R"({"type":"error","error":{)")) << wire;
      EXPECT_THAT(answer, HasSubstr("content-type: application/json")) << wire;
    }
    EXPECT_TRUE(provider.requests.empty());
    EXPECT_EQ(0, log.asked);
    EXPECT_EQ(wires.size(), log.denials);
  }
  static std::string get(const std::string& target, const std::string& fields = "Host: egress.test\r\n") {
    return "GET " + target + " HTTP/1.1\r\n" + fields + "Connection: close\r\n\r\n";
  }
  Task<void> models();
  Task<void> websocket();
  Task<void> other_upgrade();
  Task<void> flood();
  Task<void> smuggled_request();
};

TEST_F(Refusing, OtherPathsAndMethods) {
  run(refuses(
      {get("/"), get("/v1/responses"), post("/v1/files", "{}"), post("/v1/responses/x", "{}"),
       post("/v1/responses%2f", "{}"), post("//v1/responses", "{}"), post("/v1/../v1/responses", "{}"),
       post("/V1/RESPONSES", "{}"), post("/v1/models", "{}"), get("/v1/messages"), get("/v1/models/x"),
       "DELETE /v1/responses HTTP/1.1\r\nHost: egress.test\r\nConnection: close\r\n\r\n"},
      "403"));
  for (const auto& record : log.denied) EXPECT_EQ(Decision::denied, record.decision);
  EXPECT_EQ("path_denied", log.denied.at(0).reason);
  EXPECT_EQ("method_denied", log.denied.at(1).reason);
}

TEST_F(Refusing, OtherHostsAndProxyRequests) {
  run(refuses(
      {get("/v1/models", "Host: api.openai.com\r\n"), get("/v1/models", "Host: egress.test:81\r\n"),
       get("/v1/models", "Host: 127.0.0.1\r\n"), get("http://egress.test/v1/models"),
       "GET /v1/models HTTP/1.0\r\n\r\n",
       "CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\nConnection: close\r\n\r\n"},
      "403"));
  EXPECT_EQ("host_denied", log.denied.at(0).reason);
  EXPECT_EQ("api.openai.com", log.denied.at(0).host);
  EXPECT_EQ("target_denied", log.denied.at(3).reason);
}

TEST_F(Refusing, AmbiguousFraming) {
  run(refuses(
      {"POST /v1/responses HTTP/1.1\r\nHost: egress.test\r\nContent-Length: 4\r\nTransfer-Encoding: "
       "chunked\r\n\r\n0\r\n\r\n",
       "POST /v1/responses HTTP/1.1\r\nHost: egress.test\r\nContent-Length: 4\r\nContent-Length: "
       "5\r\n\r\n{}{}{",
       "POST /v1/responses HTTP/1.1\r\nHost: egress.test\r\nHost: egress.test\r\nContent-Length: 0\r\n\r\n",
       "POST /v1/responses HTTP/1.1\r\nHost: egress.test\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
       "GET http://other.test/v1/models HTTP/1.1\r\nHost: egress.test\r\n\r\n",
       "POST /v1/responses HTTP/1.1\nHost: egress.test\n\n"},
      "400"));
  EXPECT_EQ("bad_request", log.denied.at(0).reason);
}

TEST_F(Refusing, OversizedHeads) {
  run(refuses({get("/v1/models", "Host: egress.test\r\nX: " + std::string(40'000, 'x') + "\r\n")}, "431"));
}

TEST_F(Refusing, AnthropicPathsWithoutItsUpstream) {
  run(refuses({post("/v1/messages", "{}"), post("/v1/messages/count_tokens", "{}")}, "403"));
  EXPECT_EQ("provider_unconfigured", log.denied.at(0).reason);
}

TEST_F(Refusing, EverythingWithoutAnUpstream) {
  config.openai.reset();
  run(refuses({post("/v1/responses", "{}")}, "403"));
  EXPECT_EQ("provider_unconfigured", log.denied.at(0).reason);
}

TEST_F(Refusing, AnnouncedBodiesOverTheLimit) {
  config.request_bytes = 100;
  run(refuses({post("/v1/responses", std::string(101, 'x'))}, "413"));
  EXPECT_EQ("request_body", log.denied.at(0).reason);
}

TEST_F(Refusing, WhenTheRunsTrafficIsUsedUp) {
  config.total_bytes = 0;
  run(refuses({post("/v1/responses", "{}")}, "403"));
  EXPECT_EQ("egress_limit", log.denied.at(0).reason);
}

Task<void> Refusing::models() {
  const auto answer = co_await ask(get("/v1/models?client_version=1"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr(R"("id":"gpt-5.5")"));
  EXPECT_TRUE(provider.requests.empty());
}

TEST_F(Refusing, ModelsAreListedWithoutAskingAnybody) {
  run(models());
  EXPECT_EQ(0, log.asked);
  EXPECT_EQ(Decision::answered, log.done.at(0).decision);
}

Task<void> Refusing::websocket() {
  const auto answer = co_await ask(get("/v1/responses", "Host: egress.test\r\nUpgrade: websocket\r\n"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 426"));
}

TEST_F(Refusing, WebsocketUpgradesSoThatCodexFallsBackToPost) {
  run(websocket());
  EXPECT_EQ("websocket_unsupported", log.denied.at(0).reason);
}

Task<void> Refusing::other_upgrade() {
  const auto answer = co_await ask(get("/v1/models", "Host: egress.test\r\nUpgrade: h2c\r\n"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 403"));
}

TEST_F(Refusing, UpgradesToAnythingElse) {
  run(other_upgrade());
  EXPECT_EQ("upgrade_denied", log.denied.at(0).reason);
}

Task<void> Refusing::flood() {
  auto agent = co_await connect();
  for (int i = 0; i < 100; ++i) {
    co_await agent->send("GET / HTTP/1.1\r\nHost: egress.test\r\n\r\n");
    std::ignore = co_await agent->until("\"param\":null}}");
  }
}

TEST_F(Refusing, FloodOfDenialsIsCountedNotReportedOneByOne) {
  config.denials_reported = 5;
  run(flood());
  EXPECT_EQ(5u + 4u, log.denied.size());  // and 8, 16, 32, 64
  EXPECT_EQ(64u, log.denials);
}

Task<void> Refusing::smuggled_request() {
  // What follows a request is another request on the same connection, judged by itself.
  const auto answer = co_await ask(
      "POST /v1/responses HTTP/1.1\r\nHost: egress.test\r\nContent-Length: 2\r\n\r\n{}" + get("/v1/files"));
  EXPECT_EQ(1u, provider.requests.size());
  EXPECT_EQ("{}", provider.requests.at(0).body);
  EXPECT_THAT(answer, HasSubstr("path_denied"));
}

TEST_F(Refusing, SecondRequestBehindTheFirst) {
  run(smuggled_request());
}

class Failing : public EgressTest {
 protected:
  Task<void> answers(std::string status, std::string reason) {
    const auto answer = co_await ask(post("/v1/responses", "{}"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + status));
    EXPECT_THAT(answer, HasSubstr("\"code\":\"" + reason + "\""));
    EXPECT_THAT(answer, Not(HasSubstr(std::string(real_key))));
    EXPECT_EQ(reason, log.done.at(0).reason);
    EXPECT_EQ(Decision::forwarded, log.done.at(0).decision);
  }
  // The answer begins and is then cut: never its proper end.
  Task<void> is_cut(std::string reason) {
    cut = co_await ask(post("/v1/responses", "{}"));
    EXPECT_THAT(cut, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(cut, Not(testing::EndsWith("0\r\n\r\n")));
    co_await log.until([this] { return !log.done.empty(); });
    EXPECT_EQ(reason, log.done.at(0).reason);
  }
  Task<void> agent_leaves();
  Task<void> stop_reports();
  Task<void> body_ends_early();
  Task<void> one_too_many();
  Task<void> grows_too_large();
  Task<void> heard_early();
  std::string cut;
};

TEST_F(Failing, NobodyListens) {
  const auto unused = loopback_listener().second;
  config.openai = {
      upstream_base("http://127.0.0.1:" + std::to_string(unused) + "/v1", BaseUrl::with_version).value(),
      &key};
  run(answers("502", "provider_unavailable"));
}

Task<void> never_answer(Provider& provider, net::Exchange& exchange) {
  co_await provider.go.wait();
  co_await exchange.respond(reply("text/plain"));
}

TEST_F(Failing, ProviderThatNeverAnswers) {
  provider.script = never_answer;
  config.head_timeout = 30ms;
  run(answers("504", "provider_timeout"));
}

Task<void> begin_then_hang(Provider& provider, net::Exchange& exchange) {
  auto* writer = co_await exchange.start_stream(reply("text/event-stream"));
  std::ignore = co_await writer->write("data: begun\n\n");
  writer->on_end([&provider] {
    provider.left = true;
    provider.changed.notify();
    provider.go.notify();
  });
  while (!writer->ended()) co_await provider.go.wait();
}

TEST_F(Failing, ProviderThatStopsInTheMiddle) {
  provider.script = begin_then_hang;
  config.idle_timeout = 30ms;
  run(is_cut("provider_timeout"));
}

Task<void> begin_then_cut(Provider&, net::Exchange& exchange) {
  auto* writer = co_await exchange.start_stream(reply("text/event-stream"));
  std::ignore = co_await writer->write("data: begun\n\n");
  writer->abort();
}

TEST_F(Failing, ProviderThatCutsTheStreamIsSeenAsACut) {
  provider.script = begin_then_cut;
  run(is_cut("provider_unavailable"));
  EXPECT_THAT(cut, HasSubstr("data: begun\n\n"));
}

Task<void> compressed(Provider&, net::Exchange& exchange) {
  return exchange.respond({200, {{"content-encoding", "gzip"}}, "x"});
}

TEST_F(Failing, CompressedAnswersCannotBeSearched) {
  provider.script = compressed;
  run(answers("502", "provider_encoding"));
}

Task<void> key_in_a_field(Provider& provider, net::Exchange& exchange) {
  const auto sent = std::string(provider.requests.back().request.headers.get("authorization"));
  return exchange.respond({401, {{"x-debug", "got " + sent}}, "{}"});
}

TEST_F(Failing, AnswerWithTheKeyInAFieldIsNotPassedOn) {
  provider.script = key_in_a_field;
  run(answers("502", "key_echo"));
}

Task<void> key_in_pieces(Provider& provider, net::Exchange& exchange) {
  const auto sent = std::string(provider.requests.back().request.headers.get("authorization"));
  auto* writer = co_await exchange.start_stream(reply("text/plain"));
  std::ignore = co_await writer->write("before " + sent.substr(0, 15));
  for (const char c : sent.substr(15)) std::ignore = co_await writer->write(std::string_view(&c, 1));
  std::ignore = co_await writer->write(" after");
}

TEST_F(Failing, AnswerIsCutBeforeTheKeyHoweverItComesInPieces) {
  provider.script = key_in_pieces;
  run(is_cut("key_echo"));
  EXPECT_THAT(cut, HasSubstr("before Bearer "));
  EXPECT_THAT(cut, Not(HasSubstr("sk-")));
  EXPECT_THAT(cut, Not(HasSubstr("after")));
}

Task<void> too_much(Provider&, net::Exchange& exchange) {
  return exchange.respond({200, {}, std::string(100'000, 'x')});
}

TEST_F(Failing, AnswerOverTheLimitIsCut) {
  provider.script = too_much;
  config.response_bytes = 1000;
  run(is_cut("response_too_large"));
  EXPECT_LT(cut.size(), 50'000u);
}

Task<void> Failing::agent_leaves() {
  auto agent = co_await connect();
  co_await agent->send(post("/v1/responses", "{}"));
  std::ignore = co_await agent->until("begun");
  agent->leave();
  co_await provider.until([this] { return provider.left; });
  co_await log.until([this] { return !log.done.empty(); });
  EXPECT_EQ("agent_left", log.done.at(0).reason);
  EXPECT_EQ(0u, egress->open_forwards());
}

TEST_F(Failing, AgentThatLeavesEndsTheProvidersWork) {
  provider.script = begin_then_hang;
  run(agent_leaves());
}

Task<void> Failing::stop_reports() {
  auto agent = co_await connect();
  co_await agent->send(post("/v1/responses", "{}"));
  std::ignore = co_await agent->until("begun");
}

TEST_F(Failing, StopCutsAndReportsWhatIsUnderWay) {
  provider.script = begin_then_hang;
  run(stop_reports());
  ASSERT_EQ(1u, log.done.size());
  EXPECT_EQ(200, log.done[0].status);
}

Task<void> Failing::body_ends_early() {
  auto agent = co_await connect();
  co_await agent->send("POST /v1/responses HTTP/1.1\r\nHost: egress.test\r\nContent-Length: 10\r\n\r\n12345");
  co_await provider.until(
      [this] { return !provider.requests.empty() && provider.requests[0].body == "12345"; });
  agent->leave();
  co_await log.until([this] { return !log.done.empty(); });
  EXPECT_EQ("request_body", log.done.at(0).reason);
  EXPECT_EQ(5u, log.done.at(0).bytes_out);
}

TEST_F(Failing, AgentThatLeavesInTheMiddleOfItsRequest) {
  run(body_ends_early());
}

Task<void> Failing::grows_too_large() {
  auto agent = co_await connect();
  co_await agent->send(
      "POST /v1/responses HTTP/1.1\r\nHost: egress.test\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" +
      std::string(64, 'x') + "\r\n");
  co_await provider.until([this] { return !provider.requests.empty(); });
  co_await agent->send("40\r\n" + std::string(64, 'x') + "\r\n");
  const auto answer = co_await agent->rest();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 413"));
  co_await log.until([this] { return !log.done.empty(); });
}

TEST_F(Failing, UnannouncedBodyOverTheLimitStopsOnTheWay) {
  config.request_bytes = 100;
  run(grows_too_large());
}

Task<void> answer_early(Provider&, net::Exchange& exchange) {
  return exchange.respond({401, {{"content-type", "application/json"}}, R"({"error":{"code":"early"}})"});
}

Task<void> Failing::heard_early() {
  const auto answer = co_await ask(post("/v1/responses", "{}"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(answer, HasSubstr("early"));
}

TEST_F(Failing, ProviderThatAnswersBeforeItHasReadTheBodyIsHeard) {
  provider.early = answer_early;
  run(heard_early());
}

Task<void> Failing::one_too_many() {
  auto one = co_await connect();
  co_await one->send(post("/v1/responses", "{}"));
  std::ignore = co_await one->until("begun");
  auto two = co_await connect();
  const auto answer = co_await two->rest();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_EQ("unavailable", log.denied.at(0).reason);
}

TEST_F(Failing, ConnectionOverTheCap) {
  provider.script = begin_then_hang;
  config.max_connections = 1;
  run(one_too_many());
}

class Simulated : public EgressTest {
 protected:
  Simulated() { config.simulator = &simulator; }
  Task<void> answers() {
    const auto answer = co_await ask(post(
        "/v1/responses",
        R"({"model":"gpt-5.5","stream":true,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Reply exactly PONG"}]}]})",
        "Content-Type: application/json\r\n"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(answer, HasSubstr("PONG"));
    EXPECT_THAT(answer, HasSubstr("response.completed"));
    EXPECT_THAT(answer, testing::EndsWith("0\r\n\r\n"));
  }
  Task<void> too_large() {
    const auto answer = co_await ask(post("/v1/responses", std::string(200, 'x')));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 413"));
  }
  sim::Simulator simulator{"sim"};
};

TEST_F(Simulated, AnswersBehindTheSameParserMeterAndKeyCheck) {
  run(answers());
  ASSERT_EQ(1u, log.done.size());
  const auto& record = log.done[0];
  EXPECT_EQ(1, log.asked);
  EXPECT_EQ("sim", record.host);
  EXPECT_EQ(Decision::forwarded, record.decision);
  EXPECT_EQ("", record.reason);
  ASSERT_TRUE(record.usage);
  EXPECT_TRUE(record.usage->input_tokens);
  EXPECT_TRUE(provider.requests.empty());
}

TEST_F(Simulated, BodiesOverTheLimitAreRefused) {
  config.request_bytes = 100;
  run(too_large());
}

TEST(UpstreamBase, VersionIsTakenOffAndOnlyLoopbackMayBePlain) {
  EXPECT_EQ("/", upstream_base("https://api.openai.com/v1", BaseUrl::with_version)->path);
  EXPECT_EQ("/", upstream_base("https://api.openai.com/v1/", BaseUrl::with_version)->path);
  EXPECT_EQ("/gw", upstream_base("https://gw.test/gw/v1", BaseUrl::with_version)->path);
  EXPECT_EQ("/", upstream_base("https://api.anthropic.com", BaseUrl::without_version)->path);
  for (const auto* local : {"http://127.0.0.1:1/v1", "http://localhost:1/v1", "http://[::1]:1/v1"}) {
    EXPECT_TRUE(upstream_base(local, BaseUrl::with_version)) << local;
  }
  for (const auto* bad :
       {"http://api.openai.com/v1", "http://127.0.0.1.evil.test/v1", "https://api.openai.com",
        "https://api.openai.com/v1?x=1", "ftp://x/v1", "", "https://user:pw@x/v1"}) {
    EXPECT_FALSE(upstream_base(bad, BaseUrl::with_version)) << bad;
  }
  EXPECT_FALSE(upstream_base("https://api.anthropic.com/v1", BaseUrl::without_version));
}

}  // namespace
}  // namespace agentrouter::egress
