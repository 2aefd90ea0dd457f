// What deleted runs leave, and what retention deletes, is removed to the last byte, whatever dies in between.

#include "runs/delete.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class RetentionTest : public WorkerTest {
 protected:
  model::RunId run_to_end() {
    const auto id = submit(simple_script);
    until([&] {
      return model::is_terminal(run(id).status) &&
             !read([&](store::Reader& reader) { return reader.has_open_attempt(id); });
    });
    return id;
  }
  void remove(const model::RunId& id) {
    base::value_or_throw(write([&](store::Transaction& tx) { return runs::delete_run(tx, {.run = id}, now()); }));
  }
  std::vector<store::DeletedRun> left() {
    return read([](store::Reader& reader) { return reader.deleted_runs(10); });
  }
  bool is_there(const model::RunId& id) {
    return read([&](store::Reader& reader) { return reader.run(id).has_value(); });
  }
  std::filesystem::path blobs_of(const model::RunId& id) { return folder_ / "blobs" / "runs" / id.str(); }
};

TEST_F(RetentionTest, ADeletedRunLeavesNoRowAndNoByte) {
  start();
  const auto id = run_to_end();
  ASSERT_TRUE(std::filesystem::exists(blobs_of(id)));
  remove(id);
  until([&] { return left().empty() && !std::filesystem::exists(blobs_of(id)); });
  EXPECT_THAT(artifacts(id), IsEmpty());
  EXPECT_FALSE(read([&](store::Reader& reader) { return reader.latest_attempt(id); }));
  until([&] { return !read([&](store::Reader& reader) { return reader.conversation(id); }); });
}

TEST_F(RetentionTest, WhatWasNotRemovedBeforeACrashIsRemovedAtTheNextStart) {
  start();
  const auto id = run_to_end();
  stop();
  remove(id);
  ASSERT_THAT(left(), SizeIs(1));
  // Half of it: one artifact's bytes are gone and its row is not.
  blobs_->remove(artifacts(id).front().r2_key);
  start();
  until([&] { return left().empty() && !std::filesystem::exists(blobs_of(id)); });
}

TEST_F(RetentionTest, RunsOfAgeAreDeletedWhenTheirConversationIsOver) {
  config_.retention.max_age = std::chrono::hours(2);
  start();
  const auto id = run_to_end();
  clock_.advance(std::chrono::hours(3));
  // The next run's end is a reason to look.
  const auto later = run_to_end();
  until([&] { return !is_there(id) && left().empty(); });
  EXPECT_TRUE(is_there(later));
}

TEST_F(RetentionTest, OnlyTheNewestRunsStayWhenTheirNumberIsBounded) {
  config_.retention.max_runs = 2;
  config_.conversations.one_shot_grace = std::chrono::milliseconds(0);
  start();
  std::vector<model::RunId> ids;
  for (int i = 0; i < 4; ++i) {
    clock_.advance(std::chrono::milliseconds(5));
    ids.push_back(run_to_end());
  }
  until([&] { return !is_there(ids[0]) && !is_there(ids[1]) && left().empty(); });
  EXPECT_TRUE(is_there(ids[2]));
  EXPECT_TRUE(is_there(ids[3]));
}

}  // namespace
}  // namespace agentrouter::worker
