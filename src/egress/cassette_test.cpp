#include "egress/cassette.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "base/utf8.h"

namespace agentrouter::egress {
namespace {

constexpr std::string_view hidden_key = "sk-cassette-secret-1";
constexpr std::string_view responses = "/v1/responses";

net::Headers event_stream() {
  net::Headers headers;
  headers.add("Content-Type", "text/event-stream");
  headers.add("Set-Cookie", "session=1");
  headers.add("x-ratelimit-remaining-requests", "7");
  headers.add("date", "Sun, 29 Nov 2026 13:25:45 GMT");
  return headers;
}

class CassetteTest : public ::testing::Test {
 protected:
  std::string text() const {
    std::string all(1 << 20, '\0');
    const auto size = ::pread(file_.get(), all.data(), all.size(), 0);
    all.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return all;
  }
  base::Result<Cassette> read(const std::string& text) {
    const base::Fd file(::memfd_create("cassette", MFD_CLOEXEC));
    EXPECT_TRUE(base::write_all(file.get(), text));
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
    return Cassette::read(file.get());
  }
  std::string reason_of(const std::string& text) {
    const auto cassette = read(text);
    return cassette ? "" : cassette.error().reason;
  }
  CassettePlayer player(const std::string& text) {
    return {base::value_or_throw(read(text)), redactor_, [this](const ReplayMismatch& mismatch) { mismatches_.push_back(mismatch); }};
  }
  // Two requests: a stream of two events, and an error.
  std::string recorded() {
    CassetteWriter writer(file_.get(), {"codex", "gpt-5.5"}, redactor_);
    auto first = writer.begin("POST", responses, R"({"input":"one","prompt_cache_key":"x"})");
    auto second = writer.begin("POST", responses, R"({"input":"two"})");
    second->head(429, net::Headers());
    second->piece("slow down");
    second->finish();
    second.reset();
    first->head(200, event_stream());
    first->piece("event: a\ndata: 1\n");
    first->piece("\nevent: b\ndata: 2\n\n");
    first->finish();
    first.reset();
    EXPECT_TRUE(writer.end());
    return text();
  }

