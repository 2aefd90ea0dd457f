// Secrets that are added to requests, what comes back of them, and requests that somebody is asked about.
#include "egress/outbound_world_test.h"
#include "net/hello_test.h"

namespace agentrouter::egress {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class OutboundSecrets : public OutboundTest {
 protected:
  OutboundSecrets() {
    rules = {{.host = "api.test", .path = "/team/", .secret = "registry", .id = "team"}, {.host = "api.test", .method = "GET"}};
    secret("registry", "api.test", "/team/**");
  }
  std::string at(const std::string& target, const std::string& fields = "") {
    return get("api.test", host.port(), target, fields);
  }
  void answer_with(std::string body, std::string name = "", std::string value = "") {
    provider.script = [body, name, value](Provider&, net::Exchange& exchange) {
      auto response = reply("text/plain", body);
      if (!name.empty()) response.headers.add(name, value);
      return exchange.respond(std::move(response));
    };
  }

  Task<void> added() {
    const auto answer =
        co_await ask_tls("api.test", at("/team/a",
                                        "Authorization: Bearer mine\r\nAccept-Encoding: gzip\r\nRange: "
                                        "bytes=0-3\r\nRequest-Range: bytes=0-3\r\n"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    const auto& fields = provider.requests.at(0).request.headers;
    EXPECT_EQ(fields.count("authorization"), 1u);
    EXPECT_EQ(fields.get("authorization"), field_value);
    EXPECT_EQ(fields.get("accept-encoding"), "identity");
    EXPECT_FALSE(fields.find("range"));
    EXPECT_FALSE(fields.find("request-range"));
  }
  Task<void> not_added(std::string target) {
    const auto answer = co_await ask_tls("api.test", at(target, "Authorization: Bearer mine\r\nAccept-Encoding: gzip\r\n"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    EXPECT_EQ(provider.requests.at(0).request.headers.get("authorization"), "Bearer mine");
    EXPECT_EQ(provider.requests.at(0).request.headers.get("accept-encoding"), "gzip");
  }
  Task<void> unknown() {
    rules = {{.host = "api.test", .secret = "other"}};
    const auto answer = co_await ask_tls("api.test", at("/"));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("secret_unknown")));
    EXPECT_THAT(provider.requests, IsEmpty());
  }
  Task<void> over_http() {
    rules = {{.host = "plain.test", .scheme = Scheme::http, .secret = "registry"}};
    config.secrets["registry"].host = "plain.test:" + std::to_string(http_port);
    const auto answer = co_await ask("plain.test", get("plain.test", http_port, "/team/x"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    EXPECT_FALSE(provider.requests.at(0).request.headers.find("authorization"));
  }
  Task<void> echo_is_cut(std::string written) {
    answer_with("before " + written + " after");
    const auto answer = co_await ask_tls("api.test", at("/team/a"));
    EXPECT_THAT(answer, Not(HasSubstr(written)));
    EXPECT_THAT(answer, Not(HasSubstr("after")));
    co_await log.until([this] { return !log.done.empty(); });
    EXPECT_EQ(log.done.at(0).reason, "secret_echo");
  }
  Task<void> head_is_refused(std::string name, std::string value, std::string reason) {
    answer_with("ok", std::move(name), std::move(value));
    auto asking = is_refused(std::move(reason));
    co_await std::move(asking);
  }
  Task<void> is_refused(std::string reason) {
    const auto answer = co_await ask_tls("api.test", at("/team/a"));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 502"), HasSubstr(reason), Not(HasSubstr("canary"))));
    EXPECT_EQ(log.done.at(0).reason, reason);
  }
  Task<void> pieces() {
    provider.script = [](Provider& self, net::Exchange& exchange) -> Task<void> {
      auto* writer = co_await exchange.start_stream(reply("text/plain"));
      for (const char c : "a " + std::string(field_word) + " b") {
        const bool written = co_await writer->write({&c, 1});
        if (!written) break;
      }
      self.left = true;
    };
    const auto answer = co_await ask_tls("api.test", at("/team/a"));
    EXPECT_THAT(answer, AllOf(HasSubstr("a "), Not(HasSubstr("canary")), Not(HasSubstr(" b"))));
    co_await log.until([this] { return !log.done.empty(); });
    EXPECT_EQ(log.done.at(0).reason, "secret_echo");
  }
  Task<void> unsearched() {
    answer_with(std::string(field_word), "content-encoding", "gzip");
    const auto answer = co_await ask_tls("api.test", at("/other"));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("canary")));
  }
};

TEST_F(OutboundSecrets, AreAddedInPlaceOfTheSandboxsOwnField) {
  run(added());
}
TEST_F(OutboundSecrets, AreNotAddedWhereTheRuleNamesNone) {
  run(not_added("/elsewhere"));
}
TEST_F(OutboundSecrets, AreNotAddedWhereTheirOwnBindingSaysOtherwise) {
  config.secrets["registry"].paths = {"/team/only"};
  run(not_added("/team/a"));
}
TEST_F(OutboundSecrets, AreNotAddedWhereServersMayReadThePathDifferently) {
  run(not_added("/team/a%2f..%2f..%2fother"));
}
TEST_F(OutboundSecrets, AreNotAddedToOtherMethods) {
  config.secrets["registry"].methods = {"POST"};
  run(not_added("/team/a"));
}
TEST_F(OutboundSecrets, AreNotAddedAtAnotherPort) {
  config.secrets["registry"].host = "api.test";
  run(not_added("/team/a"));
}
TEST_F(OutboundSecrets, ThatNobodyKnowsAreARefusal) {
  run(unknown());
}
TEST_F(OutboundSecrets, AreNeverAddedToPlainHttp) {
  run(over_http());
}
TEST_F(OutboundSecrets, AreCutOutOfBodies) {
  run(echo_is_cut(std::string(field_word)));
}
TEST_F(OutboundSecrets, AreCutInBase64) {
  // Of "x=sk-real-...".
  run(echo_is_cut("eD1zay1yZWFsLTAxMjM0NTY3ODkvY2FuYXJ5K3g="));
}
TEST_F(OutboundSecrets, AreCutInHex) {
  run(echo_is_cut("736b2d7265616c2d303132333435363738392f63616e6172792b78"));
}
TEST_F(OutboundSecrets, AreCutPercentEncoded) {
  run(echo_is_cut("sk-real-0123456789%2Fcanary%2Bx"));
}
TEST_F(OutboundSecrets, OfBasicAreCutWhereThePasswordStandsAlone) {
  const auto basic = Secret::create_field("Basic eC1hY2Nlc3MtdG9rZW46Z2hwXzAxMjM0NTY3ODk=").value();
  config.secrets["registry"].value = &basic;
  run(echo_is_cut("ghp_0123456789"));
}
TEST_F(OutboundSecrets, AreCutAcrossPieces) {
  run(pieces());
}
TEST_F(OutboundSecrets, AreCutWhereTheFieldSaysMoreThanThem) {
  const auto field = Secret::create_field("Token token=\"word-7c1f09ab55e2\", realm=\"x\"").value();
  const auto plain = Secret::create_field("word-7c1f09ab55e2").value();
  config.secrets["registry"].value = &field;
  config.secrets["registry"].plain = &plain;
  run(echo_is_cut("word-7c1f09ab55e2"));
}
TEST_F(OutboundSecrets, OfAFieldThatEndsWithAnAssignmentAreCutWhereTheValueStandsAlone) {
  const auto field = Secret::create_field("ApiKey key=\"word-7c1f09ab55e2\"").value();
  config.secrets["registry"].value = &field;
  run(echo_is_cut("word-7c1f09ab55e2"));
}
TEST_F(OutboundSecrets, AreCutAsLibrariesWriteThem) {
  run(echo_is_cut("sk-real-0123456789/canary%2Bx"));
}
TEST_F(OutboundSecrets, AreCutAsJsonMayWriteThem) {
  run(echo_is_cut("sk-real-0123456789/canary\\u002Bx"));
}
TEST_F(OutboundSecrets, BehindASecondCodingAreARefusal) {
  provider.script = [](Provider&, net::Exchange& exchange) {
    auto response = reply("text/plain", "ok");
    response.headers.add("content-encoding", "identity");
    response.headers.add("content-encoding", "gzip");
    return exchange.respond(std::move(response));
  };
  run(is_refused("host_encoding"));
}
TEST_F(OutboundSecrets, PartsOfAnAnswerAreARefusal) {
  run(head_is_refused("content-range", "bytes 0-3/9", "host_part"));
}
TEST_F(OutboundSecrets, InAHeadAreARefusal) {
  run(head_is_refused("x-echo", std::string(field_value), "secret_echo"));
}
TEST_F(OutboundSecrets, BehindACodingAreARefusal) {
  run(head_is_refused("content-encoding", "gzip", "host_encoding"));
}
TEST_F(OutboundSecrets, AreLookedForOnlyWhereOneWasAdded) {
  run(unsearched());
}

// Answers as it is told, at once or once it is woken.
class OutboundGate final : public RequestGate {
 public:
  explicit OutboundGate(base::Executor executor) : changed(executor) {}

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
    ended.push_back(call_id + " " + std::to_string(record.status) + " " + record.method);
  }
  Task<void> until(std::function<bool()> condition) {
    while (!condition()) {
      const bool woken = co_await changed.wait_until(soon());
      if (!woken) base::throw_failure(base::Code::timeout, "the gate saw nothing");
    }
  }

  Pass answer{.allowed = true, .action_id = "act_1", .call_id = "call_1"};
  bool waits = false;
  bool left = false;
  std::vector<HeldRequest> asked;
  std::vector<std::string> ended;
  base::Event changed;
};

class OutboundApprovals : public OutboundTest {
 protected:
  OutboundApprovals() {
    const auto asks = policy::Decision::requires_approval;
    rules = {{.host = "plain.test", .scheme = Scheme::http, .method = "POST", .decision = asks, .id = "writes"},
             {.host = "api.test", .decision = asks, .id = "talks"}};
    config.gate = &gate;
  }
  std::string post(const std::string& body) const {
    return "POST /v1/x?y=1 HTTP/1.1\r\nHost: plain.test:" + std::to_string(http_port) +
           "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  Task<void> request() {
    const auto answer = co_await ask("plain.test", post("{\"a\":1}"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    const auto& held = gate.asked.at(0);
    EXPECT_EQ(held.server, "");
    EXPECT_EQ(held.host, "plain.test");
    EXPECT_EQ(held.port, http_port);
    EXPECT_EQ(held.scheme, "http");
    EXPECT_EQ(held.method, "POST");
    EXPECT_EQ(held.path, "/v1/x");
    EXPECT_EQ(held.query, "y=1");
    EXPECT_EQ(held.body, "{\"a\":1}");
    EXPECT_EQ(held.rule_id, "writes");
    EXPECT_THAT(held.head, StartsWith("POST /v1/x?y=1 HTTP/1.1\r\n"));
    EXPECT_EQ(provider.requests.at(0).body, "{\"a\":1}");
    EXPECT_EQ(log.done.at(0).action_id, "act_1");
    EXPECT_EQ(gate.ended.at(0), "call_1 200 POST");
  }
  Task<void> request_denied() {
    gate.answer = {.reason = "approval_denied", .message = "somebody said no", .action_id = "act_2"};
    const auto answer = co_await ask("plain.test", post("{}"));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("approval_denied"), HasSubstr("somebody said no")));
    EXPECT_EQ(log.denied.at(0).action_id, "act_2");
    EXPECT_THAT(provider.requests, IsEmpty());
    EXPECT_THAT(looked_up, IsEmpty());
  }
  Task<void> too_long() {
    const auto answer = co_await ask("plain.test", post(std::string(101, 'x')));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 413"), HasSubstr("request_body")));
    EXPECT_TRUE(gate.asked.empty());
  }
  Task<void> too_many() {
    gate.waits = true;
    std::vector<std::unique_ptr<Agent>> agents;
    for (std::size_t i = 0; i < 16; ++i) {
      agents.push_back(co_await reach("plain.test", http_port));
      co_await agents.back()->send(post(std::string(100, 'x')));
      co_await gate.until([&] { return gate.asked.size() == i + 1; });
    }
    const auto answer = co_await ask("plain.test", post("x"));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("held")));
    agents.clear();
    co_await log.until([this] { return log.denied.size() == 17; });
    gate.waits = false;
    const auto again = co_await ask("plain.test", post("x"));
    EXPECT_THAT(again, StartsWith("HTTP/1.1 200"));
  }
  Task<void> left() {
    gate.waits = true;
    auto agent = co_await reach("plain.test", http_port);
    co_await agent->send(post("{}"));
    co_await gate.until([this] { return gate.asked.size() == 1; });
    agent->leave();
    co_await gate.until([this] { return gate.left; });
    co_await log.until([this] { return log.denied.size() == 1; });
    EXPECT_EQ(log.denied.at(0).reason, "withdrawn");
    EXPECT_THAT(provider.requests, IsEmpty());
  }
  Task<void> connection() {
    auto stream = co_await reach_tls("api.test", host.port(), "api.test", *believes_host);
    Agent agent(base::value_or_throw(std::move(stream)));
    co_await agent.send(get("api.test", host.port()));
    const auto answer = co_await agent.rest();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    agent.leave();
    const auto& held = gate.asked.at(0);
    EXPECT_EQ(held.method, "CONNECT");
    EXPECT_EQ(held.path, "");
    EXPECT_EQ(held.scheme, "https");
    EXPECT_EQ(held.host, "api.test");
    co_await log.until([this] { return log.done.size() == 1; });
    EXPECT_EQ(log.done.at(0).action_id, "act_1");
    EXPECT_EQ(gate.ended.at(0), "call_1 0 CONNECT");
  }
  Task<void> connection_denied() {
    gate.answer = {.reason = "approval_denied", .action_id = "act_2"};
    auto stream = co_await reach_tls("api.test", host.port(), "api.test", *believes_host);
    EXPECT_FALSE(stream);
    EXPECT_EQ(log.denied.at(0).reason, "approval_denied");
    EXPECT_THAT(looked_up, IsEmpty());
  }
  Task<void> connection_left() {
    gate.waits = true;
    auto agent = co_await reach("api.test", host.port());
    co_await agent->send(net::hello::record(net::hello::message(net::hello::server_name("api.test"))));
    co_await gate.until([this] { return gate.asked.size() == 1; });
    agent->leave();
    co_await gate.until([this] { return gate.left; });
    co_await log.until([this] { return log.denied.size() == 1; });
    EXPECT_EQ(log.denied.at(0).reason, "withdrawn");
  }
  Task<void> nobody_to_ask() {
    const auto answer = co_await ask("plain.test", post("{}"));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("approval_unavailable")));
    auto stream = co_await reach_tls("api.test", host.port(), "api.test", *believes_host);
    EXPECT_FALSE(stream);
    EXPECT_EQ(log.denied.at(1).reason, "approval_unavailable");
  }

  OutboundGate gate{io.get_executor()};
};

TEST_F(OutboundApprovals, HoldARequestWhole) {
  run(request());
}
TEST_F(OutboundApprovals, ThatAreDeniedAreARefusal) {
  run(request_denied());
}
TEST_F(OutboundApprovals, AreNotAskedForAboutABodyThatIsTooLong) {
  config.held_bytes = 100;
  run(too_long());
}
TEST_F(OutboundApprovals, HoldOnlySoManyBytes) {
  config.held_bytes = 100;
  run(too_many());
}
TEST_F(OutboundApprovals, EndWhenTheAgentLeaves) {
  run(left());
}
TEST_F(OutboundApprovals, HoldAConnectionThatIsCarried) {
  run(connection());
}
TEST_F(OutboundApprovals, ThatAreDeniedEndAConnection) {
  run(connection_denied());
}
TEST_F(OutboundApprovals, OfAConnectionEndWhenTheAgentLeaves) {
  run(connection_left());
}
TEST_F(OutboundApprovals, WithoutAGateAreRefused) {
  config.gate = nullptr;
  run(nobody_to_ask());
}

}  // namespace
}  // namespace agentrouter::egress
