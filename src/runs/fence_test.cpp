// Every write of a worker, with the token of a lease that another one has taken: refused, and nothing of it stored.

#include <gtest/gtest.h>

#include "runs/approvals.h"
#include "runs/budgets.h"
#include "runs/close.h"
#include "runs/journal_commit.h"
#include "runs/prepare.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {
namespace {

using namespace std::chrono_literals;

const model::ActionId asked_action("action_1");

struct WorkerWrite {
  const char* name;
  std::function<base::Result<void>(store::Transaction&, const Fence&, Context)> write;
};

template <class T>
base::Result<void> outcome(base::Result<T> result) {
  if (!result) return tl::unexpected(std::move(result).error());
  return {};
}

JournalBatch a_batch() {
  JournalBatch batch;
  batch.from_offset = 10;
  batch.to_offset = 20;
  batch.events = {testing::make_draft("agent.message")};
  batch.answers = {{Answer::Kind::refused, asked_action, "withdrawn"}};
  batch.spendings = {{{5, 5}, "{}"}};
  return batch;
}

const std::vector<WorkerWrite>& worker_writes() {
  using Tx = store::Transaction;
  static const std::vector<WorkerWrite> all{
      {"renew_lease", [](Tx& tx, auto& f, Context c) { return outcome(renew_lease(tx, f, 1000ms, c)); }},
      {"note_launch", [](Tx& tx, auto& f, Context) { return note_launch(tx, f); }},
      {"start_next_attempt",
       [](Tx& tx, auto& f, Context c) { return outcome(start_next_attempt(tx, f, {"worker_1"}, "attempt_lost", c)); }},
      {"retire_attempt", [](Tx& tx, auto& f, Context) { return retire_attempt(tx, f); }},
      {"commit_journal", [](Tx& tx, auto& f, Context c) { return outcome(commit_journal(tx, f, a_batch(), c)); }},
      {"expire_approval", [](Tx& tx, auto& f, Context c) { return expire_approval(tx, f, asked_action, c); }},
      {"workspace_preparing", [](Tx& tx, auto& f, Context c) { return workspace_preparing(tx, f, c); }},
      {"workspace_prepared",
       [](Tx& tx, auto& f, Context c) { return outcome(workspace_prepared(tx, f, {"tree", "commit"}, c)); }},
      {"grow_allowance",
       [](Tx& tx, auto& f, Context c) { return outcome(grow_allowance(tx, f, {}, {1, 1}, {}, c)); }},
      {"begin_close", [](Tx& tx, auto& f, Context c) { return outcome(begin_close(tx, f, {}, c)); }},
      {"fail_run", [](Tx& tx, auto& f, Context c) { return outcome(fail_run(tx, f, {"worker_failed", "", ""}, c)); }},
      {"finish_close", [](Tx& tx, auto& f, Context c) { return outcome(finish_close(tx, f, {}, c)); }},
  };
  return all;
}

class FencedWrite : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    auto run = testing::make_run("a");
    run.approval_timeout = 60s;
    held_ = db_.write([&](store::Transaction& tx) {
      tx.insert_run(run);
      return claim_run(tx, {"worker_1"}, context())->fence();
    });
    JournalBatch first;
    first.to_offset = 10;
    first.events = {testing::make_draft("agent.progress")};
    first.questions = {{asked_action, "sha256:d", "sha256:a", "approval_1", "evt_1"}};
    base::value_or_throw(
        db_.write([&](store::Transaction& tx) { return commit_journal(tx, held_, first, context()); }));
    db_.clock.advance(61s);
  }
  // All that a worker's write could change.
  std::string stored() {
    return db_.read([](store::Reader& reader) {
      const auto id = testing::run_id("a");
      std::string text = reader.run(id)->to_wire();
      for (const auto& event : reader.events(id, 0, 100)) text += "\n" + event.to_wire();
      for (const auto& artifact : reader.artifacts(id)) text += "\n" + artifact.to_wire();
      const auto approval = reader.approval(id, asked_action);
      text += "\n" + std::string(to_string(approval->state)) + (approval->delivered ? " delivered" : "");
      for (const auto& attempt : reader.open_attempts())
        text += "\n" + attempt.id.str() + " " + attempt.worker_id + " " + std::to_string(attempt.token) + " " +
                std::to_string(attempt.beats) + " " + std::to_string(attempt.journal_offset) + attempt.closing +
                (attempt.launched ? " launched" : "");
      const auto spending = reader.spending(id);
      return text + "\n" + (spending ? std::to_string(spending->tokens) : "nothing spent");
    });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
  Fence held_;
};

TEST_P(FencedWrite, OfALostLeaseIsRefusedAndStoresNothing) {
  const auto& [name, write] = worker_writes()[GetParam()];
  base::value_or_throw(db_.write([&](store::Transaction& tx) {
    return take_over(tx, held_.attempt, {"worker_2"}, std::nullopt, context());
  }));
  const std::string before = stored();
  const auto done = db_.write([&](store::Transaction& tx) { return write(tx, held_, context()); });
  ASSERT_FALSE(done) << name;
  EXPECT_EQ(done.error().reason, "lease_lost") << name;
  EXPECT_EQ(stored(), before) << name;
}

TEST_P(FencedWrite, OfAnAttemptWithASuccessorIsRefusedButForItsRetirement) {
  const auto& [name, write] = worker_writes()[GetParam()];
  base::value_or_throw(db_.write([&](store::Transaction& tx) {
    return start_next_attempt(tx, held_, {"worker_1"}, "attempt_lost", context());
  }));
  const std::string before = stored();
  const auto done = db_.write([&](store::Transaction& tx) { return write(tx, held_, context()); });
  if (name == std::string("retire_attempt")) {
    EXPECT_TRUE(done);
    return;
  }
  ASSERT_FALSE(done) << name;
  EXPECT_EQ(done.error().reason, "lease_lost") << name;
  EXPECT_EQ(stored(), before) << name;
}

INSTANTIATE_TEST_SUITE_P(Each, FencedWrite, ::testing::Range<std::size_t>(0, worker_writes().size()),
                         [](const auto& info) { return std::string(worker_writes()[info.param].name); });

}  // namespace
}  // namespace agentrouter::runs
