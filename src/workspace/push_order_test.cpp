#include "workspace/push_order.h"

#include <gtest/gtest.h>

#include <vector>

namespace agentrouter::workspace {
namespace {

TEST(PushOrder, IsReadAsItWasWritten) {
  PushOrder order;
  order.request = {.url = "https://x/y", .user = "u", .secret = "s", .branch = "b", .base = "c", .subdir = "d",
                   .message = "m\n\nm", .author = {"n", "e"}, .time = 5};
  order.scratch = "/tmp/x";
  const auto again = parse_push_order(to_json(order));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json(order), to_json(*again));
  EXPECT_FALSE(parse_push_order("{}"));
  order.request.branch = "../x";
  EXPECT_FALSE(parse_push_order(to_json(order)));
}

TEST(PushOrder, AnswersAreCheckedBeforeTheyAreBelieved) {
  const auto pushed = parse_pushed(to_json(Pushed{std::string(40, 'a'), 3}));
  ASSERT_TRUE(pushed);
  EXPECT_EQ(3u, pushed->files);
  EXPECT_FALSE(parse_pushed(R"({"commit":"short","files":1})"));
  EXPECT_FALSE(parse_pushed(""));
  EXPECT_EQ("r", parse_pushed(R"({"error":{"code":"conflict","reason":"r","message":"m"}})").error().reason);
}

TEST(PushOrder, BranchesAreWhatGitTakesAndNoShellMinds) {
  for (const auto* good :
       {"main", "agentrouter/run_1", "a.b-c_d/E9", "HEAD/a", "a/HEAD", "head", "refs/heads/x"})
    EXPECT_TRUE(is_branch_name(good)) << good;
  for (const std::string bad :
       {"",    "-x",  "a..b", "a//b", "/a",   "a/", ".a",   "a/.b", "a.",   "a.lock", "a.lock/b",
        "a b", "a~b", "a:b",  "a*",   "a@{b", "@",  "HEAD", "ü",    "a\nb", "$(x)"})
    EXPECT_FALSE(is_branch_name(bad)) << bad;
  EXPECT_FALSE(is_branch_name(std::string(201, 'a')));
}

TEST(PushOrder, AuthorsAreWhatGitTakes) {
  for (const auto* good : {"n", "An Author", "e@x", "J. R.", "\"Q\" x", "\xc3\xbc", "a,"})
    EXPECT_TRUE(is_author_part(good)) << good;
  for (const auto& bad : std::vector<std::string>{"", " ", ".", ",", ".,:;\"'\\ ", "\x01", "a\x01", "a\nb",
                                                  "a\rb", "a<b", "a>", "a\x7f", std::string("a\0b", 3)})
    EXPECT_FALSE(is_author_part(bad)) << bad;
}

}  // namespace
}  // namespace agentrouter::workspace
