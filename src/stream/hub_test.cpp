#include "stream/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>
#include <thread>

#include "testing/store_fixture.h"

namespace agentrouter::stream {

namespace {

using ::testing::ElementsAre;

base::Deadline soon() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(60);
}
base::Deadline now() {
  return std::chrono::steady_clock::now();
}

// Follows to the end of the run, at its own pace.
base::Task<void> follow(Subscription& subscription, std::vector<model::Seq>& seen) {
  while (true) {
    const auto batch = co_await subscription.next(soon());
    for (const auto& frame : batch.frames) seen.push_back(frame.sequence);
    if (batch.ended) co_return;
  }
}

std::vector<model::Seq> upto(model::Seq last) {
  std::vector<model::Seq> all;
  for (model::Seq sequence = 1; sequence <= last; ++sequence) all.push_back(sequence);
  return all;
}

class HubOfRuns : public ::testing::Test {
 protected:
  void SetUp() override { submit("a"); }
  void submit(std::string_view name) {
    db_.write([&](store::Transaction& tx) { tx.insert_run(testing::make_run(name)); });
  }
  void append(int count, std::string_view name = "a", std::string_view payload = "{}") {
    db_.write([&](store::Transaction& tx) {
      for (int i = 0; i < count; ++i)
        tx.append(testing::run_id(name), testing::make_draft("agent.progress", payload));
    });
  }
  void finish(std::string_view name = "a") {
    db_.write([&](store::Transaction& tx) {
      tx.append(testing::run_id(name), testing::make_draft("run.completed"));
      auto run = tx.run(testing::run_id(name));
      run->status = model::RunStatus::completed;
      tx.update_run(*run);
    });
  }
  Hub& hub(HubOptions options = {}) { return hub_.emplace(db_.io().get_executor(), db_.store(), options); }
  Batch next(Subscription& subscription, base::Deadline deadline) {
    return testing::run_task(db_.io(), subscription.next(deadline));
  }
  std::vector<model::Seq> all_of(Subscription& subscription) {
    std::vector<model::Seq> seen;
    testing::run_task(db_.io(), follow(subscription, seen));
    return seen;
  }
  static std::vector<model::Seq> sequences(const Batch& batch) {
    std::vector<model::Seq> all;
    for (const auto& frame : batch.frames) all.push_back(frame.sequence);
    return all;
  }

