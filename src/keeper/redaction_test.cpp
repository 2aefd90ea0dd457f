// A secret that an agent has got hold of, on its way into everything that an attempt leaves.

#include <fcntl.h>

#include "base/hmac.h"
#include "keeper/clean_file.h"
#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view planted = "sk-redact/me+0123456789";

class Redaction : public KeeperTest {
 protected:
  Redaction() {
    plan_.hidden = base::Needles(std::vector<std::string_view>{planted}, entropy_).to_text();
  }
  static std::vector<std::string> forms() {
    const std::string plain(planted);
    std::string url = base::to_base64("user:" + plain);
    std::ranges::replace(url, '+', '-');
    std::ranges::replace(url, '/', '_');
    return {plain,
            base::to_base64(plain),
            url,
            base::to_hex(reinterpret_cast<const std::uint8_t*>(plain.data()), plain.size()),
            "sk-redact%2Fme%2B0123456789",
            R"(sk-redact\/me+0123456789)"};
  }
  // The part of a form that base64 leaves to the secret alone.
  static std::string core(const std::string& form) { return form.substr(8, 12); }
  // A text as readers of JSON have it, who read what is in it as JSON once more, and so on.
  static std::vector<std::string> readings(std::string text) {
    std::vector<std::string> all{std::move(text)};
    while (all.back().find('\\') != std::string::npos) all.push_back(unescaped(all.back()));
    return all;
  }
  static std::string unescaped(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] != '\\' || at + 1 == text.size()) {
        if (text[at] != '\\') out += text[at];
        continue;
      }
      const char c = text[++at];
      const auto code =
          c == 'u' && at + 4 < text.size() ? std::string(text.substr(at + 1, 4)) : std::string();
      if (code.starts_with("00")) {
        out += static_cast<char>(std::stoi(code, nullptr, 16));
        at += 4;
      } else {
        out += c;
      }
    }
    return out;
  }
};

TEST_F(Redaction, ReadingsAreThoseOfEveryLevel) {
  EXPECT_THAT(readings(R"("a\\/b" \u0041)"),
              ::testing::ElementsAre(R"("a\\/b" \u0041)", R"("a\/b" A)", R"("a/b" A)"));
}

TEST_F(Redaction, NoSinkOfAnAttemptHoldsASecretInWhateverForm) {
  std::string says;
  for (const auto& form : forms()) says += "event agent.message " + base::to_text(json::object{{"message", form}}) + "\n";
  says += "say it is " + std::string(planted) + "\n";
  std::string stderr_text;
  for (const auto& form : forms()) stderr_text += "leak " + form + "\n";
  auto& sandbox = agent({.says = says, .says_to_stderr = stderr_text});
  sandbox.index_says = base::to_text(json::object{{"files", json::array{json::object{{"path", std::string(planted)}}}}});
  sandbox.patch_says = "+++ b/.env\n+KEY=" + std::string(planted) + "\n+two\n";
  keep();
  EXPECT_EQ(outcome(), "completed");
  for (const auto* name : {"journal", "stdout.ndjson", "stderr.ndjson", "index.json", "changes.patch"}) {
    for (const auto& read : readings(file(name))) {
      for (const auto& form : forms()) EXPECT_THAT(read, Not(HasSubstr(core(form)))) << name;
    }
    EXPECT_THAT(file(name), HasSubstr("[REDACTED]")) << name;
  }
  EXPECT_EQ(file("changes.patch"), "+++ b/.env\n+KEY=[REDACTED]\n+two\n");
  const json::object* patch = base::get_object(exit(), "patch");
  EXPECT_EQ(base::get_string(*patch, "sha256"), base::Sha256::hex_of(file("changes.patch")));
  EXPECT_EQ(base::get_bool(*patch, "redacted"), true);
  EXPECT_EQ(base::get_string(exit(), "responseText"), "it is [REDACTED]");
}

