#include <gtest/gtest.h>

#include <random>

#include "base/fd.h"
#include "egress/key_filter.h"
#include "egress/secret.h"
#include "egress/usage.h"

namespace agentrouter::egress {
namespace {

TEST(Secret, KeepsWhatFitsAHeader) {
  EXPECT_EQ("sk-abc", Secret::create(" sk-abc\r\n")->view());
  EXPECT_FALSE(Secret::create(""));
  EXPECT_FALSE(Secret::create(" \n"));
  EXPECT_FALSE(Secret::create("a b"));
  EXPECT_FALSE(Secret::create("a\r\nX: y"));
  EXPECT_FALSE(Secret::create("sch\xc3\xbcssel"));
  EXPECT_TRUE(Secret::create(std::string(Secret::max_bytes, 'k')));
  EXPECT_FALSE(Secret::create(std::string(Secret::max_bytes + 1, 'k')));
}

TEST(Secret, IsReadFromAPipeToItsEnd) {
  auto pipe = base::make_pipe().value();
  ASSERT_TRUE(base::write_all(pipe.second.get(), "sk-from-"));
  ASSERT_TRUE(base::write_all(pipe.second.get(), "pipe\n"));
  pipe.second.reset();
  auto secret = Secret::read_from(pipe.first.get());
  ASSERT_TRUE(secret);
  const auto moved = std::move(*secret);
  EXPECT_EQ("sk-from-pipe", moved.view());
}

TEST(Secret, EndlessPipeIsRefused) {
  auto pipe = base::make_pipe().value();
  ASSERT_TRUE(base::write_all(pipe.second.get(), std::string(Secret::max_bytes + 100, 'k')));
  const auto secret = Secret::read_from(pipe.first.get());
  ASSERT_FALSE(secret);
  EXPECT_EQ(base::Code::invalid, secret.error().code);
}

TEST(Secret, OfAFieldMayHoldBlanksAndIsReadToItsSize) {
  EXPECT_EQ("Bearer abc", Secret::create_field("Bearer abc\n")->view());
  for (const auto* text : {"", " ", "a\r\nX: y", "a\tb"}) EXPECT_FALSE(Secret::create_field(text)) << text;
  EXPECT_FALSE(Secret::create_field(std::string(Secret::max_bytes + 1, 'k')));
  auto pipe = base::make_pipe().value();
  ASSERT_TRUE(base::write_all(pipe.second.get(), "Bearer abcsk-rest"));
  pipe.second.reset();
  EXPECT_EQ("Bearer abc", Secret::read_field(pipe.first.get(), 10)->view());
  EXPECT_FALSE(Secret::read_field(pipe.first.get(), 0));
  EXPECT_FALSE(Secret::read_field(pipe.first.get(), Secret::max_bytes + 1));
  EXPECT_EQ("sk-rest", Secret::read_field(pipe.first.get(), 7)->view());
  EXPECT_FALSE(Secret::read_field(pipe.first.get(), 1));
}

TEST(SecretBuffer, WipeLeavesNothing) {
  SecretBuffer buffer(16);
  buffer.append("secret");
  const auto* data = buffer.view().data();
  buffer.wipe();
  EXPECT_EQ(0u, buffer.size());
  EXPECT_EQ(std::string(6, '\0'), std::string(data, 6));
  EXPECT_DEATH(buffer.append(std::string(17, 'x')), "");
}

TEST(KeyFilter, PassesEverythingButTheKeyInPiecesOfAnySize) {
  const std::string key = "abababac";
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += static_cast<char>('a' + random() % 3);
    if (round % 3 == 0) text.insert(random() % text.size(), key);
    KeyFilter filter(key);
    std::string out;
    bool found = false;
    for (std::size_t at = 0; at < text.size() && !found;) {
      const auto size = 1 + random() % 9;
      found = filter.feed(std::string_view(text).substr(at, size), out) == KeyFilter::Verdict::found;
      at += size;
    }
    if (!found) filter.finish(out);
    ASSERT_EQ(text.find(key) != std::string::npos, found) << text;
    ASSERT_EQ(text.substr(0, text.find(key)), out) << text;
  }
}

TEST(KeyFilters, FindEachKeyInPiecesOfAnySizeAndLoseNothing) {
  const std::string keys[] = {"abababac", "bacbacbac"};
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += static_cast<char>('a' + random() % 3);
    if (round % 3 != 0) text.insert(random() % text.size(), keys[round % 2]);
    KeyFilters filters({KeyFilter(keys[0]), KeyFilter("short"), KeyFilter(keys[1])});
    std::string out;
    auto verdict = KeyFilter::Verdict::clean;
    for (std::size_t at = 0; at < text.size() && verdict == KeyFilter::Verdict::clean;) {
      const auto size = 1 + random() % 9;
      verdict = filters.feed(std::string_view(text).substr(at, size), out);
      at += size;
    }
    if (verdict == KeyFilter::Verdict::clean) verdict = filters.finish(out);
    const auto first = std::min(text.find(keys[0]), text.find(keys[1]));
    ASSERT_EQ(first != std::string::npos, verdict == KeyFilter::Verdict::found) << text;
    ASSERT_EQ(filters.occurs_in(text), verdict == KeyFilter::Verdict::found) << text;
    ASSERT_TRUE(text.starts_with(out)) << text;
    if (verdict == KeyFilter::Verdict::clean) ASSERT_EQ(text, out);
    for (const auto& key : keys) ASSERT_EQ(out.find(key), std::string::npos);
  }
}

