#include "store/postgres/stored_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/utf8.h"
#include "store/postgres/words.h"

namespace agentrouter::store::postgres {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(StoredText, AnyBytesComeBackAndWhatIsStoredIsUtf8WithoutNul) {
  using namespace std::string_literals;
  for (const auto& text : {""s, "plain"s, "ünïcode \U0001f600"s, "a\0b"s, "\0"s, "\x01"s,
                           "\x01"
                           "01"s,
                           "broken \xff\xfe end"s, "cut \xf0\x9f"s, "\xc0\x80"s, "\xed\xa0\x80"s,
                           "replaced \xef\xbf\xbd"s, "\xff"s}) {
    const auto stored = to_stored(text);
    EXPECT_TRUE(base::is_utf8(stored)) << ::testing::PrintToString(text);
    EXPECT_EQ(stored.find('\0'), stored.npos);
    EXPECT_EQ(from_stored(stored), text);
  }
}

TEST(StoredText, OrdinaryTextStaysAsItIs) {
  EXPECT_EQ(to_stored("a\nb\t{\"x\":\"\\u0000\"} ä"), "a\nb\t{\"x\":\"\\u0000\"} ä");
}

TEST(StoredText, AMarkThatIsCutOffIsNoMark) {
  EXPECT_EQ(from_stored("a\x01"), "a\x01");
  EXPECT_EQ(from_stored("a\x01"
                        "2"),
            "a\x01"
            "2");
}

TEST(Words, AreFoldedSortedAndThereOnce) {
  EXPECT_THAT(words_of("The Größe of the RIVER, Über_den Fluß"),
              ElementsAre("den", "fluß", "große", "of", "river", "the", "uber"));
  EXPECT_THAT(words_of(""), IsEmpty());
  EXPECT_THAT(words_of(" -- *()\"\n"), IsEmpty());
}

TEST(Words, OfAnyBytesCanBeMade) {
  EXPECT_THAT(words_of(std::string("do\0hello \xff", 10)), ElementsAre("do", "hello"));
}

TEST(Words, TooLongForAnIndexStandAsTheirHash) {
  const auto words = words_of(std::string(100'000, 'x'));
  ASSERT_THAT(words, SizeIs(1));
  EXPECT_EQ(words[0].size(), 65u);
  EXPECT_EQ(words_of(std::string(100'000, 'X')), words);
  EXPECT_NE(words_of(std::string(100'001, 'x')), words);
}

TEST(Words, AreLookedForFromTheLongestAndNotWithoutEnd) {
  EXPECT_THAT(words_to_find("an elephant is big"), ElementsAre("elephant", "big", "an", "is"));
  std::string many;
  for (int i = 0; i < 500; ++i) many += "w" + std::to_string(i) + " ";
  EXPECT_THAT(words_to_find(many), SizeIs(64));
}

TEST(Words, AnAnswerIsTheTextOfItsPayload) {
  EXPECT_EQ(answer_text(R"({"text":"done"})"), "done");
  EXPECT_EQ(answer_text(R"({"text":7})"), "");
  EXPECT_EQ(answer_text("[]"), "");
  EXPECT_EQ(answer_text("{"), "");
}

}  // namespace

}  // namespace agentrouter::store::postgres