TEST_F(Redaction, SecretInTwoMessagesLosesItsSecondHalf) {
  agent({.says = "event agent.message {\"message\":\"it begins with sk-redact/me\"}\n"
                 "event agent.message {\"message\":\"+0123456789 and ends\"}\n"
                 "event agent.message {\"message\":\"+0123456789 alone\"}\nsay done\n"});
  keep();
  const auto said = payloads("agent.message");
  ASSERT_EQ(said.size(), 3u);
  EXPECT_EQ(said[0].at("message"), "it begins with sk-redact/me");
  EXPECT_EQ(said[1].at("message"), "[REDACTED] and ends");
  EXPECT_EQ(said[2].at("message"), "+0123456789 alone");
}

TEST_F(Redaction, WhatIsCutEndsBeforeASecret) {
  const std::string filler(model::defaults::response_bytes - planted.size() + 1, 'x');
  agent({.says = "event agent.message {\"message\":\"" + filler + std::string(planted) +
                 " and more\"}\nsay done\n"});
  keep();
  const auto said = payloads("agent.message");
  ASSERT_EQ(said.size(), 1u);
  EXPECT_TRUE(base::get_string(said[0], "message") == filler);
  EXPECT_EQ(file("journal").find("sk-redact"), std::string::npos);
}

TEST_F(Redaction, SecretsThatEndWithAKnownOneAreHiddenWhole) {
  const std::string longer = "longer-than-" + std::string(planted);
  mcp_secrets_.push_back(base::value_or_throw(egress::Secret::create_field(longer)));
  mcp_secrets_.push_back(
      base::value_or_throw(egress::Secret::create_field("Bearer " + std::string(planted))));
  agent({.says = "event agent.message {\"message\":\"it is " + longer + "; Bearer " + std::string(planted) +
                 "\"}\nsay done\n"});
  keep();
  const auto said = payloads("agent.message");
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].at("message"), "it is [REDACTED]; Bearer [REDACTED]");
}

TEST_F(Redaction, SecretInTwoLinesOfALogLosesItsSecondHalf) {
  const std::string filler((64u << 10) - 10, 'x');
  agent({.says = "say done\n", .says_to_stderr = filler + std::string(planted) + "\nsk-redact\n/me+0123456789 end\n"});
  keep();
  const auto log = file("stderr.ndjson");
  EXPECT_THAT(log, Not(HasSubstr("0123456789")));
  EXPECT_THAT(log, HasSubstr("[REDACTED] end"));
}

TEST_F(Redaction, ArtifactsWithoutASecretStayAsTheyAre) {
  agent({.says = "say done\n"});
  keep();
  EXPECT_EQ(file("changes.patch"), "a patch");
  const json::object* patch = base::get_object(exit(), "patch");
  EXPECT_EQ(base::get_string(*patch, "sha256"), std::string(64, 'b')) << "the collector's own";
  EXPECT_FALSE(patch->contains("redacted"));
}

TEST_F(Redaction, LargeFilesAreCleanedLineByLine) {
  std::string text;
  for (int i = 0; text.size() < (3u << 20); ++i)
    text += "line " + std::to_string(i) + (i % 1000 == 7 ? " " + std::string(planted) : std::string()) + "\n";
  text += "no line end " + std::string(planted);
  (void)base::write_file_durably(folder_ / "large", text);
  const base::Redactor redactor(std::vector<std::string_view>{planted}, entropy_);
  const auto cleaned = clean_lines(dir_.get(), "large", redactor, base::Redactor::Text::plain);
  ASSERT_TRUE(cleaned);
  EXPECT_TRUE(cleaned->found);
  std::string expected = text;
  for (auto at = expected.find(planted); at != std::string::npos; at = expected.find(planted))
    expected.replace(at, planted.size(), "[REDACTED]");
  EXPECT_EQ(file("large"), expected);
  EXPECT_EQ(cleaned->bytes, expected.size());
  EXPECT_EQ(cleaned->sha256, base::Sha256::hex_of(expected));
  EXPECT_FALSE(clean_lines(dir_.get(), "missing", redactor, base::Redactor::Text::plain));
}

}  // namespace
}  // namespace agentrouter::keeper
