#include "keeper/redact.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace agentrouter::keeper {
namespace {

using Text = Redactor::Text;

std::string cleaned(const Redactor& redactor, std::string text, Text kind = Text::plain) {
  redactor.clean(text, kind);
  return text;
}

std::string base64_of(const std::string& bytes, const char* last_two) {
  const std::string alphabet =
      std::string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") + last_two;
  std::string text;
  unsigned bits = 0;
  int count = 0;
  for (const unsigned char c : bytes) {
    bits = bits << 8 | c;
    for (count += 8; count >= 6; count -= 6) text += alphabet[bits >> (count - 6) & 63];
  }
  if (count > 0) text += alphabet[bits << (6 - count) & 63];
  return text;
}

constexpr std::string_view secret = "s3cr3t/word+\"of\\mcp";

TEST(Redactor, ValuesDisappearWhereverTheyStand) {
  const Redactor redactor({"sk-provider-key", "Bearer mcp-word-1"});
  EXPECT_EQ(cleaned(redactor, "a sk-provider-key b mcp-word-1 sk-provider-key"),
            "a [REDACTED] b [REDACTED] [REDACTED]");
  EXPECT_EQ(cleaned(redactor, "nothing"), "nothing");
  std::string text = "nothing";
  EXPECT_FALSE(redactor.clean(text, Text::plain));
}

TEST(Redactor, EncodingsOfAValueDisappearToo) {
  const Redactor redactor({secret});
  const std::string value(secret);
  const std::string hex = "7333637233742f776f72642b226f665c6d6370";
  std::string upper = hex;
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'f' ? c - 32 : c);
  for (const auto& form :
       {hex, upper, std::string("s3cr3t%2Fword%2B%22of%5Cmcp"), std::string("s3cr3t%2fword%2b%22of%5cmcp"),
        base::to_text(json::value(value)), base::to_text(json::value(base::to_text(json::value(value))))})
    EXPECT_NE(cleaned(redactor, "x " + form).find("[REDACTED]"), std::string::npos) << form;
  // Whatever stands before it: `Basic` credentials hold it behind a name.
  for (const std::string before : {"", "u", "us", "usr", "user:"}) {
    for (const auto* last_two : {"+/", "-_"}) {
      const auto form = base64_of(before + value + "...", last_two);
      EXPECT_NE(cleaned(redactor, form).find("[REDACTED]"), std::string::npos) << form;
    }
  }
}

TEST(Redactor, JsonStaysJson) {
  const Redactor redactor({"newline-secret", std::string(secret)});
  // \n and what follows is not the secret, and must not be torn apart.
  const std::string line = base::to_text(json::object{{"a", "\newline-secret"}, {"b", std::string(secret)}});
  const auto clean = cleaned(redactor, line, Text::json);
  const auto read = base::parse_json(clean);
  ASSERT_TRUE(read) << clean;
  EXPECT_EQ(read->at("a"), "\newline-secret");
  EXPECT_EQ(read->at("b"), "[REDACTED]");
  EXPECT_EQ(cleaned(redactor, R"(\\newline-secret)", Text::json), R"(\\[REDACTED])");
  EXPECT_EQ(cleaned(redactor, R"(\newline-secret)"), R"(\[REDACTED])");
}

TEST(Redactor, WhatIsTooShortIsNoSecret) {
  const Redactor redactor({"blue", "Bearer x", ""});
  EXPECT_EQ(cleaned(redactor, "blue Bearer x"), "blue [REDACTED]");
  const Redactor none({"blue"});
  EXPECT_EQ(cleaned(none, "blue"), "blue");
}

}  // namespace
}  // namespace agentrouter::keeper
