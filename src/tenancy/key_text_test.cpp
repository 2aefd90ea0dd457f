#include "tenancy/key_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "testing/fixed_entropy.h"

namespace agentrouter::tenancy {

namespace {

using ::testing::MatchesRegex;

TEST(KeyText, IsAPrefixRandomCharactersAndAChecksum) {
  testing::FixedEntropy entropy;
  std::set<std::string> all;
  for (int i = 0; i < 200; ++i) {
    const auto text = new_key_text(entropy);
    EXPECT_THAT(text, MatchesRegex("ar_live_[0-9A-Za-z]{49}"));
    EXPECT_TRUE(is_key_text(text));
    all.insert(text);
  }
  EXPECT_EQ(all.size(), 200u);
}

TEST(KeyText, UsesAllOfTheRandomBits) {
  class Bits final : public base::Entropy {
   public:
    explicit Bits(std::uint8_t value) : value_(value) {}
    void fill(std::span<std::uint8_t> bytes) override { std::fill(bytes.begin(), bytes.end(), value_); }

   private:
    std::uint8_t value_;
  };
  Bits zeros(0);
  Bits ones(0xff);
  // 2^256 - 1 in base62.
  EXPECT_EQ(new_key_text(zeros).substr(8, 43), std::string(43, '0'));
  EXPECT_EQ(new_key_text(ones).substr(8, 43), "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
}

TEST(KeyText, OneWrongCharacterAnywhereIsSeen) {
  testing::FixedEntropy entropy;
  const auto text = new_key_text(entropy);
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto wrong = text;
    wrong[i] = wrong[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(is_key_text(wrong)) << i;
  }
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    auto swapped = text;
    std::swap(swapped[i], swapped[i + 1]);
    if (swapped != text) EXPECT_FALSE(is_key_text(swapped)) << i;
  }
  EXPECT_FALSE(is_key_text(text + "0"));
  EXPECT_FALSE(is_key_text(text.substr(1)));
  EXPECT_FALSE(is_key_text(""));
}

TEST(KeyText, AKeyIsNamedByTheBeginOfItsHash) {
  const auto hash = hash_of_key("abc");
  EXPECT_EQ(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(id_of_key(hash), "key_ba7816bf8f01");
  EXPECT_EQ(shown_of_key("ar_live_0123456789"), "ar_live_0123");
}

}  // namespace

}  // namespace agentrouter::tenancy
