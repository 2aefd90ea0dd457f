// What a hostile program of the sandbox gets: other names than it looked up, other hosts than it connected
// to, addresses that are not for it, requests that two servers could read differently.
#include <sys/socket.h>

#include "egress/outbound_world_test.h"
#include "net/hello_test.h"

namespace agentrouter::egress {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class OutboundRefuses : public OutboundTest {
 protected:
  // Sends `bytes` to the TLS port of api.test: what comes back, and why nothing was let go.
  Task<void> hello_is_refused(std::string bytes, std::string reason, std::string alert) {
    rules = {{.host = "api.test"}};
    auto agent = co_await reach("api.test", host.port());
    co_await agent->send(std::move(bytes));
    const auto answer = co_await agent->rest();
    EXPECT_EQ(answer, alert);
    EXPECT_TRUE(was_denied(reason)) << reason;
    EXPECT_THAT(looked_up, IsEmpty());
    EXPECT_TRUE(provider.requests.empty());
  }
  std::string hello_for(const std::string& name, const std::string& extensions = "") {
    return net::hello::record(
        net::hello::message((name.empty() ? "" : net::hello::server_name(name)) + extensions));
  }
  static std::string alert(char description) {
    return std::string("\x15\x03\x03\x00\x02\x02", 6) + description;
  }

  Task<void> address_of_nobody() {
    rules = {{.host = "api.test"}};
    for (const auto* address : {"127.0.0.1", "127.18.0.0", "127.18.0.77", "127.83.1.1"}) {
      auto agent = co_await reach_address(asio::ip::make_address(address), host.port());
      co_await agent->send(hello_for("api.test"));
      const auto answer = co_await agent->rest();
      EXPECT_EQ(answer, "");
    }
    EXPECT_EQ(log.denied.size(), 4u);
    EXPECT_EQ(log.denied.at(0).reason, "address_unknown");
    EXPECT_EQ(log.denied.at(0).host, "127.0.0.1");
  }
  Task<void> real_client_with_another_name() {
    rules = {{.host = "api.test"}};
    auto stream = co_await reach_tls("api.test", host.port(), "evil.test", *believes_host);
    EXPECT_FALSE(stream);
    EXPECT_TRUE(was_denied("sni_mismatch"));
  }
  Task<void> other_protocol_on_a_closed_port() {
    rules = {{.host = "plain.test", .scheme = Scheme::http}, {.host = "raw.test", .scheme = Scheme::tcp}};
    // TLS where only http may be spoken.
    auto tls = co_await reach("plain.test", http_port);
    co_await tls->send(hello_for("plain.test"));
    const auto answer = co_await tls->rest();
    EXPECT_EQ(answer, alert(49));
    EXPECT_EQ(log.denied.at(0).reason, "policy_denied");
    // http where only https may.
    rules = {{.host = "plain.test"}};
    const auto plain = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(plain, AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("policy_denied")));
    EXPECT_TRUE(provider.requests.empty());
  }
  Task<void> host_without_an_open_port() {
    rules = {{.host = "plain.test", .decision = policy::Decision::blocked}};
    auto silent = co_await reach("plain.test", http_port);
    const auto nothing = co_await silent->rest();
    EXPECT_EQ(nothing, "");
    auto tls = co_await reach("plain.test", http_port);
    co_await tls->send(hello_for("plain.test"));
    const auto word = co_await tls->rest();
    EXPECT_EQ(word, alert(49));
    const auto answer = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("policy_denied")));
    for (const auto& record : log.denied) EXPECT_EQ(record.reason, "policy_denied");
    EXPECT_EQ(log.denied.size(), 3u);
    EXPECT_THAT(looked_up, IsEmpty());
  }
  Task<void> silent_client() {
    rules = {{.host = "api.test"}};
    auto agent = co_await reach("api.test", host.port());
    const auto nothing = co_await agent->rest();
    EXPECT_EQ(nothing, "");
    EXPECT_TRUE(was_denied("hello_timeout"));
    auto slow = co_await reach("api.test", host.port());
    co_await slow->send(hello_for("api.test").substr(0, 20));
    const auto cut = co_await slow->rest();
    EXPECT_EQ(cut, "");
    EXPECT_EQ(log.denied.size(), 2u);
    auto request = co_await reach("api.test", http_port);
    co_await request->send("GET / HT");
    const auto late = co_await request->rest();
    EXPECT_THAT(late, StartsWith("HTTP/1.1 408"));
  }
  // All of these over http; the rules allow everything to this host.
  Task<void> head_is_refused(std::string wire, std::string status, std::string reason) {
    rules = {{.host = "plain.test", .scheme = Scheme::http}};
    const auto answer = co_await ask("plain.test", std::move(wire));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 " + status), HasSubstr(reason)));
    EXPECT_TRUE(was_denied(reason)) << reason;
    EXPECT_TRUE(provider.requests.empty());
    EXPECT_THAT(looked_up, IsEmpty());
  }
  std::string authority_of_plain() const { return "plain.test:" + std::to_string(http_port); }
  std::string with_host(const std::string& line, const std::string& fields = "") const {
    return line + " HTTP/1.1\r\nHost: " + authority_of_plain() + "\r\nConnection: close\r\n" + fields +
           "\r\n";
  }
  Task<void> inspected_fronting() {
    rules = {{.host = "api.test", .method = "GET"}};
    const auto answer = co_await ask_tls("api.test", get("hidden.test", host.port()));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 421"), HasSubstr("host_mismatch")));
    EXPECT_TRUE(provider.requests.empty());
  }
};

