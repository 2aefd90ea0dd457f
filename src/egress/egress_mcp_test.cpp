#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view field_value = "Bearer mcp-0123456789-canary";
constexpr std::string_view word = "mcp-0123456789-canary";

class McpEgress : public EgressTest {
 protected:
  McpEgress() {
    config.simulator = &simulator;
    config.mcp = {{"tracker", url("/team/mcp"), {{"Authorization", &value}, {"X-Team", &team}}}};
  }
  net::Url url(const std::string& path) {
    return mcp_url("http://127.0.0.1:" + std::to_string(provider_port) + path).value();
  }
  static std::string call(const std::string& method, const std::string& fields = "",
                          const std::string& target = "/mcp/tracker") {
    return method + " " + target + " HTTP/1.1\r\nHost: egress.test\r\nConnection: close\r\n" + fields +
           "\r\n";
  }
  // One call, and what the record says about it.
  Task<void> refused(std::string wire, std::string status, std::string reason) {
    const auto answer = co_await ask(std::move(wire));
    EXPECT_THAT(status_of(answer), HasSubstr(" " + status + " "));
    EXPECT_THAT(answer, AllOf(HasSubstr("\"" + reason + "\""), Not(HasSubstr(std::string(word)))));
  }
  Task<void> carries();
  Task<void> streams();
  Task<void> methods();

  sim::Simulator simulator;
  Secret value = Secret::create_field(field_value).value();
  Secret team = Secret::create_field("blue").value();
};

Task<void> McpEgress::carries() {
  const auto answer = co_await ask(
      post("/mcp/tracker", R"({"jsonrpc":"2.0"})",
           "Content-Type: application/json\r\nMcp-Session-Id: s1\r\nMCP-Protocol-Version: 2025-06-18\r\n"
           "Accept: application/json, text/event-stream\r\nCookie: a=b\r\nX-Team: red\r\nX-Other: 1\r\n"));
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(answer));
  EXPECT_EQ(1u, provider.requests.size());
  const auto& seen = provider.requests.at(0);
  const auto& fields = seen.request.headers;
  EXPECT_EQ("/team/mcp", seen.request.target);
  EXPECT_EQ(R"({"jsonrpc":"2.0"})", seen.body);
  EXPECT_EQ(field_value, fields.get("authorization"));
  EXPECT_EQ("blue", fields.get("x-team"));
  EXPECT_EQ(1u, fields.count("x-team"));
  EXPECT_EQ(1u, fields.count("authorization"));
  EXPECT_EQ("s1", fields.get("mcp-session-id"));
  EXPECT_EQ("2025-06-18", fields.get("mcp-protocol-version"));
  for (const auto* name : {"cookie", "x-other"}) EXPECT_EQ(0u, fields.count(name)) << name;
}

TEST_F(McpEgress, AddsTheFieldsOutsideAndCarriesOnlyWhatTheProtocolNeeds) {
  run(carries());
  EXPECT_EQ(1, log.asked);
  ASSERT_EQ(1u, log.done.size());
  const auto& record = log.done[0];
  EXPECT_EQ(Decision::forwarded, record.decision);
  EXPECT_EQ("tracker", record.mcp_server);
  EXPECT_EQ("127.0.0.1:" + std::to_string(provider_port), record.host);
  EXPECT_EQ("/mcp/tracker", record.path);
  EXPECT_EQ(17u, record.bytes_out);
  EXPECT_EQ("", record.reason);
  EXPECT_FALSE(record.usage);
}

Task<void> two_messages(Provider& provider, net::Exchange& exchange) {
  auto response = reply("text/event-stream");
  response.headers.add("mcp-session-id", "s2");
  auto* writer = co_await exchange.start_stream(std::move(response));
  std::ignore = co_await writer->write("data: 1\n\n");
  co_await provider.go.wait();
  std::ignore = co_await writer->write("data: 2\n\n");
}

Task<void> McpEgress::streams() {
  auto agent = co_await connect();
  co_await agent->send(call("GET", "Accept: text/event-stream\r\nLast-Event-ID: 7\r\n"));
  const auto first = co_await agent->until("data: 1\n\n");
  EXPECT_THAT(first, HasSubstr("mcp-session-id: s2"));
  EXPECT_EQ("7", provider.requests.at(0).request.headers.get("last-event-id"));
  EXPECT_EQ(0u, provider.requests.at(0).request.headers.count("content-length"));
  EXPECT_EQ(0u, egress->open_forwards());
  provider.go.notify();
  EXPECT_THAT(co_await agent->rest(), HasSubstr("data: 2\n\n"));
}

TEST_F(McpEgress, AStreamOfTheServersOwnMessagesStaysOpenAndDoesNotCountAsWork) {
  provider.script = two_messages;
  run(streams());
}

