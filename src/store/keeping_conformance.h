#pragma once
// What every backend must do about the queue's shares, what there is in all, and the deletion of runs. Included
// beside store_conformance.h, whose fixture it uses.

#include "store/store_conformance.h"

namespace agentrouter::store {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class KeepingConformance : public StoreConformance {
 protected:
  void queue(std::string_view name, std::string_view share, int priority = 0) {
    auto run = testing::make_run(name, ++queued_);
    run.priority = priority;
    write([&](Transaction& tx) { tx.insert_run(run, share); });
  }
  std::vector<std::string> next(int limit = 20) {
    std::vector<std::string> tasks;
    read([&](Reader& reader) {
      for (const auto& id : reader.queued_runs(limit)) tasks.push_back(reader.run(id)->task.substr(3));
    });
    return tasks;
  }
  std::string take() {
    const auto name = next(1).at(0);
    set_status(name, model::RunStatus::starting);
    return name;
  }
  void end(std::string_view name, std::int64_t at) {
    write([&](Transaction& tx) {
      auto run = tx.run(testing::run_id(name));
      run->status = model::RunStatus::completed;
      run->completed_at = testing::test_time(at);
      tx.update_run(*run);
    });
  }
  // Ended, with two events, an answer, an artifact and a tag.
  void ended(std::string_view name, model::Tags tags = {{"team", "a"}}) {
    auto run = testing::make_run(name);
    run.tags = std::move(tags);
    write([&](Transaction& tx) {
      tx.insert_run(run);
      tx.append(run.id, testing::make_draft("agent.response", R"({"text":"bridges of )" + std::string(name) + "\"}"));
      tx.append(run.id, testing::make_draft("run.completed"));
      auto log = model::named_artifact(run.id, "stdout_log");
      log.size_bytes = 100;
      tx.put_artifact(log);
    });
    end(name, 1000);
  }
  void remove(std::string_view name) {
    write([&](Transaction& tx) { tx.delete_run(testing::run_id(name), testing::test_time(5)); });
  }
  Totals totals() {
    return read([](Reader& reader) { return reader.totals(); });
  }
  std::vector<DeletedRun> left() {
    return read([](Reader& reader) { return reader.deleted_runs(10); });
  }
  std::vector<model::RunId> oldest(EndedQuery query) {
    std::vector<model::RunId> ids;
    for (const auto& run : read([&](Reader& reader) { return reader.ended_runs(query); })) ids.push_back(run.id);
    return ids;
  }

  std::int64_t queued_ = 0;
};

TEST_P(KeepingConformance, SharesAreServedInTurnAndEachOldestFirst) {
  for (const auto* name : {"a1", "a2", "a3", "a4"}) queue(name, "a");
  for (const auto* name : {"b1", "b2"}) queue(name, "b");
  queue("c1", "c");
  EXPECT_THAT(next(), ElementsAre("a1", "b1", "c1", "a2", "b2", "a3", "a4"));
  EXPECT_THAT(next(3), ElementsAre("a1", "b1", "c1"));
  // What is said in advance is what happens.
  std::vector<std::string> taken;
  const auto foretold = next();
  for (int i = 0; i < 7; ++i) taken.push_back(take());
  EXPECT_EQ(taken, foretold);
  EXPECT_THAT(next(), IsEmpty());
}

TEST_P(KeepingConformance, AFloodDoesNotHoldUpWhoComesLater) {
  for (int i = 0; i < 50; ++i) queue("flood " + std::to_string(i), "flood");
  for (int i = 0; i < 4; ++i) (void)take();
  queue("late", "other");
  EXPECT_EQ(take(), "late");
}

TEST_P(KeepingConformance, WhoHasTheFewestActiveRunsIsNext) {
  for (const auto* name : {"a1", "a2", "a3"}) queue(name, "a");
  for (const auto* name : {"b1", "b2", "b3"}) queue(name, "b");
  EXPECT_EQ(take(), "a1");
  EXPECT_EQ(take(), "b1");
  EXPECT_EQ(take(), "a2");
  end("b1", 1);
  EXPECT_EQ(take(), "b2") << "b has none, a has two";
  end("a1", 1);
  end("a2", 1);
  EXPECT_EQ(take(), "a3");
}

TEST_P(KeepingConformance, PriorityOrdersAShareAndNotTheOthers) {
  queue("a1", "a");
  queue("a2", "a", 5);
  queue("b1", "b", 100);
  queue("b2", "b", 100);
  EXPECT_THAT(next(), ElementsAre("a2", "b1", "a1", "b2"));
}