  testing::StoreFixture db_;
  std::optional<Hub> hub_;
};

TEST_F(HubOfRuns, CommitsThatNobodyToldOfAreReadAgainWhenThatIsSaid) {
  const auto subscription = hub().subscribe(testing::run_id("a"), 0);
  EXPECT_THAT(sequences(next(*subscription, now())), ElementsAre());
  db_.store().remove_listener(&*hub_);
  append(1);
  finish();
  EXPECT_THAT(sequences(next(*subscription, now())), ElementsAre());
  const auto questions = hub_->questions();
  hub_->missed();
  EXPECT_THAT(all_of(*subscription), ElementsAre(1, 2));
  EXPECT_GT(hub_->questions(), questions);
}

TEST_F(HubOfRuns, HistoryThenWhatIsCommittedThenTheEnd) {
  append(2);
  const auto subscription = hub().subscribe(testing::run_id("a"), 0);
  EXPECT_THAT(sequences(next(*subscription, soon())), ElementsAre(1, 2));
  append(1);
  const auto live = next(*subscription, soon());
  EXPECT_THAT(sequences(live), ElementsAre(3));
  EXPECT_FALSE(live.ended);
  EXPECT_THAT(*live.frames[0].text, ::testing::StartsWith("id: 3\nevent: agent.progress\ndata: {"));
  finish();
  const auto last = next(*subscription, soon());
  EXPECT_THAT(sequences(last), ElementsAre(4));
  EXPECT_TRUE(last.ended);
  EXPECT_TRUE(next(*subscription, soon()).ended);
  EXPECT_EQ(subscription->cursor(), 4);
}

TEST_F(HubOfRuns, AnyCursorGivesExactlyTheRest) {
  append(3);
  finish();
  hub();
  for (model::Seq after = 0; after <= 3; ++after) {
    const auto subscription = hub_->subscribe(testing::run_id("a"), after);
    const auto rest = all_of(*subscription);
    ASSERT_EQ(rest.size(), static_cast<std::size_t>(4 - after));
    EXPECT_EQ(rest.front(), after + 1);
  }
  EXPECT_TRUE(next(*hub_->subscribe(testing::run_id("a"), 4), soon()).ended);
  EXPECT_TRUE(next(*hub_->subscribe(testing::run_id("a"), 400), soon()).ended);
}

TEST_F(HubOfRuns, AnUnknownRunHasEnded) {
  EXPECT_TRUE(next(*hub().subscribe(model::RunId("run_x"), 0), soon()).ended);
}

TEST_F(HubOfRuns, TheDeadlinePassesWithoutEvents) {
  const auto subscription = hub().subscribe(testing::run_id("a"), 0);
  const auto nothing = next(*subscription, now() + std::chrono::milliseconds(5));
  EXPECT_TRUE(nothing.frames.empty());
  EXPECT_FALSE(nothing.ended);
  append(1);
  EXPECT_THAT(sequences(next(*subscription, soon())), ElementsAre(1));
}

TEST_F(HubOfRuns, ACursorAheadOfTheRunWaitsForItsNumber) {
  append(1);
  const auto subscription = hub().subscribe(testing::run_id("a"), 3);
  EXPECT_TRUE(next(*subscription, now()).frames.empty());
  append(3);
  EXPECT_THAT(sequences(next(*subscription, soon())), ElementsAre(4));
}

TEST_F(HubOfRuns, AQuestionOfAnyRunWakesWhoWaitsForOne) {
  auto& all = hub();
  const auto ask = [&] {
    db_.write([&](store::Transaction& tx) {
      tx.append(testing::run_id("a"), testing::make_draft("approval.requested"));
    });
  };
  const auto seen = all.questions();
  append(1);
  testing::run_task(db_.io(), all.question_after(seen, now()));
  EXPECT_EQ(all.questions(), seen);
  ask();
  testing::run_task(db_.io(), all.question_after(seen, soon()));
  EXPECT_EQ(all.questions(), seen + 1);
  testing::run_task(db_.io(), all.question_after(seen, soon()));
}

TEST_F(HubOfRuns, NobodyWaitsWhenTheProgramStops) {
  auto& all = hub();
  all.end_waits();
  testing::run_task(db_.io(), all.question_after(all.questions(), soon()));
  EXPECT_TRUE(all.stopping());
}

TEST_F(HubOfRuns, RunsDoNotMix) {
  submit("b");
  const auto subscription = hub().subscribe(testing::run_id("a"), 0);
  EXPECT_TRUE(next(*subscription, now()).frames.empty());
  append(5, "b");
  append(1, "a");
  EXPECT_THAT(sequences(next(*subscription, soon())), ElementsAre(1));
}

TEST_F(HubOfRuns, LiveFramesAreSharedBetweenSubscribers) {
  hub();
  const auto first = hub_->subscribe(testing::run_id("a"), 0);
  const auto second = hub_->subscribe(testing::run_id("a"), 0);
  (void)next(*first, now());
  (void)next(*second, now());
  append(1);
  const auto to_first = next(*first, soon());
  const auto to_second = next(*second, soon());
  ASSERT_EQ(to_first.frames.size(), 1u);
  ASSERT_EQ(to_second.frames.size(), 1u);
  EXPECT_EQ(to_first.frames[0].text, to_second.frames[0].text);
}

TEST_F(HubOfRuns, ASubscriberThatSleptReadsTheStoreWithoutGap) {
  const auto subscription =
      hub({.queue_bytes = 2000, .batch_bytes = 3000, .page_events = 7}).subscribe(testing::run_id("a"), 0);
  EXPECT_TRUE(next(*subscription, now()).frames.empty());
  for (int i = 0; i < 20; ++i) append(10);
  finish();
  EXPECT_EQ(all_of(*subscription), upto(201));
}

TEST_F(HubOfRuns, AnEventLargerThanTheQueueArrives) {
  const auto subscription = hub({.queue_bytes = 1000}).subscribe(testing::run_id("a"), 0);
  EXPECT_TRUE(next(*subscription, now()).frames.empty());
  append(1, "a", R"({"text":")" + std::string(100'000, 'x') + R"("})");
  finish();
  EXPECT_EQ(all_of(*subscription), upto(2));
}

TEST_F(HubOfRuns, SubscribersWhoJoinWhileEventsAreWrittenMissNothing) {
  hub({.queue_bytes = 20'000, .batch_bytes = 8'000, .page_events = 16});
  std::vector<std::unique_ptr<Subscription>> subscriptions;
  std::vector<std::vector<model::Seq>> seen(20);
  int open = 0;
  const auto join = [&](std::size_t index) {
    subscriptions.push_back(hub_->subscribe(testing::run_id("a"), 0));
    ++open;
    asio::co_spawn(db_.io().get_executor(), follow(*subscriptions.back(), seen[index]),
                   [&](std::exception_ptr error) {
                     EXPECT_FALSE(error);
                     --open;
                   });
  };
  // Each write and each join lets the others run meanwhile.
  for (std::size_t i = 0; i < seen.size(); ++i) {
    join(i);
    for (int burst = 0; burst < 5; ++burst) append(9);
  }
  finish();
  while (open > 0) db_.io().run_one();
  for (const auto& sequences : seen) EXPECT_EQ(sequences, upto(20 * 45 + 1));
}

TEST_F(HubOfRuns, AnotherThreadMayWriteMeanwhile) {
  hub({.queue_bytes = 20'000, .page_events = 16});
  const auto early = hub_->subscribe(testing::run_id("a"), 0);
  asio::io_context elsewhere;
  std::thread writer([&] {
    for (int i = 0; i < 100; ++i) {
      testing::run_task(elsewhere, db_.store().write([&](store::Transaction& tx) {
        tx.append(testing::run_id("a"), testing::make_draft("agent.progress"));
      }));
    }
    testing::run_task(elsewhere, db_.store().write([&](store::Transaction& tx) {
      tx.append(testing::run_id("a"), testing::make_draft("run.failed"));
    }));
  });
  EXPECT_EQ(all_of(*early), upto(101));
  writer.join();
  hub_.reset();
  db_.reopen();  // the store goes before the context that its writer posted to
}

TEST_F(HubOfRuns, ACancelledWaitLosesNothing) {
  const auto subscription = hub().subscribe(testing::run_id("a"), 0);
  EXPECT_TRUE(next(*subscription, now()).frames.empty());
  asio::cancellation_signal stop;
  std::exception_ptr failure;
  asio::co_spawn(
      db_.io().get_executor(), subscription->next(soon()),
      asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr error, Batch) { failure = error; }));
  db_.io().restart();
  db_.io().poll();
  stop.emit(asio::cancellation_type::terminal);
  db_.io().poll();
  ASSERT_TRUE(failure);
  EXPECT_THROW(std::rethrow_exception(failure), boost::system::system_error);
  append(2);
  EXPECT_THAT(sequences(next(*subscription, soon())), ElementsAre(1, 2));
}

TEST_F(HubOfRuns, IdleFollowersCostNothing) {
  submit("b");
  hub();
  std::vector<std::unique_ptr<Subscription>> followers;
  for (int i = 0; i < 100; ++i) followers.push_back(hub_->subscribe(testing::run_id("a"), 0));
  EXPECT_EQ(hub_->subscribers(), 100u);
  for (auto& follower : followers) (void)next(*follower, now());
  asio::io_context elsewhere;
  testing::run_task(elsewhere, db_.store().write([](store::Transaction& tx) {
    tx.append(testing::run_id("b"), testing::make_draft("agent.progress"));
  }));
  db_.io().restart();
  // One delivery for the commit of another run; none of the hundred is woken.
  EXPECT_EQ(db_.io().poll(), 1u);
  followers.clear();
  EXPECT_EQ(hub_->subscribers(), 0u);
  testing::run_task(elsewhere, db_.store().write([](store::Transaction& tx) {
    tx.append(testing::run_id("b"), testing::make_draft("agent.progress"));
  }));
  db_.io().restart();
  EXPECT_EQ(db_.io().poll(), 0u);
  hub_.reset();
  db_.reopen();
}

TEST_F(HubOfRuns, ASubscriptionMayBeDestroyedAfterItsHub) {
  auto subscription = hub().subscribe(testing::run_id("a"), 0);
  hub_.reset();
  append(1);
  subscription.reset();
}

TEST_F(HubOfRuns, AStoreThatCannotBeReadIsAFailureNotAnEnd) {
  const auto subscription = hub().subscribe(testing::run_id("a"), 0);
  db_.store().close();
  EXPECT_THROW((void)next(*subscription, soon()), base::Failure);
}

}  // namespace

}  // namespace agentrouter::stream
