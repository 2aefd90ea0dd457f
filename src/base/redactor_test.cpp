#include "base/redactor.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/shown.h"

namespace agentrouter::base {
namespace {

using Text = Redactor::Text;

Redactor hiding(const std::vector<std::string_view>& secrets) {
  return {secrets, system_entropy()};
}

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
  const Redactor redactor = hiding({"sk-provider-key", "Bearer mcp-word-1"});
  EXPECT_EQ(cleaned(redactor, "a sk-provider-key b mcp-word-1 sk-provider-key"),
            "a [REDACTED] b [REDACTED] [REDACTED]");
  EXPECT_EQ(cleaned(redactor, "nothing"), "nothing");
  std::string text = "nothing";
  EXPECT_FALSE(redactor.clean(text, Text::plain));
}

TEST(Redactor, EncodingsOfAValueDisappearToo) {
  const Redactor redactor = hiding({secret});
  const std::string value(secret);
  const std::string hex = "7333637233742f776f72642b226f665c6d6370";
  std::string upper = hex;
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'f' ? c - 32 : c);
  for (const auto& form :
       {hex, upper, std::string("s3cr3t%2Fword%2B%22of%5Cmcp"), std::string("s3cr3t%2fword%2b%22of%5cmcp"),
        to_text(json::value(value)), to_text(json::value(to_text(json::value(value))))})
    EXPECT_NE(cleaned(redactor, "x " + form).find("[REDACTED]"), std::string::npos) << form;
  // Whatever stands before it: `Basic` credentials hold it behind a name.
  for (const std::string before : {"", "u", "us", "usr", "user:"}) {
    for (const auto* last_two : {"+/", "-_"}) {
      const auto form = base64_of(before + value + "...", last_two);
      EXPECT_NE(cleaned(redactor, form).find("[REDACTED]"), std::string::npos) << form;
    }
  }
}

TEST(Redactor, WhatLibrariesLeaveAsItIsHidesNoValue) {
  const Redactor redactor = hiding({"ab'c/d+e=f&g-h~i!j=="});
  for (const std::string form : {"ab%27c/d%2Be%3Df%26g-h~i%21j%3D%3D",                // quote() of Python
                                 "ab'c%2Fd%2Be%3Df%26g-h~i!j%3D%3D",                  // encodeURIComponent()
                                 "ab'c/d+e=f&g-h~i!j==",                              // encodeURI()
                                 "ab%27c%2fd%2be%3df%26g-h%7ei%21j%3d%3d",            // forms
                                 R"(ab'c/d+e=f\u0026g-h~i!j==)",                      // Go
                                 R"(ab\u0027c/d+e\u003df\u0026g-h~i!j\u003d\u003d)",  // Gson
                                 R"(ab\u0027c\/d+e=f\u0026g-h~i!j==)",                // PHP
                                 R"(ab\u0027c/d\u002Be=f\u0026g-h~i!j==)",            // .NET
                                 "ab&#x27;c/d+e=f&amp;g-h~i!j==",  // Python's and others' HTML
                                 "ab&#39;c/d+e=f&amp;g-h~i!j==",   // Go's
                                 "ab&#39;c&#x2F;d+e&#x3D;f&amp;g-h~i!j&#x3D;&#x3D;",  // Mustache
                                 "ab&#x27;c/d+e&#x3D;f&amp;g-h~i!j&#x3D;&#x3D;"})     // Handlebars
    EXPECT_EQ(cleaned(redactor, "<" + form + ">"), "<[REDACTED]>") << form;
}

TEST(Redactor, JsonInsideOfJsonHidesNoValue) {
  const Redactor redactor = hiding({"ab/cd+ef\"gh"});
  for (
      const std::string form :
      {R"(ab\/cd+ef\"gh)", R"(ab\\/cd+ef\\\"gh)", R"(ab\\\/cd+ef\\\"gh)", R"(ab/cd+ef\\\"gh)",
       R"(ab/cd+ef\\\\\\\"gh)", R"(ab\\\\/cd+ef\\\\\\\"gh)", R"(ab/cd\\u002Bef\\u0022gh)",
       R"(ab\\/cd\\u002bef\\u0022gh)",
       R"(\\u0061\\u0062\\u002f\\u0063\\u0064\\u002b\\u0065\\u0066\\u0022\\u0067\\u0068)",
       R"(\\\\u0061\\\\u0062\\\\u002F\\\\u0063\\\\u0064\\\\u002B\\\\u0065\\\\u0066\\\\u0022\\\\u0067\\\\u0068)"})
    for (const auto kind : {Text::plain, Text::json})
      EXPECT_EQ(cleaned(redactor, "<" + form + ">", kind), "<[REDACTED]>") << form;
}