TEST_P(KeepingConformance, SharesAndTotalsOutliveTheProcessAndForgetWhatIsOver) {
  queue("a1", "a");
  queue("a2", "a");
  queue("b1", "b");
  EXPECT_EQ(totals().queued_runs, 3);
  EXPECT_EQ(take(), "a1");
  reopen();
  EXPECT_EQ(totals().queued_runs, 2);
  EXPECT_EQ(read([](Reader& reader) { return reader.queued_of_share("a"); }), 1);
  EXPECT_THAT(next(), ElementsAre("b1", "a2"));
  set_status("a2", model::RunStatus::cancelling);
  set_status("a2", model::RunStatus::cancelled);
  EXPECT_EQ(totals().queued_runs, 1);
  EXPECT_EQ(read([](Reader& reader) { return reader.queued_of_share("a"); }), 0);
  EXPECT_EQ(totals().ended_runs, 1);
}

TEST_P(KeepingConformance, AnUndoneWriteCountsNothing) {
  const auto before = totals();
  EXPECT_EQ(reason_of([&] {
              write([](Transaction& tx) {
                tx.insert_run(testing::make_run("r"));
                base::throw_failure(base::Code::conflict, "no", "undone");
              });
            }),
            "undone");
  EXPECT_EQ(totals().queued_runs, before.queued_runs);
  EXPECT_THAT(next(), IsEmpty());
}

TEST_P(KeepingConformance, ArtifactsAreCountedInBytesHoweverOftenTheyAreWritten) {
  ended("r");
  EXPECT_EQ(totals().artifact_bytes, 100);
  auto log = model::named_artifact(testing::run_id("r"), "stdout_log");
  log.size_bytes = 7;
  write([&](Transaction& tx) { tx.put_artifact(log); });
  EXPECT_EQ(totals().artifact_bytes, 7);
  write([&](Transaction& tx) { tx.delete_artifact(log.id); });
  EXPECT_EQ(totals().artifact_bytes, 0);
  EXPECT_GT(totals().database_bytes, 0);
}

TEST_P(KeepingConformance, ADeletedRunIsNowhereToBeFound) {
  ended("stays");
  ended("goes");
  remove("goes");
  const auto id = testing::run_id("goes");
  EXPECT_FALSE(read([&](Reader& reader) { return reader.run(id); }));
  EXPECT_THAT(read([&](Reader& reader) { return reader.events(id, 0, 10); }), IsEmpty());
  EXPECT_FALSE(read([&](Reader& reader) { return reader.event(id, 1); }));
  EXPECT_FALSE(read([&](Reader& reader) { return reader.last_event_of_type(id, "run.completed"); }));
  EXPECT_THAT(read([&](Reader& reader) { return reader.turns(id); }), IsEmpty());
  EXPECT_THAT(listed({}), ElementsAre("do stays"));
  EXPECT_THAT(listed({.status = "completed"}), ElementsAre("do stays"));
  EXPECT_THAT(listed({.tags = {{"team", "a"}}}), ElementsAre("do stays"));
  EXPECT_THAT(listed({.text = "bridges"}), ElementsAre("do stays"));
  EXPECT_THAT(listed({.text = "goes"}), IsEmpty());
  EXPECT_EQ(totals().ended_runs, 1);
  EXPECT_EQ(reason_of([&] { remove("goes"); }), "run_not_found");
  EXPECT_EQ(reason_of([&] { append("goes", "late"); }), "run_not_found");
}

TEST_P(KeepingConformance, ACursorGoesOnOverDeletedRuns) {
  for (int i = 0; i < 6; ++i) insert("r" + std::to_string(i), i);
  const auto page = read([](Reader& reader) { return reader.runs({.limit = 2}); });
  ASSERT_TRUE(page.next);
  EXPECT_EQ(page.items.back().task, "do r4");
  for (const auto* name : {"r4", "r3"}) remove(name);
  const auto rest = read([&](Reader& reader) { return reader.runs({.limit = 2, .after = page.next}); });
  ASSERT_EQ(rest.items.size(), 2u);
  EXPECT_EQ(rest.items[0].task, "do r2");
  insert("new", 9);
  EXPECT_THAT(listed({.limit = 1, .after = rest.next}), ElementsAre("do r0"));
}

TEST_P(KeepingConformance, WhatIsLeftOfADeletedRunIsRemovedPieceByPiece) {
  ended("r");
  const auto id = testing::run_id("r");
  write([&](Transaction& tx) {
    ActionRecord action;
    action.run_id = id;
    action.action_id = model::ActionId("a");
    tx.put_action(action);
    Approval approval;
    approval.run_id = id;
    approval.action_id = model::ActionId("a");
    approval.state = ApprovalState::void_;
    tx.put_approval(approval);
    auto attempt = make_attempt("r", 1, 0);
    attempt.open = false;
    tx.insert_attempt(attempt);
    tx.put_spending({.run_id = id, .api_key = "key"});
    tx.put_standing_rule({.id = "rule_1", .run_id = id, .rule = "{}", .given_at = testing::test_time()});
    tx.put_allowance_lot({.run_id = id, .day = "2026-11-29"});
  });
  remove("r");
  reopen();
  ASSERT_EQ(left().size(), 1u);
  EXPECT_EQ(left()[0].id, id);
  EXPECT_EQ(left()[0].conversation_id, id);
  EXPECT_EQ(left()[0].deleted_at, testing::test_time(5));
  const auto artifacts = read([&](Reader& reader) { return reader.artifacts(id); });
  ASSERT_EQ(artifacts.size(), 1u) << "its bytes have to be found yet";
  const auto piece = [&](int rows) {
    return write([&](Transaction& tx) { return tx.remove_deleted(id, rows); });
  };
  EXPECT_EQ(piece(3), 3);
  EXPECT_EQ(piece(100), 5);
  EXPECT_EQ(left().size(), 1u) << "an artifact is left";
  write([&](Transaction& tx) { tx.delete_artifact(artifacts[0].id); });
  EXPECT_EQ(piece(100), 0);
  EXPECT_THAT(left(), IsEmpty());
  EXPECT_FALSE(read([&](Reader& reader) { return reader.latest_attempt(id); }));
  EXPECT_FALSE(read([&](Reader& reader) { return reader.spending(id); }));
  EXPECT_THAT(read([&](Reader& reader) { return reader.actions(id, 10); }), IsEmpty());
  EXPECT_THAT(read([&](Reader& reader) { return reader.allowance(id); }), IsEmpty());
  EXPECT_EQ(piece(100), 0);
}

