#include "vault/sealed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hmac.h"
#include "testing/fixed_entropy.h"

namespace agentrouter::vault {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Sealed : public ::testing::Test {
 protected:
  std::string sealed(std::string_view value = "sk-secret") { return seal(key_, 7, place_, value, entropy_); }
  std::string problem(const Key& key, const Place& place, const std::string& text) {
    const auto opened = open(key, place, text);
    if (opened) return "opened";
    EXPECT_EQ(opened.error().reason, "sealed_damaged");
    EXPECT_EQ(opened.error().code, base::Code::corrupt);
    return opened.error().message;
  }
  // The bytes changed, as text again.
  template <class Change>
  std::string changed(const std::string& text, Change change) {
    auto bytes = *base::from_base64(text.substr(sealed_prefix.size()));
    change(bytes);
    return std::string(sealed_prefix) + base::to_base64(bytes);
  }

  testing::FixedEntropy entropy_;
  Key key_ = Key::random(entropy_);
  Place place_{"team", "provider_key", "openai"};
};

TEST_F(Sealed, AValueOpensWhereItWasSealed) {
  for (const std::string& value :
       {std::string(), std::string("x"), std::string("sk-secret"), std::string(longest_value, 'v')}) {
    const auto text = seal(key_, 7, place_, value, entropy_);
    const auto opened = open(key_, place_, text);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(opened->view(), value);
  }
}

TEST_F(Sealed, TheTextSaysWhichKeyAndNothingOfTheValue) {
  const auto text = sealed("sk-secret-of-somebody");
  EXPECT_TRUE(is_sealed(text));
  EXPECT_FALSE(is_sealed("whsec_abc"));
  EXPECT_THAT(text, Not(HasSubstr("secret")));
  const auto head = base::value_or_throw(read_head(text));
  EXPECT_EQ(head.key_version, 7u);
  EXPECT_EQ(head.key_id, key_.id());
  EXPECT_NE(sealed(), sealed()) << "each has a nonce of its own";
}

TEST_F(Sealed, ItOpensNowhereElse) {
  const auto text = sealed();
  EXPECT_THAT(problem(key_, {"other", "provider_key", "openai"}, text), HasSubstr("another record"));
  EXPECT_THAT(problem(key_, {"team", "webhook_secret", "openai"}, text), HasSubstr("another record"));
  EXPECT_THAT(problem(key_, {"team", "provider_key", "anthropic"}, text), HasSubstr("another record"));
  // No two places read the same when their parts are put together.
  EXPECT_THAT(problem(key_, {"teamp", "rovider_key", "openai"}, text), HasSubstr("another record"));
  EXPECT_THAT(problem(Key::random(entropy_), place_, text), HasSubstr("another key"));
}

TEST_F(Sealed, EveryByteCounts) {
  const auto text = sealed();
  const auto size = base::from_base64(text.substr(sealed_prefix.size()))->size();
  for (std::size_t i = 0; i < size; ++i) {
    const auto other = changed(text, [i](std::string& bytes) { bytes[i] = static_cast<char>(bytes[i] ^ 1); });
    EXPECT_NE(problem(key_, place_, other), "opened") << "byte " << i;
  }
  for (std::size_t i = 0; i < size; ++i) {
    EXPECT_NE(problem(key_, place_, changed(text, [i](std::string& bytes) { bytes.resize(i); })), "opened");
    EXPECT_NE(problem(key_, place_, text.substr(0, i)), "opened");
  }
  EXPECT_NE(problem(key_, place_, changed(text, [](std::string& bytes) { bytes += 'x'; })), "opened");
}

TEST_F(Sealed, WhatIsNoSealedTextSaysSo) {
  EXPECT_THAT(problem(key_, place_, "whsec_abc"), HasSubstr("no sealed text"));
  EXPECT_THAT(problem(key_, place_, "sealed:!"), HasSubstr("no base64"));
  EXPECT_THAT(problem(key_, place_, "sealed:"), HasSubstr("it is cut"));
  EXPECT_THAT(problem(key_, place_, "sealed:" + base::to_base64(std::string(200'000, 'x'))),
              HasSubstr("too long"));
  EXPECT_THAT(problem(key_, place_, changed(sealed(), [](std::string& bytes) { bytes[0] = 2; })),
              HasSubstr("version"));
  EXPECT_FALSE(read_head("sealed:AAAA"));
}

// docs/formats/sealed.md has these bytes.
TEST_F(Sealed, TheFormatIsTheDocumentedOne) {
  const auto key = Key::of(std::string(32, 'k'));
  const auto text = seal(key, 1, {"default", "provider_key", "openai"}, "sk-example", entropy_);
  const auto bytes = *base::from_base64(text.substr(sealed_prefix.size()));
  EXPECT_EQ(bytes.size(), 2u + 4 + 8 + 24 + 10 + 16);
  EXPECT_EQ(bytes.substr(0, 6), std::string("\x01\x01\x00\x00\x00\x01", 6));
  EXPECT_EQ(key.id_text(), "75ebeccbb5bcac5e");
}

}  // namespace

}  // namespace agentrouter::vault
