// How connections of a sandbox are carried: names, http, https as it is and ended here, tcp.

#include "egress/outbound_world_test.h"
#include "net/dns_message.h"

namespace agentrouter::egress {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class OutboundNames : public OutboundTest {
 protected:
  Task<void> known_and_unknown() {
    rules = {{.host = "api.test"}};
    const auto first = co_await address_of("api.test");
    const auto again = co_await address_of("API.test");
    EXPECT_EQ(first.to_string(), "127.18.0.1");
    EXPECT_EQ(first, again);
    for (const auto* name : {"other.test", "sub.api.test", "api.test.evil", "2130706433", "127.0.0.1", "test"}) {
      const auto none = co_await address_of(name);
      EXPECT_TRUE(none.is_unspecified()) << name;
    }
    EXPECT_THAT(looked_up, IsEmpty());
    co_await log.until([this] { return log.denied.size() == 6; });
    const auto& record = log.denied.front();
    EXPECT_TRUE(record.outbound);
    EXPECT_EQ(record.host, "other.test");
    EXPECT_EQ(record.reason, "name_denied");
    EXPECT_EQ(record.scheme, "dns");
  }
  Task<void> too_many() {
    rules = {{.host = "a.test"}, {.host = "b.test"}, {.host = "c.test"}};
    std::ignore = co_await address_of("a.test");
    std::ignore = co_await address_of("b.test");
    const auto third = co_await address_of("c.test");
    EXPECT_TRUE(third.is_unspecified());
    EXPECT_TRUE(was_denied("too_many_names"));
    const auto first = co_await address_of("a.test");
    EXPECT_FALSE(first.is_unspecified());
  }
  Task<void> over_tcp() {
    rules = {{.host = "api.test"}};
    auto agent = co_await reach_names();
    const auto framed = net::dns_framed(question_for("api.test"));
    co_await agent->send(framed + framed.substr(0, 5));
    std::ignore = co_await agent->until(std::string("\x7f\x12\x00\x01", 4));
    co_await agent->send(framed.substr(5));
    std::ignore = co_await agent->until(std::string("\x7f\x12\x00\x01", 4));
    // Who asks what nobody can read, or says that much will come, is left.
    co_await agent->send(std::string("\x00\x03", 2) + "abc");
    auto rest = co_await agent->rest();
    EXPECT_EQ(rest, "");
    auto endless = co_await reach_names();
    co_await endless->send("\xff\xff" + std::string(5000, 'x'));
    rest = co_await endless->rest();
    EXPECT_EQ(rest, "");
  }
  Task<void> slow_over_tcp() {
    std::vector<std::unique_ptr<Agent>> agents;
    for (int i = 0; i < 16; ++i) agents.push_back(co_await reach_names());
    for (const auto& agent : agents) {
      const auto rest = co_await agent->rest();
      EXPECT_EQ(rest, "");
    }
  }
  Task<void> flood() {
    for (int i = 0; i < 100; ++i) std::ignore = co_await address_of("name-" + std::to_string(i) + ".test");
    EXPECT_EQ(log.denied.size(), 20u + 2u);  // and the 32nd and the 64th
    EXPECT_EQ(log.denials, 64u);
  }
};

TEST_F(OutboundNames, ThatNoRuleKnowsDoNotExistAndNobodyOutsideIsAsked) {
  run(known_and_unknown());
}
TEST_F(OutboundNames, AreAnsweredOverTcpToo) {
  run(over_tcp());
}
TEST_F(OutboundNames, AreNotWaitedForLong) {
  config.hello_timeout = 50ms;
  run(slow_over_tcp());
}
TEST_F(OutboundNames, AreLimited) {
  config.max_names = 2;
  run(too_many());
}
TEST_F(OutboundNames, AFloodOfThemIsCounted) {
  run(flood());
}

class OutboundCarries : public OutboundTest {
 protected:
  Task<void> http() {
    rules = {{.host = "plain.test", .scheme = Scheme::http, .method = "GET", .path = "/a", .id = "reads"}};
    const auto answer = co_await ask("plain.test", get("plain.test", http_port, "/a/b?q=1", "Cookie: mine\r\n"));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200"), HasSubstr(R"({"ok":true})")));
    EXPECT_EQ(provider.requests.at(0).request.target, "/a/b?q=1");
    EXPECT_EQ(provider.requests.at(0).request.headers.get("cookie"), "mine");
    const auto denied = co_await ask("plain.test", get("plain.test", http_port, "/b"));
    EXPECT_THAT(denied, AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("policy_denied"), HasSubstr("no rule")));
    EXPECT_EQ(provider.requests.size(), 1u);
    co_await log.until([this] { return log.done.size() == 1 && log.denied.size() == 1; });
    const auto& record = log.done.at(0);
    EXPECT_TRUE(record.outbound);
    EXPECT_EQ(record.host, "plain.test");
    EXPECT_EQ(record.port, http_port);
    EXPECT_EQ(record.scheme, "http");
    EXPECT_EQ(record.rule_id, "reads");
    EXPECT_EQ(record.path, "/a/b");
    EXPECT_EQ(record.status, 200);
    EXPECT_EQ(record.bytes_in, 11u);
    EXPECT_EQ(log.asked, 1);
  }
  Task<void> https_as_it_is() {
    rules = {{.host = "api.test"}};
    auto stream = co_await reach_tls("api.test", host.port(), "api.test", *believes_host);
    Agent agent(base::value_or_throw(std::move(stream)));
    co_await agent.send(get("anything.test", 1));
    const auto answer = co_await agent.rest();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    agent.leave();
    co_await log.until([this] { return log.done.size() == 1; });
    const auto& record = log.done.at(0);
    EXPECT_EQ(record.method, "CONNECT");
    EXPECT_EQ(record.scheme, "https");
    EXPECT_EQ(record.status, 0);
    EXPECT_GT(record.bytes_out, 300u);
    EXPECT_GT(record.bytes_in, 300u);
  }
  Task<void> inspected() {
    rules = {{.host = "api.test", .method = "GET", .id = "reads"}};
    const auto answer = co_await ask_tls("api.test", get("api.test", host.port(), "/x"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    const auto denied = co_await ask_tls(
        "api.test", "POST /x HTTP/1.1\r\nHost: api.test:" + std::to_string(host.port()) +
                        "\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
    EXPECT_THAT(denied, AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("policy_denied")));
    EXPECT_EQ(provider.requests.size(), 1u);
    EXPECT_EQ(log.done.at(0).path, "/x");
    EXPECT_EQ(log.denied.at(0).method, "POST");
  }
  Task<void> many_requests_on_one_connection() {
    rules = {{.host = "api.test", .method = "GET"}};
    auto stream = co_await reach_tls("api.test", host.port(), "api.test", *believes_run);
    Agent agent(base::value_or_throw(std::move(stream)));
    for (int i = 0; i < 20; ++i) {
      co_await agent.send("GET / HTTP/1.1\r\nHost: api.test:" + std::to_string(host.port()) + "\r\n\r\n");
      const auto answer = co_await agent.until(R"({"ok":true})");
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    }
    agent.leave();
    EXPECT_EQ(log.done.size(), 20u);
  }
  std::string kept(const std::string& method) const {
    return method + " / HTTP/1.1\r\nHost: plain.test:" + std::to_string(http_port) + "\r\nContent-Length: 0\r\n\r\n";
  }
  Task<void> kept_connection() {
    rules = {{.host = "plain.test", .scheme = Scheme::http}};
    auto agent = co_await reach("plain.test", http_port);
    for (int i = 0; i < 10; ++i) {
      co_await agent->send(kept("GET"));
      std::ignore = co_await agent->until(R"({"ok":true})");
    }
    EXPECT_EQ(looked_up.size(), 1u);
    EXPECT_EQ(provider.requests.front().request.remote, provider.requests.back().request.remote);
    // One that may not be sent twice has a connection of its own.
    co_await agent->send(kept("POST"));
    std::ignore = co_await agent->until(R"({"ok":true})");
    EXPECT_EQ(looked_up.size(), 2u);
    agent->leave();
  }
  Task<void> kept_connection_that_ended() {
    rules = {{.host = "plain.test", .scheme = Scheme::http}};
    auto agent = co_await reach("plain.test", http_port);
    for (int i = 0; i < 2; ++i) {
      co_await agent->send(kept("GET"));
      const auto answer = co_await agent->until(R"({"ok":true})");
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
      while (provider_server.connections() > 0) co_await base::sleep_for(1ms);
    }
    EXPECT_EQ(looked_up.size(), 2u);
    EXPECT_EQ(log.done.size(), 2u);
    agent->leave();
  }
  Task<void> tcp() {
    rules = {{.host = "raw.test", .scheme = Scheme::tcp}};
    echo.greeting = "220 hello\r\n";
    auto agent = co_await reach("raw.test", echo.port());
    std::ignore = co_await agent->until("hello\r\n");
    co_await agent->send("ping");
    std::ignore = co_await agent->until("ping");
    co_await agent->finish();
    const auto rest = co_await agent->rest();
    EXPECT_EQ(rest, "bye");
    co_await log.until([this] { return log.done.size() == 1; });
    EXPECT_EQ(log.done.at(0).bytes_out, 4u);
    EXPECT_EQ(log.done.at(0).bytes_in, 11u + 4u + 3u);
    EXPECT_EQ(log.done.at(0).reason, "");
    EXPECT_EQ(outbound->open(), 0u);
  }
  // tcp beside https on the same port: told apart by the first byte, and where there is none after a while.
  Task<void> tcp_beside_https() {
    rules = {{.host = "raw.test", .scheme = Scheme::tcp}, {.host = "raw.test"}};
    auto agent = co_await reach("raw.test", echo.port());
    co_await agent->send("ping");
    std::ignore = co_await agent->until("ping");
    agent->leave();
    echo.greeting = "220 hello";
    auto waits = co_await reach("raw.test", echo.port());
    std::ignore = co_await waits->until("hello");
    waits->leave();
    co_await log.until([this] { return log.done.size() == 2; });
    EXPECT_EQ(log.done.at(0).scheme, "tcp");
    EXPECT_EQ(log.done.at(1).scheme, "tcp");
  }
  Task<void> head_and_no_content() {
    rules = {{.host = "plain.test", .scheme = Scheme::http}};
    provider.script = [](Provider&, net::Exchange& exchange) -> Task<void> {
      net::Response response = reply("text/plain", "12345");
      if (exchange.request().path == "/none") response = net::Response{204, {}, ""};
      response.headers.add("set-cookie", "a=b");
      co_await exchange.respond(std::move(response));
    };
    const auto head = co_await ask("plain.test", "HEAD / HTTP/1.1\r\nHost: plain.test:" + std::to_string(http_port) +
                                                     "\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(head, AllOf(HasSubstr("Content-Length: 5"), HasSubstr("set-cookie: a=b"), Not(HasSubstr("12345"))));
    const auto none = co_await ask("plain.test", get("plain.test", http_port, "/none"));
    EXPECT_THAT(none, StartsWith("HTTP/1.1 204"));
  }
};

TEST_F(OutboundCarries, HttpRequestsThatARuleAllows) {
  run(http());
}
TEST_F(OutboundCarries, HttpsAsItIsWhereNoRequestHasToBeSeen) {
  run(https_as_it_is());
}
TEST_F(OutboundCarries, HttpsWhoseRequestsAreJudged) {
  run(inspected());
}
TEST_F(OutboundCarries, ManyRequestsOnOneConnection) {
  run(many_requests_on_one_connection());
}
TEST_F(OutboundCarries, RequestsOnTheConnectionThatTheOneBeforeHasLeft) {
  run(kept_connection());
}
TEST_F(OutboundCarries, ARequestAnewWhenTheConnectionBeforeHasEnded) {
  run(kept_connection_that_ended());
}
TEST_F(OutboundCarries, TcpWhoseServerSpeaksFirstAndAnEndInOneDirection) {
  run(tcp());
}
TEST_F(OutboundCarries, TcpBesideHttpsOnOnePort) {
  config.hello_timeout = 50ms;
  run(tcp_beside_https());
}
TEST_F(OutboundCarries, AnswersWithoutABodyAndCookies) {
  run(head_and_no_content());
}

}  // namespace
}  // namespace agentrouter::egress
