#include "workspace/ignore.h"

#include <gtest/gtest.h>

#include <chrono>

namespace agentrouter::workspace {
namespace {

bool ignores(std::string_view patterns, std::string_view path, bool is_folder = false) {
  return IgnoreRules::ignores(IgnoreRules::add(nullptr, patterns, 0), path, is_folder);
}

TEST(IgnoreRules, NameWithoutSlashMatchesAtEveryLevel) {
  EXPECT_TRUE(ignores("a.o", "a.o"));
  EXPECT_TRUE(ignores("a.o", "x/y/a.o"));
  EXPECT_FALSE(ignores("a.o", "a.ox"));
  EXPECT_FALSE(ignores("a.o", "a.o/x"));
}

TEST(IgnoreRules, SlashAnchorsToTheFolderOfTheFile) {
  EXPECT_TRUE(ignores("/a", "a"));
  EXPECT_FALSE(ignores("/a", "x/a"));
  EXPECT_TRUE(ignores("x/a", "x/a"));
  EXPECT_FALSE(ignores("x/a", "y/x/a"));
  const auto rules = IgnoreRules::add(nullptr, "/a\nsub/b\n", 4);
  EXPECT_TRUE(IgnoreRules::ignores(rules, "dir/a", false));
  EXPECT_TRUE(IgnoreRules::ignores(rules, "dir/sub/b", false));
}

TEST(IgnoreRules, TrailingSlashMatchesFoldersOnly) {
  EXPECT_TRUE(ignores("build/", "build", true));
  EXPECT_TRUE(ignores("build/", "x/build", true));
  EXPECT_FALSE(ignores("build/", "build", false));
  EXPECT_FALSE(ignores("/", "a", true));
}

TEST(IgnoreRules, StarStaysInOneName) {
  EXPECT_TRUE(ignores("*.c", "x/y.c"));
  EXPECT_TRUE(ignores("x/*.c", "x/y.c"));
  EXPECT_FALSE(ignores("x/*.c", "x/y/z.c"));
  EXPECT_TRUE(ignores("a*b*c", "aXXbYYc"));
  EXPECT_FALSE(ignores("a*b*c", "aXXbYY"));
  EXPECT_TRUE(ignores("*", "a"));
  EXPECT_TRUE(ignores("?at", "cat"));
  EXPECT_FALSE(ignores("x?y", "x/y"));
}

TEST(IgnoreRules, DoubleStarCrossesFolders) {
  EXPECT_TRUE(ignores("**/foo", "foo"));
  EXPECT_TRUE(ignores("**/foo", "a/b/foo"));
  EXPECT_TRUE(ignores("**/foo/bar", "a/foo/bar"));
  EXPECT_TRUE(ignores("abc/**", "abc/x/y"));
  EXPECT_FALSE(ignores("abc/**", "abc", true));
  EXPECT_TRUE(ignores("a/**/b", "a/b"));
  EXPECT_TRUE(ignores("a/**/b", "a/x/y/b"));
  EXPECT_FALSE(ignores("a/**/b", "a/xb"));
  EXPECT_TRUE(ignores("x**y/z", "xaay/z"));
  EXPECT_FALSE(ignores("x**y/z", "xa/ay/z"));
}

TEST(IgnoreRules, SetsRangesAndClasses) {
  EXPECT_TRUE(ignores("[a-c].o", "b.o"));
  EXPECT_FALSE(ignores("[a-c].o", "d.o"));
  EXPECT_TRUE(ignores("[!a-c].o", "d.o"));
  EXPECT_TRUE(ignores("[^a].o", "d.o"));
  EXPECT_TRUE(ignores("[]x]", "]"));
  EXPECT_TRUE(ignores("[[:digit:]_]x", "7x"));
  EXPECT_TRUE(ignores("[a\\]]", "]"));
  EXPECT_TRUE(ignores("[a-]", "-"));
  EXPECT_FALSE(ignores("x[^a]y", "x/y"));
  EXPECT_FALSE(ignores("[a", "[a"));
  EXPECT_FALSE(ignores("[[:nonsense:]]", "a"));
}

TEST(IgnoreRules, LastMatchDecides) {
  EXPECT_FALSE(ignores("*.log\n!keep.log\n", "keep.log"));
  EXPECT_TRUE(ignores("!keep.log\n*.log\n", "keep.log"));
  const auto above = IgnoreRules::add(nullptr, "*.log\n", 0);
  EXPECT_FALSE(IgnoreRules::ignores(IgnoreRules::add(above, "!x.log\n", 2), "d/x.log", false));
  EXPECT_TRUE(IgnoreRules::ignores(IgnoreRules::add(above, "!x.log\n", 2), "d/y.log", false));
}

TEST(IgnoreRules, CommentsBlanksAndEscapes) {
  EXPECT_FALSE(ignores("# a\n", "# a"));
  EXPECT_TRUE(ignores("\\#a\n", "#a"));
  EXPECT_TRUE(ignores("\\!a\n", "!a"));
  EXPECT_TRUE(ignores("a  \n", "a"));
  EXPECT_TRUE(ignores("a\\ \n", "a "));
  EXPECT_TRUE(ignores("a\r\nb", "a"));
  EXPECT_TRUE(
      ignores("\xef\xbb\xbf"
              "a",
              "a"));
  EXPECT_TRUE(ignores("\\*", "*"));
  EXPECT_FALSE(ignores("\\*", "x"));
  EXPECT_FALSE(ignores("a\\", "a\\"));
}

TEST(IgnoreRules, HostilePatternTakesLinearTime) {
  std::string pattern, path;
  for (int i = 0; i < 1000; ++i) pattern += "a*";
  pattern += "b";
  path.assign(4000, 'a');
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(ignores(pattern, path));
  EXPECT_FALSE(ignores("**/" + pattern + "/**/x", path));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(IgnoreRules, PatternsBeyondTheLimitAreNotRead) {
  std::string text;
  for (std::size_t i = 0; i < IgnoreRules::max_patterns; ++i) text += "x\n";
  EXPECT_FALSE(ignores(text + "late\n", "late"));
  EXPECT_FALSE(ignores(std::string(5000, 'a'), std::string(5000, 'a')));
}

}  // namespace
}  // namespace agentrouter::workspace