bool is_found(std::string_view text, std::string_view key) {
  const KeyForms forms(key);
  const KeyFilters filters(forms.filters());
  return filters.occurs_in(text);
}

TEST(KeyForms, AreFoundInEveryUsualCoding) {
  constexpr std::string_view key = "sk-0123/456+789\"x";
  for (const auto* text :
       {"a sk-0123/456+789\"x", "c2stMDEyMy80NTYrNzg5Ing=", "YXNrLTAxMjMvNDU2Kzc4OSJ4", "YWJzay0wMTIzLzQ1Nis3ODkieA",
        "736b2d303132332f3435362b3738392278", "736B2D303132332F3435362B3738392278", "sk-0123%2f456%2b789%22x",
        "sk-0123%2F456%2B789%22x", "sk-0123/456+789\\\"x", "sk-0123\\/456+789\\\"x", "sk-0123/456+789\\\\\\\"x",
        "%73%6b%2d%30%31%32%33%2f%34%35%36%2b%37%38%39%22%78"})
    EXPECT_TRUE(is_found(text, key)) << text;
  EXPECT_FALSE(is_found("sk-0123/456+789", key));
}

TEST(KeyForms, OfAFieldAreThoseOfItsLastWordUnlessItIsShort) {
  EXPECT_TRUE(is_found("the token 0123456789", "Bearer 0123456789"));
  EXPECT_FALSE(is_found("the token 0123", "Bearer 0123"));
  EXPECT_TRUE(is_found("field Bearer 0123", "Bearer 0123"));
}

TEST(KeyForms, InBase64AreFoundAtEveryPlaceAndLength) {
  const auto encode = [](const std::string& text) {
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string out;
    unsigned bits = 0;
    int held = 0;
    for (const char c : text) {
      bits = bits << 8 | static_cast<unsigned char>(c);
      for (held += 8; held >= 6; held -= 6) out += letters[bits >> (held - 6) & 63];
    }
    if (held > 0) out += letters[bits << (6 - held) & 63];
    return out;
  };
  for (std::size_t size = 12; size < 18; ++size) {
    const std::string key = std::string("k\xff\xfe-9_~abcdefghij").substr(0, size);
    for (std::size_t before = 0; before < 7; ++before) {
      for (std::size_t behind = 0; behind < 4; ++behind)
        EXPECT_TRUE(is_found(encode(std::string(before, '?') + key + std::string(behind, '>')), key))
            << size << " " << before << " " << behind;
    }
  }
}

TEST(KeyForms, OfAPlaceholderAreNotSearchedFor) {
  EXPECT_TRUE(KeyForms("sim").filters().empty());
}