Task<void> McpEgress::methods() {
  EXPECT_EQ("HTTP/1.1 200 OK", status_of(co_await ask(call("DELETE", "Mcp-Session-Id: s1\r\n"))));
  EXPECT_EQ("DELETE", provider.requests.back().request.method);
  co_await refused(call("PUT"), "403", "method_denied");
  co_await refused(call("POST", "", "/mcp/nobody"), "403", "path_denied");
  co_await refused(call("POST", "", "/mcp/tracker/x"), "403", "path_denied");
  co_await refused(call("POST", "", "/mcp/tracker?x=1"), "403", "path_denied");
  co_await refused(call("GET", "", "/.well-known/oauth-protected-resource/mcp/tracker"), "403",
                   "path_denied");
  EXPECT_EQ(1u, provider.requests.size());
}

TEST_F(McpEgress, RefusesOtherMethodsServersAndPaths) {
  run(methods());
  EXPECT_EQ(5u, log.denied.size());
}

Task<void> says_401(Provider&, net::Exchange& exchange) {
  return exchange.respond({401, {{"www-authenticate", "Bearer resource_metadata=x"}}, "{}"});
}
TEST_F(McpEgress, AServerThatDoesNotTakeTheCredentialIsNoLoginForTheAgent) {
  provider.script = says_401;
  run(refused(call("GET"), "502", "mcp_unauthorized"));
}

Task<void> leads_elsewhere(Provider&, net::Exchange& exchange) {
  return exchange.respond({307, {{"location", "http://127.0.0.1:1/"}}, ""});
}
TEST_F(McpEgress, RedirectsAreNotFollowed) {
  provider.script = leads_elsewhere;
  run(refused(call("GET"), "502", "mcp_redirected"));
}

Task<void> passes_on_404(Provider&, net::Exchange& exchange) {
  return exchange.respond({404, {}, "no such session"});
}
Task<void> sees_404(Task<std::string> asked) {
  EXPECT_THAT(co_await std::move(asked), AllOf(HasSubstr(" 404 "), HasSubstr("no such session")));
}
TEST_F(McpEgress, AnExpiredSessionIsTheAgentsToHandle) {
  provider.script = passes_on_404;
  run(sees_404(ask(call("GET"))));
}

Task<void> says_the_secret(Provider& provider, net::Exchange& exchange) {
  const auto sent = std::string(provider.requests.back().request.headers.get("authorization"));
  auto* writer = co_await exchange.start_stream(reply("text/event-stream"));
  std::ignore = co_await writer->write("data: begun " + sent.substr(7, 9));
  std::ignore = co_await writer->write(sent.substr(16) + "\n\n");
}
Task<void> is_cut_before(Task<std::string> asked) {
  const auto answer = co_await std::move(asked);
  EXPECT_THAT(answer, AllOf(HasSubstr("data: begun "), Not(HasSubstr("0123456789"))));
}
TEST_F(McpEgress, AnAnswerThatHoldsAFieldsWordIsCutBeforeIt) {
  provider.script = says_the_secret;
  run(is_cut_before(ask(call("GET"))));
  ASSERT_EQ(1u, log.done.size());
  EXPECT_EQ("key_echo", log.done[0].reason);
}

TEST_F(McpEgress, AServerThatCannotBeReachedSaysSo) {
  config.mcp[0].url = mcp_url("http://127.0.0.1:1/mcp").value();
  run(refused(call("GET"), "502", "mcp_unavailable"));
}

TEST_F(McpEgress, NoLinkLocalAddressIsReached) {
  config.mcp[0].url = {net::Scheme::http, "169.254.169.254", 80, "/latest", ""};
  run(refused(call("GET"), "502", "mcp_address_denied"));
}

TEST_F(McpEgress, TlsIsNeverLeftOut) {
  config.mcp[0].url = mcp_url("https://127.0.0.1/mcp").value();
  run(refused(call("GET"), "403", "path_denied"));
}

TEST_F(McpEgress, ItsTrafficCountsLikeAnyOther) {
  config.total_bytes = 0;
  run(refused(call("GET"), "403", "egress_limit"));
}

TEST(McpUrl, IsHttpsOrThisMachineAndHasNoQuery) {
  EXPECT_TRUE(mcp_url("https://mcp.example.org/v1/mcp"));
  EXPECT_TRUE(mcp_url("http://127.0.0.1:8080/mcp"));
  EXPECT_TRUE(mcp_url("http://localhost/mcp"));
  for (const auto* text : {"http://mcp.example.org/", "http://10.0.0.1/", "https://h.test/?key=1",
                           "ftp://h.test/", "https://u:p@h.test/", "", "h.test"})
    EXPECT_FALSE(mcp_url(text)) << text;
}

}  // namespace
}  // namespace agentrouter::egress
