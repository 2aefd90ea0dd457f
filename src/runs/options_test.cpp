#include "runs/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::runs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RunOptions, AreThoseOfTheRequest) {
  const auto options = options_of(R"({"task":"t","waitForQuota":true,"mcp":["b","a"]})");
  EXPECT_TRUE(options.wait_for_quota);
  EXPECT_THAT(options.mcp, ElementsAre("b", "a"));
}

TEST(RunOptions, TheScopeIsTheRunUnlessActionsAreAskedFor) {
  EXPECT_EQ(options_of(R"({"approvalScope":"action"})").scope, model::ApprovalScope::action);
  for (const auto* input : {"{}", R"({"approvalScope":"run"})", R"({"approvalScope":"all"})"})
    EXPECT_EQ(options_of(input).scope, model::ApprovalScope::run) << input;
}

TEST(RunOptions, NothingIsAskedForUnlessSaid) {
  for (const auto* input : {"{}", "", "[]", "{", R"({"mcp":7,"waitForQuota":"yes"})"}) {
    EXPECT_FALSE(options_of(input).wait_for_quota) << input;
    EXPECT_THAT(options_of(input).mcp, IsEmpty()) << input;
  }
}

TEST(RunOptions, LaterTurnsInheritWhatWasAskedForAndNothingElse) {
  json::object input{{"task", "next"}};
  inherit_options(input, R"({"task":"t","metadata":{},"waitForQuota":true,"mcp":["a"]})");
  EXPECT_EQ(base::to_text(input), R"({"task":"next","waitForQuota":true,"mcp":["a"]})");
  json::object gated{{"task", "next"}};
  inherit_options(gated, R"({"task":"t","approvalScope":"action"})");
  EXPECT_EQ(base::to_text(gated), R"({"task":"next","approvalScope":"action"})");
  json::object plain{{"task", "next"}};
  inherit_options(plain, R"({"task":"t"})");
  EXPECT_EQ(base::to_text(plain), R"({"task":"next"})");
}

}  // namespace
}  // namespace agentrouter::runs
