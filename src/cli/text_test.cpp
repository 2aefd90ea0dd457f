#include "cli/text.h"

#include <gtest/gtest.h>

namespace agentrouter::cli {
namespace {

TEST(Printable, EscapeSequencesAreTakenOutWhole) {
  EXPECT_EQ(printable("a\x1b[31;1mred\x1b[0mb"), "aredb");
  EXPECT_EQ(printable("\x1b[2J\x1b[H\x1b[?1049hx"), "x");
  EXPECT_EQ(printable("\x1b]0;title\ax\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\"), "xlink");
  EXPECT_EQ(printable("\x1bP1$r\x1b\\x\x1b_app\x1b\\y\x1b^pm\x1b\\z"), "xyz");
  EXPECT_EQ(printable("\x1b(B\x1b=\x1b"
                      "7x\x1b"),
            "x");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31mx\xc2\x9d"
                      "0;t\xc2\x9cy"),
            "xy");
}

TEST(Printable, AnOpenSequenceDoesNotSwallowTheTextBehindIt) {
  EXPECT_EQ(printable("\x1b]0;title\nrm -rf /"), "0;title\nrm -rf /");
  EXPECT_EQ(printable("\x1b[31"), "");
  EXPECT_EQ(printable("\x1b[12é"), "é");
}

TEST(Printable, NoEscapeRemainsHoweverSequencesAreNested) {
  EXPECT_EQ(printable("\x1b\x1b[31mx"), "x");
  for (const auto* text : {"\x1b[\x1b[31m", "\x1b]\x1b]0;t\a", "\xc2\x9b\x1b[m", "\x1b[3\x1b[1m1m"}) {
    EXPECT_EQ(printable(text).find('\x1b'), std::string::npos) << text;
    EXPECT_EQ(printable(printable(text)), printable(text)) << text;
  }
}

TEST(Printable, ControlCharactersAndDirectionMarksDisappear) {
  EXPECT_EQ(printable(std::string("a\0b\r\b\x7f\tc\n", 9)), "ab\tc\n");
  EXPECT_EQ(printable("x\xe2\x80\xaey\xe2\x81\xa6z\xe2\x80\x8b\xef\xbb\xbf\xe2\x80\xa8"), "xyz");
}

TEST(Printable, BrokenUtf8BecomesReplacementCharacters) {
  EXPECT_EQ(printable("a\xff"
                      "b\x9b"
                      "31m"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd"
            "31m");
  EXPECT_EQ(printable("é€😀"), "é€😀");
}

TEST(OneLine, JoinsLinesAndTrims) {
  EXPECT_EQ(one_line("  a\n\n\tb \x1b[1mc\n"), "a b c");
}

TEST(Fit, CutsByColumnsAndNeverInsideACharacter) {
  EXPECT_EQ(fit("abcdef", 6), "abcdef");
  EXPECT_EQ(fit("abcdefg", 6), "abc...");
  EXPECT_EQ(fit("日本語日本語", 8), "日本...");
  EXPECT_EQ(fit("abcdef", 2), "..");
  EXPECT_EQ(width("e\xcc\x81日"), 3u);
}

TEST(Table, AlignsAllColumnsButTheLast) {
  EXPECT_EQ(table({{"a", "bb", "c"}, {"aaa", "b", "long"}}), "a    bb  c\naaa  b   long\n");
}

TEST(HumanFigures, AreShort) {
  using std::chrono::milliseconds;
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1023), "1023 B");
  EXPECT_EQ(human_size(1229), "1.2 KiB");
  EXPECT_EQ(human_size(1024 * 1024 - 1), "1.0 MiB");
  EXPECT_EQ(human_duration(milliseconds(-5)), "0.0 s");
  EXPECT_EQ(human_duration(milliseconds(440)), "0.4 s");
  EXPECT_EQ(human_duration(milliseconds(59'960)), "1 min 00 s");
  EXPECT_EQ(human_duration(milliseconds(125'000)), "2 min 05 s");
  EXPECT_EQ(human_duration(milliseconds(3'660'000)), "1 h 01 min");
}

}  // namespace
}  // namespace agentrouter::cli
