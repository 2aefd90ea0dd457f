// Attempts that are recorded, and attempts that are played.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>

#include "keeper/keeper_fixture_test.h"
#include "keeper/replay_diff.h"
#include "keeper/tape.h"
#include "workspace/line_diff.h"

namespace agentrouter::keeper {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class TapeTest : public KeeperTest {
 protected:
  TapeTest() { plan_.cassette = "login"; }

  base::Task<void> ask(std::string text) {
    sockaddr_in address = {};
    socklen_t size = sizeof address;
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    asio::basic_stream_socket<asio::ip::tcp, base::Executor> socket(io_.get_executor());
    co_await socket.async_connect({asio::ip::address_v4::loopback(), ntohs(address.sin_port)}, base::use_task);
    const std::string body =
        R"({"model":"gpt-5.5","stream":true,"prompt_cache_key":")" + base::new_uuid(base::system_entropy()) +
        R"(","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":")" + text + R"("}]}]})";
    const std::string request =
        "POST /v1/responses HTTP/1.1\r\nHost: 127.83.1.1\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body;
    co_await asio::async_write(socket, asio::buffer(request), base::use_task);
    std::string answer;
    boost::system::error_code error;
    co_await asio::async_read(socket, asio::dynamic_buffer(answer), asio::redirect_error(base::use_task, error));
    answers_.push_back(answer.substr(std::min(answer.find("\r\n\r\n"), answer.size())));
    statuses_.push_back(answer.substr(0, 12));
  }
  AgentScript asks(std::vector<std::string> texts) {
    return {.says = "say ok\n", .does = [this, texts]() -> base::Task<void> {
              for (const auto& text : texts) co_await ask(text);
            }};
  }
  void record(std::vector<std::string> texts) {
    agent(asks(std::move(texts)));
    keep();
    ASSERT_EQ(outcome(), "completed");
    std::filesystem::rename(folder_ / recording_file, folder_ / cassette_file);
    std::filesystem::remove(folder_ / "journal");
    std::filesystem::remove(folder_ / "keeper.sock");
    plan_.provider = Provider::replay;
  }

  std::vector<std::string> answers_;
  std::vector<std::string> statuses_;
};

TEST_F(TapeTest, RecordedAttemptIsPlayedWithoutAProvider) {
  record({"sim: reply hi", "sim: reply there"});
  EXPECT_THAT(base::to_text(payload("cassette.recorded")), HasSubstr(R"("requests":2)"));
  EXPECT_THAT(exit_text(), HasSubstr(R"("cassette":{"name":"login","requests":2})"));
  agent(asks({"sim: reply hi", "sim: reply there"}));
  keep();
  EXPECT_EQ(outcome(), "completed");
  ASSERT_EQ(answers_.size(), 4u);
  EXPECT_EQ(answers_[2], answers_[0]);
  EXPECT_EQ(answers_[3], answers_[1]);
  EXPECT_EQ(base::to_text(payload("replay.completed")), R"({"cassette":"login","requests":2,"answered":2})");
  EXPECT_EQ(base::get_string(exit(), "provider"), "replay");
  EXPECT_EQ(payload("egress.request").at("host"), "replay");
  EXPECT_FALSE(exit().contains("cassette"));
}

TEST_F(TapeTest, AnotherRequestEndsTheAttemptWithADiff) {
  record({"sim: reply hi"});
  agent(asks({"sim: reply bye"}));
  keep();
  EXPECT_EQ(outcome(), "failed replay_mismatch");
  EXPECT_EQ(statuses_.back(), "HTTP/1.1 400");
  const auto diff = payload("replay.mismatch").at("diff").as_string();
  EXPECT_THAT(std::string(diff), HasSubstr("-          text: \"sim: reply hi\""));
  EXPECT_THAT(std::string(diff), HasSubstr("+          text: \"sim: reply bye\""));
  EXPECT_THAT(exit_text(), HasSubstr("request 1 of the cassette"));
}

TEST_F(TapeTest, OneRequestMoreEndsTheAttempt) {
  record({"sim: reply hi"});
  agent(asks({"sim: reply hi", "sim: reply hi"}));
  keep();
  EXPECT_EQ(outcome(), "failed replay_mismatch");
  EXPECT_THAT(exit_text(), HasSubstr("no_more_requests"));
}

TEST_F(TapeTest, CassetteThatCannotBeUsedEndsTheAttemptBeforeTheAgent) {
  plan_.provider = Provider::replay;
  for (const auto& [text, cause] : std::vector<std::pair<std::string, std::string>>{
           {"", "ended_early"}, {"{\"cassette\":9}\n", "version"}, {"x\n", "malformed"}}) {
    std::filesystem::remove(folder_ / "journal");
    std::filesystem::remove(folder_ / "keeper.sock");
    ASSERT_TRUE(base::write_file_durably(folder_ / cassette_file, text));
    agent({.says = "say ok\n"});
    keep();
    EXPECT_EQ(outcome(), "failed cassette_invalid");
    EXPECT_THAT(exit_text(), HasSubstr(cause));
    EXPECT_FALSE(sandbox_->spawned);
  }
}

egress::AskedRequest request_of(const std::string& body) {
  return egress::asked_request("POST", "/v1/messages", body, base::no_secrets);
}

TEST(ReplayDiff, ShowsWhatChangedWithItsSurroundings) {
  egress::ReplayMismatch mismatch;
  mismatch.number = 3;
  mismatch.expected = request_of(R"({"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"text":"one\ntwo\nthree"})");
  mismatch.asked = request_of(R"({"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"text":"one\n2\nthree"})");
  EXPECT_EQ(replay_diff(mismatch),
            "--- cassette, request 3\n+++ this run\n@@ -8,6 +8,6 @@\n   f: 6\n   text: \n     | one\n-    | two\n+    | 2\n"
            "     | three\n }\n");
}

TEST(ReplayDiff, IsBounded) {
  egress::ReplayMismatch mismatch;
  mismatch.number = 1;
  std::string items;
  for (int i = 0; i < 5000; ++i) items += (i > 0 ? "," : "") + std::to_string(i);
  mismatch.expected = request_of("{\"a\":[" + items + "]}");
  mismatch.asked = request_of("{\"b\":\"" + std::string(100'000, 'x') + "\"}");
  const auto diff = replay_diff(mismatch, 2000);
  EXPECT_LT(diff.size(), 2100u);
  EXPECT_THAT(diff, HasSubstr("(cut)"));
  for (const auto line : workspace::split_lines(replay_diff(mismatch))) EXPECT_LT(line.size(), 420u);
}

}  // namespace
}  // namespace agentrouter::keeper
