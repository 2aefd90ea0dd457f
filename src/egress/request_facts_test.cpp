#include "egress/request_facts.h"

#include <gtest/gtest.h>

namespace agentrouter::egress {
namespace {

base::Result<RequestFacts> facts_of(std::string_view body, std::string_view path = "/v1/responses") {
  return read_request(path, {}, body);
}

TEST(RequestFacts, HoldWhatBothApisSay) {
  const auto openai = facts_of(R"({"model":"gpt-5.5","max_output_tokens":100,"input":"four"})").value();
  EXPECT_EQ("gpt-5.5", openai.model);
  EXPECT_EQ(100, openai.max_output);
  EXPECT_FALSE(openai.anthropic);
  const auto anthropic = facts_of(R"({"model":"claude-x","max_tokens":7})", "/v1/messages").value();
  EXPECT_EQ(7, anthropic.max_output);
  EXPECT_TRUE(anthropic.anthropic);
  EXPECT_TRUE(facts_of(R"({"model":"claude-x"})", "/v1/messages/count_tokens")->only_counts);
}

TEST(RequestFacts, PicturesAreCountedAndTheirBytesAreNoText) {
  const auto facts = facts_of(R"({"model":"m","input":[{"type":"input_image","image_url":"data:)" +
                              std::string(10'000, 'A') + R"("}]})")
                         .value();
  EXPECT_EQ(1, facts.size.images);
  EXPECT_LT(facts.size.text_bytes, 100);
  EXPECT_GT(facts.size.bytes, 10'000);
}

TEST(RequestFacts, WhatMayBeReadInTwoWaysIsRefused) {
  for (const auto* body :
       {"", "[]", "{", R"({"input":"x"})", R"({"model":1})", R"({"model":"a","model":"b"})",
        R"({"model":"a","mod\u0065l":"b"})", R"({"model":"a","max_output_tokens":"9"})",
        R"({"model":"a","max_output_tokens":-1})", R"({"model":"a","background":true})",
        R"({"model":"a","previous_response_id":"resp_1"})", R"({"model":"a","conversation":"c"})",
        R"({"model":"a","prompt":{"id":"p"}})", R"({"model":"a","service_tier":"priority"})",
        R"({"model":"a","speed":"fast"})", "{\"model\":\"\xff\"}"}) {
    const auto read = facts_of(body);
    ASSERT_FALSE(read) << body;
    EXPECT_EQ("request_not_understood", read.error().reason) << body;
  }
  net::Headers zipped;
  zipped.add("content-encoding", "zstd");
  EXPECT_FALSE(read_request("/v1/responses", zipped, R"({"model":"a"})"));
}

TEST(RequestFacts, KeysBelowTheTopAndNullsAreNoReason) {
  EXPECT_TRUE(facts_of(
      R"({"model":"a","previous_response_id":null,"service_tier":"auto","tools":[{"model":"b"},{"model":"c"}],"x":{"a":1,"a":2}})"));
}

TEST(UsageReports, AnthropicCountsItsCacheBesideTheInput) {
  const Usage usage{
      .input_tokens = 10, .cached_input_tokens = 100, .cache_write_tokens = 1000, .output_tokens = 5};
  EXPECT_EQ(1110, report_of(usage, true).input);
  EXPECT_EQ(10, report_of(usage, false).input);
  EXPECT_FALSE(report_of(std::nullopt, true).output);
}

std::int64_t text_of(const std::vector<std::string>& events) {
  UsageMeter meter(UsageMeter::Format::events);
  for (const auto& event : events) meter.feed("data: " + event + "\n\n");
  return meter.text_bytes();
}

TEST(TextCount, WhatAStreamSaysSeveralTimesCountsOnce) {
  EXPECT_EQ(
      5,
      text_of(
          {R"({"type":"response.output_text.delta","item_id":"i","delta":"Hello","obfuscation":"xyz"})",
           R"({"type":"response.output_text.done","text":"Hello"})",
           R"({"type":"response.output_item.done","item":{"id":"i","type":"message","content":[{"type":"output_text","text":"Hello"}]}})",
           R"({"type":"response.completed","response":{"output":[{"content":[{"text":"Hello"}]}]}})"}));
}

TEST(TextCount, AnswersWithoutPiecesAreCountedToo) {
  EXPECT_EQ(3,
            text_of({R"({"item":{"type":"function_call","name":"exec","call_id":"c","arguments":"abc"}})"}));
  EXPECT_EQ(4, text_of({R"({"response":{"output":[{"content":[{"text":"abcd"}]}]}})"}));
}

TEST(TextCount, OfAnthropicHoldsTextToolInputAndThinking) {
  EXPECT_EQ(
      9,
      text_of({R"({"type":"content_block_delta","delta":{"type":"text_delta","text":"abc"}})",
               R"({"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{\"a"}})",
               R"({"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"abc"}})",
               R"({"type":"content_block_delta","delta":{"type":"signature_delta","signature":"ffff"}})"}));
}

TEST(TextCount, OfADocumentAndOfWhatIsNeither) {
  UsageMeter json(UsageMeter::Format::json);
  json.feed(R"({"content":[{"type":"text","text":"abcdef"}],"usage":{"output_tokens":2}})");
  EXPECT_EQ(6, json.text_bytes());
  UsageMeter none(UsageMeter::Format::none);
  none.feed("0123456789");
  EXPECT_EQ(10, none.text_bytes());
}

}  // namespace
}  // namespace agentrouter::egress