TEST(KeyFilter, HoldsBackOnlyWhatMayBecomeTheKey) {
  KeyFilter filter("sk-123456");
  std::string out;
  EXPECT_EQ(KeyFilter::Verdict::clean, filter.feed("data: sk", out));
  EXPECT_EQ("data: ", out);
  EXPECT_EQ(KeyFilter::Verdict::clean, filter.feed("y\n\n", out));
  EXPECT_EQ("data: sky\n\n", out);
}

TEST(KeyFilter, PlaceholdersAreNotSearchedFor) {
  KeyFilter filter("sim");
  std::string out;
  EXPECT_EQ(KeyFilter::Verdict::clean, filter.feed("similar", out));
  EXPECT_EQ("similar", out);
  EXPECT_FALSE(filter.occurs_in("sim"));
}

constexpr std::string_view openai_stream =
    "event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\r\n\r\n"
    ": comment\n\nevent: response.output_text.delta\ndata: "
    "{\"delta\":\"\\\"usage\\\":{\\\"input_tokens\\\":1}\",\"usage\":[{\"input_tokens\":5}],\"x\":{\"usage\":"
    "{\"input_tokens\":6}}}\n\n"
    "event: response.completed\ndata: "
    "{\"type\":\"response.completed\",\"response\":{\"output\":[{\"a\":{\"b\":[1,2,{}]}}],\n"
    "data: "
    "\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":40},\"output_tokens\": 9 ,"
    "\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":109}}}\n\n";

TEST(UsageMeter, ReadsEventsInPiecesOfAnySize) {
  for (std::size_t size = 1; size <= openai_stream.size(); ++size) {
    UsageMeter meter(UsageMeter::Format::events);
    for (std::size_t at = 0; at < openai_stream.size(); at += size)
      meter.feed(openai_stream.substr(at, size));
    ASSERT_TRUE(meter.usage()) << size;
    ASSERT_EQ(100, meter.usage()->input_tokens) << size;
    ASSERT_EQ(40, meter.usage()->cached_input_tokens) << size;
    ASSERT_EQ(9, meter.usage()->output_tokens) << size;
    ASSERT_EQ(0, meter.usage()->reasoning_output_tokens) << size;
  }
}

TEST(UsageMeter, ReadsOneDocument) {
  UsageMeter meter(UsageMeter::Format::json);
  meter.feed(R"({"id":"r","usage":{"input_tokens":3,"output_tokens":4}})");
  EXPECT_EQ(3, meter.usage()->input_tokens);
  EXPECT_EQ(4, meter.usage()->output_tokens);
  EXPECT_FALSE(meter.usage()->cached_input_tokens);
}

TEST(UsageMeter, LaterCountsOfAnAnthropicStreamWin) {
  UsageMeter meter(UsageMeter::Format::events);
  meter.feed(
      "data: "
      "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":4,"
      "\"output_tokens\":1}}}\n\n");
  meter.feed("data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":25}}\n\n");
  EXPECT_EQ(10, meter.usage()->input_tokens);
  EXPECT_EQ(4, meter.usage()->cached_input_tokens);
  EXPECT_EQ(25, meter.usage()->output_tokens);
}

TEST(UsageMeter, StrangeNumbersAndBrokenDocumentsCountNothing) {
  for (const auto* text :
       {R"({"usage":{"input_tokens":-1}})", R"({"usage":{"input_tokens":1.5}})",
        R"({"usage":{"input_tokens":1e3}})", R"({"usage":{"input_tokens":12345678901234567890}})",
        R"({"usage":{"input_tokens":"7"}})", R"(}}}]]]{"a":)", R"({"usage\u0000":{"input_tokens":1}})",
        R"([{"usage":{"input_tokens":1}}])", ""}) {
    UsageMeter meter(UsageMeter::Format::json);
    meter.feed(text);
    EXPECT_FALSE(meter.usage()) << text;
  }
}

TEST(UsageMeter, KnowsItsFormats) {
  EXPECT_EQ(UsageMeter::Format::events, UsageMeter::format_of("Text/Event-Stream; charset=utf-8"));
  EXPECT_EQ(UsageMeter::Format::json, UsageMeter::format_of("application/json"));
  EXPECT_EQ(UsageMeter::Format::none, UsageMeter::format_of("text/html"));
}

}  // namespace
}  // namespace agentrouter::egress