TEST(Redactor, OfAFieldsLastWordTheValueDisappearsToo) {
  for (const auto* field :
       {"Token token=\"s3cr3t-value\"", "session=s3cr3t-value", "Digest response='s3cr3t-value';"}) {
    const Redactor redactor = hiding({field});
    EXPECT_EQ(cleaned(redactor, "{\"token\":\"s3cr3t-value\"}"), "{\"token\":\"[REDACTED]\"}") << field;
  }
  const Redactor padded = hiding({"c2VjcmV0LXdvcmQ=="});
  EXPECT_EQ(cleaned(padded, "== c2VjcmV0LXdvcmQ=="), "== [REDACTED]");
}

TEST(Redactor, JsonStaysJson) {
  const Redactor redactor = hiding({"newline-secret", std::string(secret)});
  // \n and what follows is not the secret, and must not be torn apart.
  const std::string line = to_text(json::object{{"a", "\newline-secret"}, {"b", std::string(secret)}});
  const auto clean = cleaned(redactor, line, Text::json);
  const auto read = parse_json(clean);
  ASSERT_TRUE(read) << clean;
  EXPECT_EQ(read->at("a"), "\newline-secret");
  EXPECT_EQ(read->at("b"), "[REDACTED]");
  EXPECT_EQ(cleaned(redactor, R"(\\newline-secret)", Text::json), R"(\\[REDACTED])");
  EXPECT_EQ(cleaned(redactor, R"(\newline-secret)"), R"(\[REDACTED])");
}

TEST(Redactor, EveryByteEscapedDisappearsToo) {
  const Redactor redactor = hiding({"ab/cd-ef-gh"});
  for (const std::string form : {R"(ab\/cd-ef-gh)", "%61%62%2f%63%64%2d%65%66%2d%67%68", "%61%62%2F%63%64%2D%65%66%2D%67%68",
                                 R"(\u0061\u0062\u002f\u0063\u0064\u002d\u0065\u0066\u002d\u0067\u0068)"})
    for (const auto kind : {Text::plain, Text::json})
      EXPECT_EQ(cleaned(redactor, "\"x " + form + "\"", kind), "\"x [REDACTED]\"") << form;
}

TEST(Redactor, LineEndsDoNotHideAValue) {
  const Redactor redactor = hiding({"sk-split-over-lines"});
  EXPECT_EQ(cleaned(redactor, "a sk-split\n-over\r\n-lines b"), "a [REDACTED] b");
  EXPECT_EQ(cleaned(redactor, R"({"a":"sk-split\n-over\r\n-lines b"})", Text::json), R"({"a":"[REDACTED] b"})");
  EXPECT_EQ(cleaned(redactor, R"({"a":"sk-split\\n-over-lines"})", Text::json), R"({"a":"sk-split\\n-over-lines"})");
}

TEST(Redactor, RestOfAValueThatBeganBeforeDisappears) {
  const Redactor redactor = hiding({"sk-over-two-messages"});
  std::string text = "-messages and more";
  EXPECT_TRUE(redactor.clean_rest("it is sk-over-two", text));
  EXPECT_EQ(text, "[REDACTED] and more");
  text = " -messages";
  EXPECT_FALSE(redactor.clean_rest("it is sk-over-two", text));
  text = "sk-over-two-messages";
  EXPECT_FALSE(redactor.clean_rest("something else", text)) << "that is clean()'s";
  EXPECT_FALSE(Redactor().clean_rest("sk-over-two", text));
}

TEST(Redactor, SeveralSetsCountTogether) {
  std::vector<Needles> sets;
  for (const std::string_view secret : {"first-secret", "second-secret", "first-secret-and-more"})
    sets.emplace_back(std::vector{secret}, system_entropy());
  const Redactor redactor(std::move(sets));
  EXPECT_EQ(cleaned(redactor, "first-secret, second-secret, first-secret-and-more."),
            "[REDACTED], [REDACTED], [REDACTED].");
}

TEST(Redactor, NoCutGoesThroughAValue) {
  const Redactor redactor = hiding({"sk-redact/me+0123456789", secret});
  const std::string text = std::string(100, 'x') + "sk-redact/me+0123456789" + std::string(100, 'y');
  for (std::size_t most = 0; most <= text.size() + 1; ++most) {
    const bool within = most > 100 && most < 123;
    EXPECT_EQ(redactor.cut(text, most), text.substr(0, within ? 100 : most)) << most;
  }
  const std::string json = std::string(100, 'x') + R"(s3cr3t/word+\"of\\mcp)" + "yyyy";
  EXPECT_EQ(redactor.cut(json, 120, Text::json), std::string(100, 'x'));
  EXPECT_EQ(redactor.cut("sk-redact\n\n\n/me+\r\n0123456789", 20), "");
  EXPECT_EQ(redactor.cut(R"(sk-redact\n\n/me+\r\n0123456789)", 30, Text::json), "");
  EXPECT_EQ(redactor.cut("\xc3\xa4", 1), "");
  EXPECT_EQ(Redactor().cut("sk-redact/me+0123456789", 9), "sk-redact");
}

