#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>

#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view key_text = "sk-canary-0123456789abcdef";

TEST_F(KeeperTest, ProviderKeyIsRedactedFromEventsLogsAndTheAnswer) {
  key_ = base::value_or_throw(egress::Secret::create(key_text));
  plan_.provider = Provider::upstream;
  plan_.base_url = "http://127.0.0.1:9/v1";
  agent({.says = "event agent.message {\"text\":\"" + std::string(key_text) + "\"}\nsay it is " +
                 std::string(key_text) + "\n",
         .says_to_stderr = "export KEY=" + std::string(key_text) + "\n"});
  keep();
  EXPECT_EQ(outcome(), "completed");
  for (const char* name : {"journal", "stdout.ndjson", "stderr.ndjson"}) {
    EXPECT_EQ(file(name).find(key_text), std::string::npos) << name;
    EXPECT_NE(file(name).find("[REDACTED]"), std::string::npos) << name;
  }
}

base::Task<void> ask_provider(base::Executor executor, int listener) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  asio::basic_stream_socket<asio::ip::tcp, base::Executor> socket(executor);
  co_await socket.async_connect({asio::ip::address_v4::loopback(), ntohs(address.sin_port)}, base::use_task);
  const std::string body =
      R"({"model":"gpt-5.5","stream":true,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"sim: reply hi"}]}]})";
  const std::string request =
      "POST /v1/responses HTTP/1.1\r\nHost: 127.83.1.1\r\nConnection: close\r\n"
      "Content-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  co_await asio::async_write(socket, asio::buffer(request), base::use_task);
  std::string answer;
  boost::system::error_code error;
  co_await asio::async_read(socket, asio::dynamic_buffer(answer),
                            asio::redirect_error(base::use_task, error));
  EXPECT_THAT(answer, HasSubstr("response.completed"));
}

// Sends it without a body; the answer.
base::Task<std::string> ask_egress(base::Executor executor, int listener, std::string path) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  asio::basic_stream_socket<asio::ip::tcp, base::Executor> socket(executor);
  co_await socket.async_connect({asio::ip::address_v4::loopback(), ntohs(address.sin_port)}, base::use_task);
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: 127.83.1.1\r\nConnection: close\r\n\r\n";
  co_await asio::async_write(socket, asio::buffer(request), base::use_task);
  std::string answer;
  boost::system::error_code error;
  co_await asio::async_read(socket, asio::dynamic_buffer(answer),
                            asio::redirect_error(base::use_task, error));
  co_return answer;
}

base::Task<void> ask_mcp_server(base::Executor executor, int listener) {
  EXPECT_THAT(co_await ask_egress(executor, listener, "/mcp/tracker"), HasSubstr("mcp_unavailable"));
}

TEST_F(KeeperTest, APathIsCutBeforeASecret) {
  plan_.hidden = base::Needles(std::vector<std::string_view>{key_text}, entropy_).to_text();
  const std::string before = "/" + std::string(255 - key_text.size(), 'x');
  agent({.says = "say ok\n", .does = [&]() -> base::Task<void> {
           co_await ask_egress(io_.get_executor(), listener_.get(),
                               before + "/" + std::string(key_text) + "/more");
         }});
  keep();
  EXPECT_EQ(base::get_string(payload("egress.request"), "path"), before + "/");
}

TEST_F(KeeperTest, RequestToAnMcpServerIsOnRecordAndIsNoneOfTheProviders) {
  plan_.mcp = {{"tracker", "http://127.0.0.1:1/mcp", {{"X-Key", {}, 9}}}};
  mcp_secrets_.push_back(base::value_or_throw(egress::Secret::create_field("mcp-value")));
  agent({.says = "say ok\n", .does = [this] { return ask_mcp_server(io_.get_executor(), listener_.get()); }});
  keep();
  EXPECT_EQ(outcome(), "completed");
  const auto all = kinds();
  EXPECT_LT(std::find(all.begin(), all.end(), "forwarded"),
            std::find(all.begin(), all.end(), "egress.request"));
  const auto request = payload("egress.request");
  EXPECT_EQ(base::get_string(request, "purpose"), "mcp");
  EXPECT_EQ(base::get_string(request, "server"), "tracker");
  EXPECT_EQ(base::get_string(request, "reason"), "mcp_unavailable");
  EXPECT_THAT(exit_text(), HasSubstr(R"("requests":0)"));
}

TEST_F(KeeperTest, FirstProviderRequestIsOnRecordBeforeItLeavesAndIsMetered) {
  agent({.says = "say ok\n", .does = [this] { return ask_provider(io_.get_executor(), listener_.get()); }});
  keep();
  EXPECT_EQ(outcome(), "completed");
  const auto all = kinds();
  const auto forwarded = std::find(all.begin(), all.end(), "forwarded");
  const auto request = std::find(all.begin(), all.end(), "egress.request");
  EXPECT_LT(forwarded, request);
  ASSERT_NE(request, all.end());
  EXPECT_LT(request, std::find(all.begin(), all.end(), "agent.completed"));
  EXPECT_EQ(base::get_string(payload("egress.request"), "decision"), "forwarded");
  EXPECT_THAT(exit_text(), HasSubstr(R"("requests":1)"));
}

}  // namespace
}  // namespace agentrouter::keeper
