#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Box, RunsAProgramAndReportsItsExitCode) {
  rig::Rig rig;
  const auto launched = rig.launch();
  ASSERT_TRUE(launched) << launched.error().message;
  const auto ran = rig.run("echo out; echo err >&2; id -u; pwd; exit 3");
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(ran.code, 3);
  EXPECT_EQ(ran.output, "out\nerr\n1000\n/workspace\n");
}

}  // namespace
}  // namespace agentrouter::sandbox