  base::Fd file_{::memfd_create("cassette", MFD_CLOEXEC)};
  base::Redactor redactor_{std::vector<std::string_view>{hidden_key}, base::system_entropy()};
  std::vector<ReplayMismatch> mismatches_;
};

TEST_F(CassetteTest, IsLinesInTheOrderInWhichRequestsLeft) {
  EXPECT_EQ(recorded(),
            R"({"cassette":1,"runtime":"codex","model":"gpt-5.5"})"
            "\n"
            R"({"request":1,"method":"POST","path":"/v1/responses","body":{"input":"one"}})"
            "\n"
            R"({"answer":1,"status":200,"headers":{"content-type":"text/event-stream","x-ratelimit-remaining-requests":"7"},"pieces":["event: a\ndata: 1\n\n","event: b\ndata: 2\n\n"]})"
            "\n"
            R"({"request":2,"method":"POST","path":"/v1/responses","body":{"input":"two"}})"
            "\n"
            R"({"answer":2,"status":429,"headers":{},"pieces":["slow down"]})"
            "\n"
            R"({"end":2})"
            "\n");
}

TEST_F(CassetteTest, AnswersWhatWasAsked) {
  auto player = this->player(recorded());
  const auto first = player.answer("POST", responses, R"({"prompt_cache_key":"another","input":"one"})");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body(), "event: a\ndata: 1\n\nevent: b\ndata: 2\n\n");
  EXPECT_EQ(first.chunks.size(), 2u);
  EXPECT_TRUE(first.is_event_stream());
  EXPECT_EQ(player.answer("POST", responses, R"({"input":"two"})").status, 429);
  EXPECT_EQ(player.answered(), 2u);
  EXPECT_TRUE(mismatches_.empty());
}

TEST_F(CassetteTest, RequestsAtTheSameTimeMayComeInAnotherOrder) {
  auto player = this->player(recorded());
  EXPECT_EQ(player.answer("POST", responses, R"({"input":"two"})").status, 429);
  EXPECT_EQ(player.answer("POST", responses, R"({"input":"one"})").status, 200);
  EXPECT_EQ(player.answer("POST", responses, R"({"input":"one"})").status, 400) << "each answer once";
  ASSERT_EQ(mismatches_.size(), 1u);
  EXPECT_FALSE(mismatches_[0].expected);
}

TEST_F(CassetteTest, AnotherRequestIsAMismatchAndSoIsAllThatFollows) {
  auto player = this->player(recorded());
  EXPECT_EQ(player.answer("POST", responses, R"({"input":"three"})").status, 400);
  EXPECT_EQ(player.answer("POST", responses, R"({"input":"one"})").status, 400);
  ASSERT_EQ(mismatches_.size(), 1u);
  EXPECT_EQ(mismatches_[0].number, 1u);
  ASSERT_TRUE(mismatches_[0].expected);
  EXPECT_EQ(base::to_text(mismatches_[0].expected->body), R"({"input":"one"})");
  EXPECT_EQ(base::to_text(mismatches_[0].asked.body), R"({"input":"three"})");
}

TEST_F(CassetteTest, AnotherPathOrMethodIsAnotherRequest) {
  auto player = this->player(recorded());
  EXPECT_EQ(player.answer("POST", "/v1/messages", R"({"input":"one"})").status, 400);
  EXPECT_EQ(mismatches_.size(), 1u);
}

TEST_F(CassetteTest, HoldsNoSecretAndStillFitsARunThatHasNone) {
  const std::string body = R"({"input":"key is )" + std::string(hidden_key) + R"("})";
  CassetteWriter writer(file_.get(), {"codex", "gpt-5.5"}, redactor_);
  auto take = writer.begin("POST", responses, body);
  net::Headers headers;
  headers.add("x-request-id", "req " + std::string(hidden_key));
  take->head(200, headers);
  take->piece("say ");
  take->piece(hidden_key.substr(0, 9));
  take->piece(hidden_key.substr(9));
  take->finish();
  take.reset();
  ASSERT_TRUE(writer.end());
  EXPECT_EQ(text().find(hidden_key.substr(4, 12)), std::string::npos) << text();
  auto player = this->player(text());
  EXPECT_EQ(player.answer("POST", responses, body).body(), "say [REDACTED]");
}

// Each has something in it that a canonical text writes otherwise.
constexpr std::array<std::string_view, 6> changing_secrets{
    "prod-2024-01-05-verySecretTail0123xyz",
    "k/12:30:45.25/verySecretTail0123xyz",
    "verySecretTail0123xyz-6f1d0ab2-3c4d-4e5f-8a9b-0c1d2e3f4a5b",
    "Wall time: verySecretTail0123xyz",
    "cch=0123456789abcdef/verySecretTail0123xyz",
    "verySecretTail0123xyz\xff-1.25s",
};

TEST_F(CassetteTest, NothingIsKeptOfASecretThatACanonicalTextWouldWriteOtherwise) {
  for (const auto secret : changing_secrets) {
    ASSERT_EQ(::ftruncate(file_.get(), 0), 0);
    ASSERT_EQ(::lseek(file_.get(), 0, SEEK_SET), 0);
    redactor_ = base::Redactor(std::vector<std::string_view>{secret}, base::system_entropy());
    const std::string in_text = "the key is " + std::string(secret);
    const std::string in_path = "/v1/x?key=" + std::string(secret);
    const std::string in_json =
        base::is_utf8(secret) ? base::to_text(json::object{{"input", in_text}}) : "{}";
    CassetteWriter writer(file_.get(), {"codex", "gpt-5.5"}, redactor_);
    for (const auto& body : {in_text, in_json}) {
      auto take = writer.begin("POST", in_path, body);
      net::Headers headers;
      headers.add("x-request-id", in_text);
      take->head(200, headers);
      take->piece("fine");
      take->finish();
    }
    ASSERT_TRUE(writer.end());
    EXPECT_EQ(text().find("verySecret"), std::string::npos) << text();
    EXPECT_EQ(text().find("Tail0123xyz"), std::string::npos) << text();
    auto play = player(text());
    for (const auto& body : {in_text, in_json})
      EXPECT_EQ(play.answer("POST", in_path, body).status, 200) << secret;
    EXPECT_TRUE(mismatches_.empty());
  }
}

TEST_F(CassetteTest, ASecretWithEscapesThatItDoesNotNeedOrThatIsANumberIsKnownToo) {
  const std::string number = "48151623421234567890";
  redactor_ = base::Redactor(std::vector<std::string_view>{hidden_key, number}, base::system_entropy());
  CassetteWriter writer(file_.get(), {"codex", "m"}, redactor_);
  const std::string escaped = R"({"input":"\u0073k-cassette-\u0073ecret-1"})";
  const std::string counted = "{\"input\":" + number + "}";
  for (const auto& body : {escaped, counted}) {
    auto take = writer.begin("POST", responses, body);
    take->head(200, net::Headers());
  }
  ASSERT_TRUE(writer.end());
  EXPECT_EQ(text().find("cassette-"), std::string::npos) << text();
  EXPECT_EQ(text().find("4815"), std::string::npos) << text();
  EXPECT_EQ(text().find("4.815"), std::string::npos) << text();
  auto play = player(text());
  for (const auto& body : {escaped, counted}) EXPECT_EQ(play.answer("POST", responses, body).status, 200);
}

TEST_F(CassetteTest, AHeaderWhoseNameHoldsASecretIsLeftOut) {
  redactor_ = base::Redactor(std::vector<std::string_view>{"Hidden-Name-1"}, base::system_entropy());
  CassetteWriter writer(file_.get(), {"codex", "m"}, redactor_);
  auto take = writer.begin("POST", responses, "{}");
  net::Headers headers;
  headers.add("x-codex-Hidden-Name-1", "x");
  take->head(200, headers);
  take.reset();
  ASSERT_TRUE(writer.end());
  EXPECT_EQ(text().find("hidden-name"), std::string::npos) << text();
}

TEST_F(CassetteTest, ARequestWithoutASecretIsTheSameForWhoKnowsOthersOrNone) {
  const std::string body = R"({"b":"2024-01-05, 12:30:45","a":{"n":1.5,"list":[1, 2]}})";
  CassetteWriter writer(file_.get(), {"codex", "m"}, redactor_);
  for (const auto& asked : {body, std::string("[1, 2]"), std::string("no JSON 12:30:45")})
    writer.begin("POST", "/v1/x?a=1", asked)->head(200, net::Headers());
  ASSERT_TRUE(writer.end());
  for (const auto& other :
       {base::Redactor(),
        base::Redactor(std::vector<std::string_view>{"another-secret-1"}, base::system_entropy())}) {
    redactor_ = other;
    auto play = player(text());
    for (const auto& asked : {body, std::string("[1, 2]"), std::string("no JSON 12:30:45")})
      EXPECT_EQ(play.answer("POST", "/v1/x?a=1", asked).status, 200) << asked;
  }
  EXPECT_TRUE(mismatches_.empty());
}

TEST_F(CassetteTest, AMismatchTellsNoSecret) {
  redactor_ = base::Redactor(std::vector<std::string_view>{changing_secrets[0]}, base::system_entropy());
  auto play = player(recorded());
  (void)play.answer("POST", "/v1/" + std::string(changing_secrets[0]),
                    R"({"input":")" + std::string(changing_secrets[0]) + R"("})");
  ASSERT_EQ(mismatches_.size(), 1u);
  EXPECT_EQ(mismatches_[0].asked.path, "/v1/[REDACTED]");
  EXPECT_EQ(base::to_text(mismatches_[0].asked.body), R"({"input":"[REDACTED]"})");
}

TEST_F(CassetteTest, ASecretOverSeveralEventsIsTakenOutAndTheAnswerStillPlays) {
  CassetteWriter writer(file_.get(), {"claude_code", "m"}, redactor_);
  const auto record = [&](std::string_view end) {
    auto take = writer.begin("POST", "/v1/messages", "{}");
    take->head(200, event_stream());
    for (const std::string_view part :
         {hidden_key.substr(0, 7), hidden_key.substr(7, 5), hidden_key.substr(12)})
      take->piece(
          "event: d\ndata: "
          "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" +
          std::string(part) + "\"}}\n\n");
    take->piece(end);
  };
  record("event: stop\ndata: {}\n\n");
  record("data: cut within a character \xc3");
  ASSERT_TRUE(writer.end());
  auto player = this->player(text());
  for (int i = 0; i < 2; ++i) {
    const auto answer = player.answer("POST", "/v1/messages", "{}");
    const auto body = answer.body();
    EXPECT_NE(body.find(R"("text":"[REDACTED]")"), std::string::npos) << body;
    for (const std::string_view part :
         {hidden_key.substr(0, 7), hidden_key.substr(7, 5), hidden_key.substr(12)})
      EXPECT_EQ(body.find("\"" + std::string(part) + "\""), std::string::npos) << body;
    if (i == 0) {
      EXPECT_EQ(answer.chunks.size(), 4u);
    }
  }
}

TEST_F(CassetteTest, CutAnswersAndBytesThatAreNoTextComeBackAsTheyWere) {
  CassetteWriter writer(file_.get(), {"claude_code", "m"}, redactor_);
  auto take = writer.begin("POST", "/v1/messages", "{}");
  take->head(200, event_stream());
  take->piece(std::string_view("\xff\0z", 3));
  take.reset();
  auto lost = writer.begin("POST", "/v1/messages", "{}");
  lost.reset();
  ASSERT_TRUE(writer.end());
  auto player = this->player(text());
  const auto cut = player.answer("POST", "/v1/messages", "{}");
  EXPECT_EQ(cut.body(), std::string("\xff\0z", 3));
  EXPECT_EQ(cut.ending, sim::Ending::cut);
  EXPECT_EQ(player.answer("POST", "/v1/messages", "{}").status, 502) << "lost before it said anything";
}

TEST_F(CassetteTest, ASecretInBytesThatAreNoTextLeavesACassetteThatCanBePlayed) {
  CassetteWriter writer(file_.get(), {"codex", "gpt-5.5"}, redactor_);
  auto take = writer.begin("POST", responses, "{}");
  take->head(200, net::Headers());
  take->piece("\xff" + std::string(hidden_key) + "\xfe");
  take->finish();
  take.reset();
  ASSERT_TRUE(writer.end());
  EXPECT_EQ(player(text()).answer("POST", responses, "{}").body(), "\xff[REDACTED]\xfe");
}

TEST_F(CassetteTest, WhatOnlyLooksLikeASecretInBase64IsLeftOutWhole) {
  std::string almost(hidden_key);
  ++almost.back();
  CassetteWriter writer(file_.get(), {"codex", "gpt-5.5"}, redactor_);
  for (std::size_t before = 1; before <= 3; ++before) {
    auto take = writer.begin("POST", responses, "{}");
    take->head(200, net::Headers());
    take->piece(std::string(before, '\xff') + almost + "\xfe");
    take->finish();
  }
  ASSERT_TRUE(writer.end());
  auto play = player(text());
  int left_out = 0;
  for (std::size_t before = 1; before <= 3; ++before) {
    const auto body = play.answer("POST", responses, "{}").body();
    if (body == "[REDACTED]") ++left_out;
    else EXPECT_EQ(body, std::string(before, '\xff') + almost + "\xfe");
  }
  EXPECT_GT(left_out, 0);
}

TEST_F(CassetteTest, ARequestThatIsNoTextLeavesACassetteThatCanBePlayed) {
  CassetteWriter writer(file_.get(), {"codex", "gpt-5.5"}, redactor_);
  auto take = writer.begin("POST", "/v1/responses?\xff", "\xff\xfe{");
  take->head(200, net::Headers());
  take->piece("fine");
  take->finish();
  take.reset();
  ASSERT_TRUE(writer.end());
  EXPECT_EQ(player(text()).answer("POST", "/v1/responses?\xff", "\xff\xfe{").body(), "fine");
}

TEST_F(CassetteTest, BrokenOnesAreRefusedWithTheReason) {
  const std::string good = recorded();
  EXPECT_EQ(reason_of(good), "");
  EXPECT_EQ(reason_of(""), "ended_early");
  EXPECT_EQ(reason_of(good.substr(0, good.size() - 1)), "ended_early") << "in its last line";
  EXPECT_EQ(reason_of(good.substr(0, good.rfind("{\"end\""))), "ended_early");
  EXPECT_EQ(reason_of("{\"cassette\":2}\n"), "version");
  EXPECT_EQ(reason_of("{\"x\":2}\n"), "malformed");
  EXPECT_EQ(reason_of("garbage\n"), "malformed");
  EXPECT_EQ(reason_of(good + good), "malformed");
  const std::string head = "{\"cassette\":1}\n";
  for (const std::string lines :
       {"{}\n", "[]\n", "{\"end\":1}\n", "{\"answer\":1,\"status\":200,\"headers\":{},\"pieces\":[]}\n",
        "{\"request\":2,\"method\":\"POST\",\"path\":\"/\",\"body\":{}}\n", "{\"request\":1,\"method\":\"POST\",\"path\":\"/\"}\n",
        "{\"request\":1,\"method\":\"POST\",\"path\":\"/\",\"body\":{}}\n{\"end\":1}\n",
        "{\"request\":1,\"method\":\"POST\",\"path\":\"/\",\"body\":{}}\n{\"answer\":1,\"status\":600,\"headers\":{},\"pieces\":[]}\n",
        "{\"request\":1,\"method\":\"POST\",\"path\":\"/\",\"body\":{}}\n{\"answer\":1,\"status\":200,\"headers\":{\"a\":1},\"pieces\":[]}\n",
        "{\"request\":1,\"method\":\"POST\",\"path\":\"/\",\"body\":{}}\n{\"answer\":1,\"status\":200,\"headers\":{},\"pieces\":[1]}\n",
        "{\"request\":1,\"method\":\"POST\",\"path\":\"/\",\"body\":{}}\n{\"answer\":1,\"status\":200,\"headers\":{},\"base64\":[\"*\"]}\n"})
    EXPECT_EQ(reason_of(head + lines), "malformed") << lines;
}

TEST_F(CassetteTest, TooLargeOnesAreRefusedUnread) {
  ASSERT_EQ(::ftruncate(file_.get(), static_cast<off_t>(cassette_bytes + 1)), 0);
  const auto cassette = Cassette::read(file_.get());
  ASSERT_FALSE(cassette);
  EXPECT_EQ(cassette.error().reason, "too_large");
}

TEST_F(CassetteTest, RecordingThatGrowsTooLargeIsNotCompleted) {
  CassetteWriter writer(file_.get(), {"codex", "m"}, redactor_);
  auto take = writer.begin("POST", responses, "{}");
  take->head(200, event_stream());
  const std::string piece(16u << 20, 'x');
  for (int i = 0; i < 3; ++i) take->piece(piece);
  take.reset();
  const auto ended = writer.end();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().reason, "too_large");
  EXPECT_EQ(text().find("\"end\""), std::string::npos);
}

}  // namespace
}  // namespace agentrouter::egress