TEST_P(KeepingConformance, EventsOfOtherRunsStayAndNumbersAreNotGivenAgain) {
  ended("before");
  ended("r");
  remove("r");
  ended("after");
  while (write([](Transaction& tx) { return tx.remove_deleted(testing::run_id("r"), 10); }) > 0) {
  }
  for (const auto* name : {"before", "after"})
    EXPECT_EQ(read([&](Reader& reader) { return reader.events(testing::run_id(name), 0, 10); }).size(), 2u) << name;
  insert("r", 9);
  EXPECT_THAT(read([](Reader& reader) { return reader.events(testing::run_id("r"), 0, 10); }), IsEmpty());
}

TEST_P(KeepingConformance, EndedRunsComeOldestEndFirstWithoutThoseThatAreKept) {
  for (const auto* name : {"late", "early"}) ended(name);
  ended("kept", {{"keep", "yes"}});
  insert("active");
  end("early", 10);
  end("late", 20);
  EXPECT_THAT(oldest({}), ElementsAre(testing::run_id("early"), testing::run_id("late")));
  EXPECT_THAT(oldest({.limit = 1}), ElementsAre(testing::run_id("early")));
  const auto first = read([](Reader& reader) { return reader.ended_runs({.limit = 1}); })[0];
  EXPECT_EQ(first.completed_at, testing::test_time(10));
  EXPECT_FALSE(first.reclaimed);
  EXPECT_THAT(oldest({.after = first.completed_at, .after_number = first.number}),
              ElementsAre(testing::run_id("late")));
  EXPECT_EQ(totals().ended_runs, 2);
}

TEST_P(KeepingConformance, MessagesAboutADeletedRunGoButThoseThatAreStillToBeSent) {
  ended("r");
  write([](Transaction& tx) {
    for (const bool enabled : {true, false}) {
      Webhook webhook;
      webhook.id = enabled ? "wh_on" : "wh_off";
      webhook.enabled = enabled;
      tx.put_webhook(webhook);
      for (const auto state : {DeliveryState::pending, DeliveryState::delivered}) {
        Delivery delivery;
        delivery.id = webhook.id + (state == DeliveryState::pending ? " pending" : " delivered");
        delivery.webhook_id = webhook.id;
        delivery.run_id = testing::run_id("r");
        delivery.state = state;
        tx.put_delivery(delivery);
      }
    }
  });
  remove("r");
  const auto there = [&](std::string_view id) {
    return read([&](Reader& reader) { return reader.delivery(id).has_value(); });
  };
  EXPECT_TRUE(there("wh_on pending"));
  for (const auto* id : {"wh_on delivered", "wh_off pending", "wh_off delivered"}) EXPECT_FALSE(there(id)) << id;
  write([](Transaction& tx) { tx.delete_delivery("wh_on pending"); });
  EXPECT_FALSE(there("wh_on pending"));
}

TEST_P(KeepingConformance, ListenersHearOfADeletion) {
  ended("r");
  Recorder recorder;
  store_->add_listener(&recorder);
  remove("r");
  store_->remove_listener(&recorder);
  EXPECT_THAT(recorder.told(), ElementsAre("-> completed"));
}

TEST_P(KeepingConformance, OpenAttemptsAreSeenWhicheverTheyAre) {
  insert("r");
  const auto open = [&] { return read([](Reader& reader) { return reader.has_open_attempt(testing::run_id("r")); }); };
  EXPECT_FALSE(open());
  auto first = make_attempt("r", 1, 0);
  auto second = make_attempt("r", 2, 1);
  second.open = false;
  write([&](Transaction& tx) {
    tx.insert_attempt(first);
    tx.insert_attempt(second);
  });
  EXPECT_TRUE(open());
  first.open = false;
  write([&](Transaction& tx) { tx.update_attempt(first); });
  EXPECT_FALSE(open());
}

}  // namespace agentrouter::store
