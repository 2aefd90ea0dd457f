#include <gtest/gtest.h>

#include "store/sqlite/checked_vfs.h"
#include "store/sqlite/sim_vfs_conformance.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/builders.h"
#include "testing/memory_dir.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

using testing::SimDisk;

// A store on a simulated disk, and one run in it whose events are counted.
class SqlitePower : public ::testing::Test {
 protected:
  // False when the disk does not let it.
  bool open() {
    auto opened = open_sqlite_store(file(), {.readers = 1,
                                             .wal_cap_bytes = wal_cap_,
                                             .checkpoint_delay = checkpoint_delay_,
                                             .vfs = vfs_.name()});
    if (opened) store_ = std::move(*opened);
    return opened.has_value();
  }
  std::filesystem::path file() const { return folder_ / "a.db"; }
  std::string wal() const { return file().string() + "-wal"; }
  // As kill -9: nothing reaches the disk any more, and what is in its cache stays there.
  void kill() {
    disk_.die_at(disk_.steps());
    store_.reset();
    disk_.heal();
  }
  // Of a connection beside the store's; the pages of the WAL, and those that are in the database.
  static int checkpoint(Connection& connection, int& pages, int& moved) {
    return sqlite3_wal_checkpoint_v2(connection.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  }
  void lose_power() {
    store_.reset();
    disk_.lose_power();
  }
  // "" when it was acknowledged, else the reason.
  std::string append() {
    try {
      testing::run_task(io_, store_->write([](Transaction& tx) {
        if (!tx.run(testing::run_id("a"))) tx.insert_run(testing::make_run("a"));
        tx.append(testing::run_id("a"),
                  testing::make_draft("agent.progress", R"({"text":")" + std::string(900, 'x') + R"("})"));
      }));
    } catch (const base::Failure& failure) {
      EXPECT_NE(failure.error().code, base::Code::internal) << failure.what();
      return failure.error().reason;
    }
    return "";
  }
  // The run's events are 1..n and its counter says so.
  model::Seq contiguous() {
    return testing::run_task(io_, store_->read([](Reader& reader) {
      const auto run = reader.run(testing::run_id("a"));
      const auto events = reader.events(testing::run_id("a"), 0, 100'000);
      for (std::size_t i = 0; i < events.size(); ++i)
        EXPECT_EQ(events[i].sequence, static_cast<model::Seq>(i + 1));
      EXPECT_EQ(run ? run->last_event_seq : 0, static_cast<model::Seq>(events.size()));
      return static_cast<model::Seq>(events.size());
    }));
  }
  std::string integrity() {
    store_.reset();
    try {
      Connection connection(file(), checked_vfs(vfs_.name()));
      auto statement = connection.statement("PRAGMA integrity_check");
      return statement.step() ? statement.text(0) : "nothing";
    } catch (const base::Failure& failure) {
      return failure.what();
    }
  }

  testing::MemoryDir folder_;
  std::int64_t wal_cap_ = 48 << 10;
  std::chrono::milliseconds checkpoint_delay_ = std::chrono::hours(1);
  SimDisk disk_;
  SimVfs vfs_{disk_};
  asio::io_context io_;
  std::unique_ptr<Store> store_;
};

TEST_F(SqlitePower, WhatWasAcknowledgedIsThereWhereverPowerIsLost) {
  constexpr model::Seq all = 12;
  ASSERT_TRUE(open());
  store_.reset();
  const auto made = disk_.image();
  std::uint64_t last = 1'000;
  for (std::uint64_t step = 1; step <= last; ++step) {
    disk_.load(made);
    ASSERT_TRUE(open());
    disk_.die_at(disk_.steps() + step);
    model::Seq acknowledged = 0;
    while (acknowledged < all && append() == "") ++acknowledged;
    if (acknowledged == all) last = step;
    lose_power();
    ASSERT_TRUE(open()) << "step " << step;
    const auto there = contiguous();
    ASSERT_GE(there, acknowledged) << "step " << step;
    ASSERT_LE(there, acknowledged + 1) << "step " << step;
    ASSERT_EQ(append(), "");
    ASSERT_EQ(contiguous(), there + 1);
    if (step % 10 == 0) ASSERT_EQ(integrity(), "ok") << "step " << step;
    store_.reset();
  }
  EXPECT_GT(last, 60u);
}

TEST_F(SqlitePower, PowerThatIsLostWhileTheDatabaseIsMadeLeavesOneThatOpens) {
  ASSERT_TRUE(open());
  const auto steps = disk_.steps();
  for (std::uint64_t step = 1; step < steps; step += 1 + steps / 16) {
    store_.reset();
    disk_.load({});
    disk_.die_at(disk_.steps() + step);
    (void)open();
    lose_power();
    ASSERT_TRUE(open()) << "step " << step;
    ASSERT_EQ(append(), "");
  }
}

TEST_F(SqlitePower, WithoutSyncsAcknowledgedEventsAreLost) {
  bool lost = false;
  for (int round = 0; round < 8 && !lost; ++round) {
    ASSERT_TRUE(open());
    const auto before = contiguous();
    disk_.drop_syncs(true);
    for (int i = 0; i < 8; ++i) ASSERT_EQ(append(), "");
    lose_power();
    lost = !open() || contiguous() < before + 8;
    if (lost) break;
  }
  EXPECT_TRUE(lost) << "the simulated disk loses nothing: no test here can fail";
}

TEST_F(SqlitePower, AFailedSyncIsNotTriedAgainAsIfItHadWorked) {
  wal_cap_ = 64 << 20;
  ASSERT_TRUE(open());
  for (int round = 0; round < 20; ++round) {
    const auto before = contiguous();
    ASSERT_EQ(append(), "");
    disk_.fail_syncs(1);
    ASSERT_EQ(append(), "storage_failed");
    ASSERT_EQ(contiguous(), before + 1) << "what was not acknowledged is not seen";
    const bool goes_on = round % 2 == 0;
    if (goes_on) ASSERT_EQ(append(), "") << "it recovers by itself";
    lose_power();
    ASSERT_TRUE(open());
    // Who was told of a failure may find it done after a crash, once; what was acknowledged is always there.
    ASSERT_GE(contiguous(), before + (goes_on ? 2 : 1));
    ASSERT_LE(contiguous(), before + 2);
  }
}

TEST_F(SqlitePower, NothingIsWrittenBeforeTheStoreHasRecovered) {
  wal_cap_ = 64 << 20;
  ASSERT_TRUE(open());
  ASSERT_EQ(append(), "");
  disk_.fail_syncs(1'000);
  for (int i = 0; i < 5; ++i) ASSERT_EQ(append(), "storage_failed");
  EXPECT_EQ(contiguous(), 1) << "reading goes on";
  disk_.fail_syncs(0);
  ASSERT_EQ(append(), "");
  lose_power();
  ASSERT_TRUE(open());
  EXPECT_EQ(contiguous(), 2);
}

TEST_F(SqlitePower, ACommitBehindOneThatAKilledServerCouldNotSyncIsThere) {
  wal_cap_ = 64 << 20;
  ASSERT_TRUE(open());
  for (std::uint64_t round = 0; round < 60; ++round) {
    ASSERT_EQ(append(), "");
    auto acknowledged = contiguous();
    auto seen = acknowledged;
    disk_.fail_syncs(1);
    ASSERT_EQ(append(), "storage_failed");
    kill();
    // Power is lost while it starts, after its next commits, or somewhere between.
    disk_.die_at(disk_.steps() + 1 + 3 * round);
    if (open()) {
      seen = contiguous();
      while (append() == "") {
        ++acknowledged;
        ++seen;
      }
    }
    lose_power();
    ASSERT_TRUE(open()) << "round " << round;
    ASSERT_GE(contiguous(), acknowledged) << "round " << round;
    ASSERT_GE(contiguous(), seen) << "what was seen has been there, round " << round;
    ASSERT_EQ(integrity(), "ok") << "round " << round;
    ASSERT_TRUE(open());
  }
}

TEST_F(SqlitePower, PagesThatAPartOfACheckpointMovedOutliveASyncThatFails) {
  wal_cap_ = 64 << 20;
  ASSERT_TRUE(open());
  int pages = 0;
  int moved = 0;
  for (int round = 0; round < 20; ++round) {
    {
      Connection reader(file(), checked_vfs(vfs_.name()));
      Connection mover(file(), checked_vfs(vfs_.name()));
      mover.execute("SELECT count(*) FROM runs");
      for (int i = 0; i < 6; ++i) ASSERT_EQ(append(), "");
      reader.execute("BEGIN; SELECT count(*) FROM runs");
      ASSERT_EQ(append(), "");
      ASSERT_EQ(checkpoint(mover, pages, moved), SQLITE_OK);
      ASSERT_TRUE(moved > 0 && moved < pages) << moved << " of " << pages;
      reader.execute("COMMIT");
      disk_.fail_syncs(1, file().string());
      ASSERT_EQ(checkpoint(mover, pages, moved) & 0xff, SQLITE_IOERR);
      ASSERT_EQ(checkpoint(mover, pages, moved), SQLITE_OK);
      ASSERT_EQ(moved, pages);
    }
    ASSERT_EQ(append(), "") << "the WAL begins anew";
    const auto acknowledged = contiguous();
    lose_power();
    ASSERT_TRUE(open()) << "round " << round;
    ASSERT_EQ(contiguous(), acknowledged) << "round " << round;
    ASSERT_EQ(integrity(), "ok") << "round " << round;
    ASSERT_TRUE(open());
  }
}

TEST_F(SqlitePower, ACheckpointThatCouldNotSyncEmptiesTheWalBeforeTheNextCommit) {
  wal_cap_ = 64 << 20;
  for (const auto& failing : {file().string(), wal()}) {
    checkpoint_delay_ = std::chrono::hours(1);
    ASSERT_TRUE(open());
    for (int i = 0; i < 8; ++i) ASSERT_EQ(append(), "");
    kill();
    checkpoint_delay_ = std::chrono::milliseconds(1);
    ASSERT_TRUE(open());
    auto acknowledged = contiguous();
    const auto long_wal = disk_.size(wal());
    // The WAL's may be met by a commit instead, which then fails.
    disk_.fail_syncs(1, failing);
    for (int i = 0; i < 5'000 && disk_.size(wal()) >= long_wal; ++i) acknowledged += append() == "" ? 1 : 0;
    EXPECT_LT(disk_.size(wal()), long_wal) << failing;
    lose_power();
    ASSERT_TRUE(open());
    EXPECT_GE(contiguous(), acknowledged);
    store_.reset();
  }
}

TEST_F(SqlitePower, AFullDiskAndOneThatIsReadOnlyAreAnsweredAndPass) {
  ASSERT_TRUE(open());
  ASSERT_EQ(append(), "");
  disk_.set_capacity(disk_.size(file().string()) + disk_.size(wal()));
  int refused = 0;
  for (int i = 0; i < 30; ++i) refused += append() == "storage_full" ? 1 : 0;
  EXPECT_GT(refused, 0);
  disk_.heal();
  ASSERT_EQ(append(), "");
  disk_.fail_writes(SimDisk::Status::read_only);
  EXPECT_EQ(append(), "storage_failed");
  EXPECT_GT(contiguous(), 0);
  disk_.heal();
  EXPECT_EQ(append(), "");
}

TEST_F(SqlitePower, ShortWritesAreWrittenToTheirEnd) {
  ASSERT_TRUE(open());
  disk_.cut_writes(true);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(append(), "");
  lose_power();
  ASSERT_TRUE(open());
  EXPECT_EQ(contiguous(), 20);
}

TEST_F(SqlitePower, AFlippedBitIsNeverReadAsData) {
  ASSERT_TRUE(open());
  for (int i = 0; i < 40; ++i) ASSERT_EQ(append(), "");
  store_.reset();
  const auto size = disk_.size(file().string());
  std::mt19937_64 random(7);
  int seen = 0;
  for (int i = 0; i < 60; ++i) {
    const auto at = 4096 + random() % (size - 4096);
    const int bit = static_cast<int>(random() % 8);
    disk_.flip(file().string(), at, bit);
    if (!open()) {
      ++seen;
    } else {
      try {
        EXPECT_EQ(contiguous(), 40);
      } catch (const base::Failure& failure) {
        EXPECT_EQ(failure.error().reason, "store_corrupt") << failure.what();
        ++seen;
      }
    }
    EXPECT_NE(integrity(), "ok") << "byte " << at;
    disk_.flip(file().string(), at, bit);
  }
  EXPECT_GT(seen, 0);
  EXPECT_EQ(integrity(), "ok");
}

TEST_F(SqlitePower, ADiskThatCannotBeReadIsAnswered) {
  ASSERT_TRUE(open());
  for (int i = 0; i < 40; ++i) ASSERT_EQ(append(), "");
  store_.reset();
  ASSERT_TRUE(open());
  disk_.fail_reads(true);
  try {
    (void)contiguous();
  } catch (const base::Failure& failure) {
    EXPECT_EQ(failure.error().reason, "storage_failed");
  }
  disk_.heal();
  EXPECT_EQ(contiguous(), 40);
}

TEST(CheckedVfs, ADatabaseWithoutRoomForChecksumsIsUsedAsItIs) {
  testing::TempDir folder;
  const auto path = folder / "old.db";
  sqlite3* plain = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &plain), SQLITE_OK);
  sqlite3_exec(plain, "CREATE TABLE t (a); INSERT INTO t VALUES (1)", nullptr, nullptr, nullptr);
  sqlite3_close(plain);
  Connection connection(path, checked_vfs(""));
  connection.execute("INSERT INTO t VALUES (2)");
  EXPECT_FALSE(has_checksums(connection));
  auto count = connection.statement("SELECT count(*) FROM t");
  ASSERT_TRUE(count.step());
  EXPECT_EQ(count.integer(0), 2);
}

TEST(CheckedVfs, ANewStoreHasChecksums) {
  testing::TempDir folder;
  base::value_or_throw(open_sqlite_store(folder / "a.db"));
  Connection connection(folder / "a.db", checked_vfs(""));
  connection.execute("SELECT count(*) FROM runs");
  EXPECT_TRUE(has_checksums(connection));
}

}  // namespace

}  // namespace agentrouter::store
