#include "keeper/attempt_lock.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "testing/temp_dir.h"

namespace agentrouter::keeper {
namespace {

class AttemptLock : public ::testing::Test {
 protected:
  testing::TempDir folder_;
  base::Fd dir_ = base::value_or_throw(base::open_directory(folder_.path()));
};

TEST_F(AttemptLock, IsHeldUntilItsDescriptorIsClosed) {
  ASSERT_TRUE(make_attempt_lock(dir_.get()));
  auto held = take_attempt_lock(dir_.get());
  ASSERT_TRUE(held);
  EXPECT_EQ(take_attempt_lock(dir_.get()).error().code, base::Code::conflict);
  EXPECT_EQ(base::value_or_throw(settle_keeper_life(dir_.get())), KeeperLife::alive);
  held->reset();
  EXPECT_EQ(base::value_or_throw(settle_keeper_life(dir_.get())), KeeperLife::dead);
}

TEST_F(AttemptLock, KeeperThatIsLateCannotStartOnAnAttemptThatWasGivenUp) {
  ASSERT_TRUE(make_attempt_lock(dir_.get()));
  EXPECT_EQ(base::value_or_throw(settle_keeper_life(dir_.get())), KeeperLife::dead);
  EXPECT_EQ(take_attempt_lock(dir_.get()).error().code, base::Code::not_found);
  EXPECT_EQ(base::value_or_throw(settle_keeper_life(dir_.get())), KeeperLife::dead);
}

TEST_F(AttemptLock, MakingItAgainKeepsTheHolder) {
  ASSERT_TRUE(make_attempt_lock(dir_.get()));
  const auto held = take_attempt_lock(dir_.get());
  ASSERT_TRUE(make_attempt_lock(dir_.get()));
  EXPECT_EQ(base::value_or_throw(settle_keeper_life(dir_.get())), KeeperLife::alive);
}

}  // namespace
}  // namespace agentrouter::keeper
