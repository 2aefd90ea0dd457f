#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "store/sqlite/fault_vfs_conformance.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/builders.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

class Counter final : public CommitListener {
 public:
  void committed(std::shared_ptr<const std::vector<model::Event>> events) override {
    count += static_cast<int>(events->size());
  }
  void run_changed(const model::RunId&, model::RunStatus) override {}
  std::atomic<int> count{0};
};

// A store whose disk refuses when told to, and one run in it.
class SqliteFaults : public ::testing::Test {
 protected:
  void SetUp() override {
    disk_.heal();
    reopen();
    testing::run_task(io_, store_->write([](Transaction& tx) { tx.insert_run(testing::make_run("a")); }));
  }
  void TearDown() override { disk_.heal(); }
  void reopen() {
    store_.reset();
    store_ = base::value_or_throw(open_sqlite_store(folder_ / "a.db", {.vfs = FaultVfs::name}));
    store_->add_listener(&listener_);
  }
  // "" when it was acknowledged, else the reason.
  std::string append(std::size_t payload_bytes = 0) {
    std::string reason = "nothing happened";
    start_append(reason, payload_bytes);
    finish_all();
    return reason;
  }
  void start_append(std::string& reason, std::size_t payload_bytes = 0) {
    asio::co_spawn(io_.get_executor(), append_one(*store_, payload_bytes),
                   [&reason](std::exception_ptr error) {
                     reason = "";
                     try {
                       if (error) std::rethrow_exception(error);
                     } catch (const base::Failure& failure) {
                       EXPECT_EQ(failure.error().code, base::Code::unavailable) << failure.what();
                       reason = failure.error().reason;
                     }
                   });
  }
  void finish_all() {
    io_.restart();
    io_.run();
  }
  static base::Task<void> append_one(Store& store, std::size_t payload_bytes) {
    co_await store.write([payload_bytes](Transaction& tx) {
      const auto payload = R"({"text":")" + std::string(payload_bytes, 'x') + R"("})";
      tx.append(testing::run_id("a"), testing::make_draft("agent.progress", payload));
    });
  }
  // The run's events are 1..n, its counter says so, and n is returned.
  model::Seq contiguous() {
    return testing::run_task(io_, store_->read([](Reader& reader) {
      const auto events = reader.events(testing::run_id("a"), 0, 100'000);
      for (std::size_t i = 0; i < events.size(); ++i)
        EXPECT_EQ(events[i].sequence, static_cast<model::Seq>(i + 1));
      EXPECT_EQ(reader.run(testing::run_id("a"))->last_event_seq, static_cast<model::Seq>(events.size()));
      return static_cast<model::Seq>(events.size());
    }));
  }

  FaultVfs& disk_ = FaultVfs::instance();
  testing::TempDir folder_;
  asio::io_context io_;
  Counter listener_;
  std::unique_ptr<Store> store_;
};

TEST_F(SqliteFaults, AFullDiskFailsEveryClosureOfTheBatchAndTheStoreGoesOn) {
  ASSERT_EQ(append(), "");
  disk_.fail_writes(SQLITE_FULL);
  std::vector<std::string> reasons(50);
  for (auto& reason : reasons) start_append(reason);
  finish_all();
  for (const auto& reason : reasons) EXPECT_EQ(reason, "storage_full");
  EXPECT_EQ(contiguous(), 1);
  disk_.heal();
  EXPECT_EQ(append(), "");
  EXPECT_EQ(contiguous(), 2);
  EXPECT_EQ(listener_.count, 2);
  reopen();
  EXPECT_EQ(contiguous(), 2);
}

TEST_F(SqliteFaults, ASyncThatFailsAcknowledgesNothing) {
  ASSERT_EQ(append(), "");
  disk_.fail_syncs(SQLITE_IOERR_FSYNC);
  EXPECT_EQ(append(), "storage_failed");
  EXPECT_EQ(contiguous(), 1);
  disk_.heal();
  EXPECT_EQ(append(), "");
  EXPECT_EQ(contiguous(), 2);
  EXPECT_EQ(listener_.count, 2);
}

TEST_F(SqliteFaults, ADiskThatFillsInTheMiddleOfAClosureFailsTheWholeBatch) {
  disk_.fail_writes(SQLITE_FULL);
  std::vector<std::string> reasons(3);
  start_append(reasons[0]);
  start_append(reasons[1], 8 << 20);  // more than the page cache holds: written before the commit
  start_append(reasons[2]);
  finish_all();
  for (const auto& reason : reasons) EXPECT_EQ(reason, "storage_full");
  disk_.heal();
  EXPECT_EQ(contiguous(), 0);
  EXPECT_EQ(append(8 << 20), "");
  EXPECT_EQ(contiguous(), 1);
}

TEST_F(SqliteFaults, EveryWriteAndEverySyncMayBeTheOneThatFails) {
  model::Seq acknowledged = 0;
  for (int step = 1; step <= 12; ++step) {
    for (const bool at_sync : {false, true}) {
      if (at_sync) {
        disk_.fail_syncs(SQLITE_IOERR_FSYNC, step % 3 + 1);
      } else {
        disk_.fail_writes(SQLITE_FULL, step);
      }
      for (int i = 0; i < 3; ++i) acknowledged += append(2000) == "" ? 1 : 0;
      disk_.heal();
      ASSERT_EQ(contiguous(), acknowledged);
      if (step % 4 == 0) reopen();
      ASSERT_EQ(contiguous(), acknowledged);
    }
  }
  EXPECT_GT(acknowledged, 0);
  EXPECT_EQ(listener_.count, acknowledged);
}

TEST_F(SqliteFaults, AcknowledgedMeansSynced) {
  for (int i = 0; i < 20; ++i) {
    const int before = disk_.syncs();
    ASSERT_EQ(append(), "");
    EXPECT_GT(disk_.syncs(), before);
    EXPECT_TRUE(disk_.all_synced());
  }
}

TEST_F(SqliteFaults, ManyWritersShareOneSync) {
  const int before = disk_.syncs();
  std::vector<std::string> reasons(400);
  for (auto& reason : reasons) start_append(reason);
  finish_all();
  EXPECT_EQ(contiguous(), 400);
  EXPECT_LT(disk_.syncs() - before, 200);
}

}  // namespace

}  // namespace agentrouter::store
