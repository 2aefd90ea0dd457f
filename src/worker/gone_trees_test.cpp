#include "worker/gone_trees.h"

#include <fstream>

#include "base/file.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class GoneTreesTest : public ::testing::Test {
 protected:
  void make(const std::string& name) {
    std::filesystem::create_directories(folder_ / "attempts" / name / "box/upper/below");
    std::ofstream(folder_ / "attempts" / name / "box/upper/below/file") << "x";
  }
  base::Result<void> put(const std::string& name) {
    const auto attempts = base::value_or_throw(base::open_directory(folder_ / "attempts"));
    return gone_->put(attempts.get(), name, name);
  }
  std::vector<std::string> gone() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "gone"))
      names.push_back(entry.path().filename());
    return names;
  }

  testing::TempDir folder_;
  std::unique_ptr<GoneTrees> gone_ = base::value_or_throw(GoneTrees::open(folder_.path()));
};

TEST_F(GoneTreesTest, WhatIsPutHereIsOutOfSightAtOnceAndRemovedLater) {
  make("one");
  ASSERT_TRUE(put("one"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "attempts/one"));
  EXPECT_THAT(gone(), SizeIs(1));
  gone_->clear();
  EXPECT_THAT(gone(), IsEmpty());
}

TEST_F(GoneTreesTest, OneNameTwiceIsTwoTrees) {
  for (int i = 0; i < 2; ++i) {
    make("one");
    ASSERT_TRUE(put("one"));
  }
  EXPECT_THAT(gone(), SizeIs(2));
  gone_->clear();
  EXPECT_THAT(gone(), IsEmpty());
}

TEST_F(GoneTreesTest, WhatIsNotThereIsGone) {
  make("other");
  EXPECT_TRUE(put("one"));
  EXPECT_THAT(gone(), IsEmpty());
}

TEST_F(GoneTreesTest, ATreeOfAnotherFileSystemStaysWhereItIs) {
  const auto elsewhere = base::value_or_throw(base::open_directory("/proc/self"));
  EXPECT_FALSE(gone_->put(elsewhere.get(), "task", "task"));
}

TEST_F(GoneTreesTest, AServerThatStopsLeavesTheRestToTheNextOne) {
  make("one");
  ASSERT_TRUE(put("one"));
  gone_->stop();
  gone_->clear();
  EXPECT_THAT(gone(), SizeIs(1));
  gone_ = base::value_or_throw(GoneTrees::open(folder_.path()));
  gone_->clear();
  EXPECT_THAT(gone(), IsEmpty());
}

using RemovalTest = WorkerTest;

TEST_F(RemovalTest, ARunWhoseFilesTakeForEverHoldsNoSlot) {
  config_.concurrency = 1;
  launcher_.cannot_remove = true;
  start();
  const auto first = submit(simple_script), second = submit(simple_script);
  until_retired(first);
  until_retired(second);
  EXPECT_EQ(failure(second), "completed");
  EXPECT_THAT(left_in("attempts"), IsEmpty());
  until([&] { return std::filesystem::is_empty(folder_ / "gone"); });
}

TEST_F(RemovalTest, WhatAnEarlierServerHadPutAwayIsRemovedAtTheStart) {
  std::filesystem::create_directories(folder_ / "gone/attempt_1/box/upper");
  std::ofstream(folder_ / "gone/attempt_1/box/upper/file") << "x";
  start();
  until([&] { return std::filesystem::is_empty(folder_ / "gone"); });
}

TEST_F(RemovalTest, WhereNothingCanBePutAwayAFolderIsRemovedInItsPlace) {
  std::ofstream(folder_ / "gone") << "in the way";
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_THAT(left_in("attempts"), IsEmpty());
}

}  // namespace
}  // namespace agentrouter::worker