TEST_F(OutboundRefuses, AddressesThatStandForNoName) {
  run(address_of_nobody());
}
TEST_F(OutboundRefuses, HelloWithoutAName) {
  run(hello_is_refused(hello_for(""), "sni_missing", alert(112)));
}
TEST_F(OutboundRefuses, HelloWithAnotherName) {
  run(hello_is_refused(hello_for("evil.test"), "sni_mismatch", alert(112)));
}
TEST_F(OutboundRefuses, HelloOfARealClientWithAnotherName) {
  run(real_client_with_another_name());
}
TEST_F(OutboundRefuses, EncryptedHelloBehindItsFront) {
  run(hello_is_refused(hello_for("front.test", net::hello::extension(0xfe0d, std::string(40, 'x'))),
                       "sni_mismatch", alert(112)));
}
TEST_F(OutboundRefuses, HelloThatIsBroken) {
  run(hello_is_refused(hello_for("api.test", net::hello::server_name("api.test")), "hello_invalid",
                       alert(50)));
}
TEST_F(OutboundRefuses, SchemesThatNoRuleAllows) {
  run(other_protocol_on_a_closed_port());
}
TEST_F(OutboundRefuses, EveryConnectionToAHostThatIsDenied) {
  config.hello_timeout = 50ms;
  run(host_without_an_open_port());
}
TEST_F(OutboundRefuses, ClientsThatSayNothing) {
  config.hello_timeout = 50ms;
  run(silent_client());
}
TEST_F(OutboundRefuses, TwoLengths) {
  run(head_is_refused(
      with_host("POST /", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\nGET", "400",
      "bad_request"));
}
TEST_F(OutboundRefuses, TwoHosts) {
  run(head_is_refused(with_host("GET /", "Host: evil.test\r\n"), "400", "bad_request"));
}
TEST_F(OutboundRefuses, AbsoluteTargetOfAnotherHost) {
  run(head_is_refused(with_host("GET http://evil.test/"), "400", "bad_request"));
}
TEST_F(OutboundRefuses, AbsoluteTargetOfItsOwnHost) {
  run(head_is_refused(with_host("GET http://" + authority_of_plain() + "/"), "403", "target_denied"));
}
TEST_F(OutboundRefuses, Connect) {
  run(head_is_refused(with_host("CONNECT plain.test:443"), "405", "method_denied"));
}
TEST_F(OutboundRefuses, MethodsThatAreNotWrittenInCapitals) {
  for (const auto* method : {"post", "Get", "DELETe"})
    run(head_is_refused(with_host(method + std::string(" /")), "405", "method_denied"));
}
TEST_F(OutboundRefuses, FieldsThatMayMakeAnotherRequestOfIt) {
  for (const auto* field : {"X-HTTP-Method-Override: DELETE", "x-http-method: PUT", "X-Method-Override: PUT",
                            "X-Original-Method: PUT", "X-Original-URL: /admin", "X-Rewrite-URL: /admin"})
    run(head_is_refused(with_host("POST /", std::string(field) + "\r\nContent-Length: 0\r\n"), "403",
                        "override_denied"));
}
TEST_F(OutboundRefuses, AnotherHost) {
  run(head_is_refused(get("evil.test", http_port), "421", "host_mismatch"));
}
TEST_F(OutboundRefuses, TheSameHostAtAnotherPort) {
  run(head_is_refused(get("plain.test", 1), "421", "host_mismatch"));
}
TEST_F(OutboundRefuses, Websockets) {
  run(head_is_refused("GET / HTTP/1.1\r\nHost: " + authority_of_plain() +
                          "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n",
                      "426", "websocket_unsupported"));
}
TEST_F(OutboundRefuses, Http2WithoutAsking) {
  run(head_is_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "bad_request"));
}
TEST_F(OutboundRefuses, UpgradesToHttp2) {
  run(head_is_refused("GET / HTTP/1.1\r\nHost: " + authority_of_plain() +
                          "\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
                          "AAMAAABkAAQ\r\n\r\n",
                      "403", "upgrade_denied"));
}
TEST_F(OutboundRefuses, UpgradesThatNoConnectionFieldNames) {
  run(head_is_refused(with_host("GET /", "Upgrade: TLS/1.0\r\n"), "403", "upgrade_denied"));
}
TEST_F(OutboundRefuses, AnotherHostBehindTls) {
  run(inspected_fronting());
}

