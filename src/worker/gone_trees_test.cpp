#include "worker/gone_trees.h"

#include <sys/statvfs.h>

#include <atomic>
#include <fstream>

#include "base/file.h"
#include "worker/fixture_test.h"
#include "worker/run_driver.h"

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

// Full as long as what an agent wrote lies somewhere.
class FullBlobs final : public blobs::BlobStore {
 public:
  FullBlobs(std::unique_ptr<blobs::BlobStore> inner, std::filesystem::path data)
      : inner_(std::move(inner)), data_(std::move(data)) {}

  std::unique_ptr<blobs::BlobWriter> create(std::string_view key) override {
    if (has_inodes()) return inner_->create(key);
    ++refused;
    base::throw_failure(base::Code::unavailable, "cannot make a blob: no space left", "storage_full");
  }
  base::Result<blobs::Blob> open(std::string_view key, std::string_view sha256) override {
    return inner_->open(key, sha256);
  }
  bool exists(std::string_view key) override { return inner_->exists(key); }
  void remove(std::string_view key) override { inner_->remove(key); }
  void remove_empty(std::string_view folder) override { inner_->remove_empty(folder); }

  std::atomic<bool> is_small = true;
  std::atomic<int> refused = 0;

 private:
  bool has_inodes() const {
    std::error_code gone;
    for (std::filesystem::recursive_directory_iterator entry(data_, gone), end; !gone && entry != end;
         entry.increment(gone)) {
      if (entry->path().filename() == "upper") return !is_small;
    }
    return true;
  }

  std::unique_ptr<blobs::BlobStore> inner_;
  std::filesystem::path data_;
};

class FullDiskTest : public WorkerTest {
 protected:
  FullDiskTest() {
    auto full = std::make_unique<FullBlobs>(std::move(blobs_), folder_.path());
    full_ = full.get();
    blobs_ = std::move(full);
    launcher_.makes_boxes = true;
  }
  FullBlobs* full_;
};

TEST_F(FullDiskTest, WhatARunHoldsIsGivenUpWhenItsEndCannotBeStored) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_GE(full_->refused, 1);
  EXPECT_EQ(blob(id, "workspace_patch"), "a patch");
  EXPECT_THAT(left_in("attempts"), IsEmpty());
}

TEST_F(FullDiskTest, TheSameWhereNothingCanBePutAway) {
  std::ofstream(folder_ / "gone") << "in the way";
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_THAT(left_in("attempts"), IsEmpty());
}

TEST_F(FullDiskTest, ARunThatIsCancelledEndsToo) {
  start();
  const auto id = submit(endless_script);
  until_event(id, "agent.started");
  cancel(id);
  until_retired(id);
  EXPECT_EQ(failure(id), "cancelled");
}

TEST_F(RemovalTest, WithFewInodesLeftRunsStayQueued) {
  struct statvfs system{};
  ASSERT_EQ(::statvfs(folder_.path().c_str(), &system), 0);
  if (system.f_files == 0) GTEST_SKIP() << "the file system has no number of inodes";
  config_.limits.disk_reserve_inode_percent = 101;
  start();
  const auto id = submit(simple_script);
  until([&] { return std::filesystem::exists(folder_ / "gone"); });  // then runs are taken
  for (int i = 0; i < 10; ++i) until_quiet();
  EXPECT_EQ(run(id).status, model::RunStatus::queued);
}

TEST(RunDriver, WhatFailsAgainIsTriedLaterEachTimeUpToABound) {
  using base::Code;
  EXPECT_EQ(rest_after(Code::unavailable, 0), 1s);
  EXPECT_EQ(rest_after(Code::unavailable, 1), 1s);
  EXPECT_EQ(rest_after(Code::unavailable, 3), 4s);
  EXPECT_EQ(rest_after(Code::unavailable, 100), 16s);
  EXPECT_EQ(rest_after(Code::exhausted, 1), 100ms);
  EXPECT_EQ(rest_after(Code::exhausted, 4), 800ms);
  EXPECT_EQ(rest_after(Code::exhausted, 100), 12'800ms);
}

}  // namespace
}  // namespace agentrouter::worker