TEST(Redactor, ValuesThatOverlapDisappearAsOne) {
  const Redactor redactor = hiding({"first-secret-and", "secret-and-second"});
  EXPECT_EQ(cleaned(redactor, "a first-secret-and-second b"), "a [REDACTED] b");
  EXPECT_EQ(redactor.cut("a first-secret-and-second b", 22), "a ");
}

TEST(Needles, SurviveTheWayToAnotherProcessAndNameNoSecret) {
  const Needles made(std::vector<std::string_view>{"sk-travelling", "another/secret+"}, system_entropy());
  const auto text = made.to_text();
  EXPECT_EQ(text.find("sk-travelling"), std::string::npos);
  EXPECT_EQ(text.find(to_hex(reinterpret_cast<const std::uint8_t*>("sk-travelling"), 13)), std::string::npos);
  const auto read = Needles::parse(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->longest(), made.longest());
  const auto found = read->find("x another%2Fsecret%2B");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->begin, 2u);
  EXPECT_EQ(found->size, 19u);
  EXPECT_FALSE(read->find("sk-travellinG"));
}

TEST(Needles, MalformedTextIsRefused) {
  const auto good = Needles(std::vector<std::string_view>{"sk-travelling"}, system_entropy()).to_text();
  EXPECT_TRUE(Needles::parse(good));
  for (const std::string& bad : {std::string(), std::string("xy"), good.substr(1), good.substr(2), good + "00",
                                 std::string(66, 'f'), std::string(64, '0') + "10" + std::string(46, '0')})
    EXPECT_FALSE(Needles::parse(bad)) << bad;
}

TEST(Needles, SetOfNothingFindsNothing) {
  const Needles none(std::vector<std::string_view>{"short", ""}, system_entropy());
  EXPECT_TRUE(none.empty());
  EXPECT_FALSE(none.find("short and everything else that is long enough"));
  EXPECT_TRUE(Needles::parse(none.to_text())->empty());
}

TEST(Log, HoldsNothingThatIsHidden) {
  ::testing::internal::CaptureStderr();
  hide_in_logs(hiding({"sk-in-a-log-line"}));
  log(LogLevel::error, "a sk-in-a-log-line", {{"cause", "b \"sk-in-a-log-line\""}});
  hide_in_logs(Redactor());
  const auto line = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(line.find("sk-in-a"), std::string::npos) << line;
  EXPECT_NE(line.find("[REDACTED]"), std::string::npos);
  EXPECT_TRUE(parse_json(line));
}

TEST(Shown, IsPrintableBoundedAndHoldsNothingThatIsHidden) {
  hide_in_logs(hiding({"sk-in-a-message"}));
  EXPECT_EQ(shown("no: sk-in-a-mess\nage, c2staW4tYS1tZXNzYWdl"), "no: [REDACTED], [REDACTED]");
  EXPECT_EQ(shown("a\x1b[31m\tb\r\n\x7f\xc2\x9b\xff\xc3\xa4"), "a [31m\tb \n  \xef\xbf\xbd\xc3\xa4");
  const auto cut = shown(std::string(shown_bytes - 4, 'x') + "\xc3\xa4\xc3\xa4\xc3\xa4");
  EXPECT_EQ(cut, std::string(shown_bytes - 4, 'x') + "...");
  EXPECT_EQ(shown(std::string(shown_bytes, 'x')), std::string(shown_bytes, 'x'));
  EXPECT_EQ(shown(std::string(shown_bytes - 9, 'x') + "sk-in-a-message").substr(shown_bytes - 9),
            "[REDAC...");
  hide_in_logs(Redactor());
  EXPECT_EQ(shown("sk-in-a-message"), "sk-in-a-message");
}

TEST(Redactor, WhatIsTooShortIsNoSecret) {
  const Redactor redactor = hiding({"blue", "Bearer x", ""});
  EXPECT_EQ(cleaned(redactor, "blue Bearer x"), "blue [REDACTED]");
  const Redactor none = hiding({"blue"});
  EXPECT_EQ(cleaned(none, "blue"), "blue");
}

}  // namespace
}  // namespace agentrouter::base