class OutboundDials : public OutboundTest {
 protected:
  Task<void> is_not_reached(std::string name, std::string address) {
    rules = {{.host = name, .scheme = Scheme::http}, {.host = name}, {.host = name, .scheme = Scheme::tcp}};
    zone[name] = {{address}};
    const auto answer = co_await ask(name, get(name, http_port));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 502"), HasSubstr("address_denied"))) << address;
    auto carried = co_await reach(name, host.port());
    co_await carried->send(net::hello::record(net::hello::message(net::hello::server_name(name))));
    const auto alert = co_await carried->rest();
    EXPECT_EQ(alert.size(), 7u) << address;
    co_await log.until([this] { return log.denied.size() >= 2; });
    EXPECT_EQ(log.denied.at(0).reason, "address_denied");
    EXPECT_EQ(log.denied.at(1).reason, "address_denied");
    EXPECT_TRUE(provider.requests.empty());
  }
  // A name that is public when it is judged and this machine when it is looked up again.
  Task<void> rebinding() {
    rules = {{.host = "plain.test", .scheme = Scheme::http}};
    zone["plain.test"] = {{"127.0.0.1"}, {"169.254.169.254"}, {"127.0.0.1", "169.254.169.254"}};
    const auto first = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(first, StartsWith("HTTP/1.1 200"));
    const auto second = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(second, HasSubstr("address_denied"));
    // Of several addresses only those that may be reached are tried.
    const auto third = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(third, StartsWith("HTTP/1.1 200"));
    EXPECT_EQ(looked_up.size(), 3u);
  }
  Task<void> redirect() {
    rules = {{.host = "plain.test", .scheme = Scheme::http}};
    provider.script = [](Provider&, net::Exchange& exchange) -> Task<void> {
      net::Response response;
      response.status = 302;
      response.headers.add("location", "http://169.254.169.254/latest/");
      co_await exchange.respond(std::move(response));
    };
    const auto answer = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(answer,
                AllOf(StartsWith("HTTP/1.1 302"), HasSubstr("location: http://169.254.169.254/latest/")));
    EXPECT_EQ(provider.requests.size(), 1u);
    EXPECT_THAT(looked_up, ElementsAre("plain.test"));
  }
  Task<void> address_that_a_rule_names() {
    rules = {{.host = "127.0.0.1", .scheme = Scheme::http}};
    auto agent = co_await reach_address(asio::ip::make_address("127.0.0.1"), http_port);
    co_await agent->send(get("127.0.0.1", http_port));
    const auto answer = co_await agent->rest();
    EXPECT_THAT(answer, HasSubstr("address_denied"));
  }
  Task<void> nobody() {
    rules = {{.host = "plain.test", .scheme = Scheme::http}, {.host = "raw.test", .scheme = Scheme::tcp}};
    co_await provider_server.stop(base::SteadyClock::now());
    const auto answer = co_await ask("plain.test", get("plain.test", http_port));
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 502"), HasSubstr("host_unavailable")));
    auto agent = co_await reach("raw.test", http_port);
    const auto nothing = co_await agent->rest();
    EXPECT_EQ(nothing, "");
    co_await log.until([this] { return log.done.size() == 2; });
    EXPECT_EQ(log.done.at(0).reason, "host_unavailable");
    EXPECT_EQ(log.done.at(1).reason, "host_unavailable");
  }
};

class OutboundDialsNot : public OutboundDials, public testing::WithParamInterface<const char*> {};

TEST_P(OutboundDialsNot, ToWhatIsNotPublic) {
  config.private_hosts.clear();
  run(is_not_reached("hidden.test", GetParam()));
}
INSTANTIATE_TEST_SUITE_P(Addresses, OutboundDialsNot,
                         testing::Values("127.0.0.1", "10.1.2.3", "100.64.0.1", "::1", "::ffff:127.0.0.1",
                                         "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
                                         "2002:7f00:1::", "fd00:ec2::254", "0.0.0.0", "198.18.0.1"));
TEST_F(OutboundDials, NoLinkLocalAddressEvenOfAPrivateHost) {
  run(is_not_reached("plain.test", "169.254.169.254"));
}
TEST_F(OutboundDials, OnlyAddressesThatWereJudgedHoweverTheNameChanges) {
  run(rebinding());
}
TEST_F(OutboundDials, NoRedirect) {
  run(redirect());
}
TEST_F(OutboundDials, AddressesThatARuleNamesAreJudgedToo) {
  run(address_that_a_rule_names());
}
TEST_F(OutboundDials, HostsThatAreNotThere) {
  run(nobody());
}

}  // namespace
}  // namespace agentrouter::egress
