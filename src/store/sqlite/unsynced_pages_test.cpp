#include "store/sqlite/unsynced_pages.h"

#include <gtest/gtest.h>

#include <string>

namespace agentrouter::store {

namespace {

constexpr int page_bytes = 64 << 10;

// A file that counts what is written to it, and whose syncs fail when told to.
struct CountingFile {
  sqlite3_file base{};
  int writes = 0;
  int syncs = 0;
  int syncs_that_fail = 0;
};

CountingFile& counting(sqlite3_file* file) {
  return *reinterpret_cast<CountingFile*>(file);
}

sqlite3_io_methods counting_methods() {
  sqlite3_io_methods made{};
  made.iVersion = 1;
  made.xWrite = [](sqlite3_file* f, const void*, int, sqlite3_int64) {
    ++counting(f).writes;
    return SQLITE_OK;
  };
  made.xTruncate = [](sqlite3_file*, sqlite3_int64) { return SQLITE_OK; };
  made.xSync = [](sqlite3_file* f, int) {
    ++counting(f).syncs;
    if (counting(f).syncs_that_fail == 0) return SQLITE_OK;
    --counting(f).syncs_that_fail;
    return SQLITE_IOERR_FSYNC;
  };
  return made;
}

class UnsyncedPagesTest : public ::testing::Test {
 protected:
  UnsyncedPagesTest() { file_.base.pMethods = &methods_; }

  void write(int page) {
    ASSERT_EQ(pages_->write(&file_.base, page_, static_cast<sqlite3_int64>(page) * page_bytes), SQLITE_OK);
  }
  void write_pages(int count) {
    for (int page = 0; page < count; ++page) write(page);
  }
  int sync() { return pages_->sync(&file_.base, SQLITE_SYNC_NORMAL); }
  void fail_a_sync() {
    file_.syncs_that_fail = 1;
    EXPECT_EQ(sync(), SQLITE_IOERR_FSYNC);
    file_.writes = file_.syncs = 0;
  }

  static constexpr int most_pages = static_cast<int>(UnsyncedPages::most_bytes / page_bytes);
  const std::string page_ = std::string(page_bytes, 'p');
  sqlite3_io_methods methods_ = counting_methods();
  CountingFile file_;
  std::shared_ptr<UnsyncedPages> pages_ = UnsyncedPages::of("unsynced_pages_test");
};

TEST_F(UnsyncedPagesTest, WhatAFailedSyncMayHaveLostIsWrittenOnceMoreBeforeTheNextOne) {
  write_pages(3);
  write(1);  // the same place again
  fail_a_sync();
  EXPECT_EQ(sync(), SQLITE_OK);
  EXPECT_EQ(file_.writes, 3);
  EXPECT_EQ(sync(), SQLITE_OK);
  EXPECT_EQ(file_.writes, 3) << "what is synced is not kept";
}

TEST_F(UnsyncedPagesTest, AsMuchAsIsKeptAtMostCanBeWrittenOnceMore) {
  write_pages(most_pages);
  fail_a_sync();
  EXPECT_EQ(sync(), SQLITE_OK);
  EXPECT_EQ(file_.writes, most_pages);
}

TEST_F(UnsyncedPagesTest, BeyondThatNoSyncIsSaidToHaveWorkedUntilTheFileIsOpenedAnew) {
  write_pages(most_pages + 1);
  fail_a_sync();
  write(0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sync(), SQLITE_IOERR_FSYNC);
  EXPECT_EQ(file_.syncs, 0) << "a sync that works proves nothing";
  auto other = UnsyncedPages::of("unsynced_pages_test");
  EXPECT_EQ(other->sync(&file_.base, SQLITE_SYNC_NORMAL), SQLITE_IOERR_FSYNC) << "another connection to it";
  other.reset();
  pages_.reset();
  pages_ = UnsyncedPages::of("unsynced_pages_test");
  EXPECT_EQ(sync(), SQLITE_OK);
}

TEST_F(UnsyncedPagesTest, MoreThanIsKeptDoesNoHarmWhereTheSyncWorks) {
  write_pages(most_pages + 1);
  EXPECT_EQ(sync(), SQLITE_OK);
  write_pages(2);
  fail_a_sync();
  EXPECT_EQ(sync(), SQLITE_OK);
  EXPECT_EQ(file_.writes, 2) << "it is counted anew from each sync";
}

TEST_F(UnsyncedPagesTest, WhatIsCutOffCountsNoMore) {
  write_pages(most_pages);
  ASSERT_EQ(pages_->truncate(&file_.base, page_bytes), SQLITE_OK);
  for (int page = 1; page < most_pages; ++page) write(page);
  fail_a_sync();
  EXPECT_EQ(sync(), SQLITE_OK);
  EXPECT_EQ(file_.writes, most_pages);
}

}  // namespace

}  // namespace agentrouter::store
