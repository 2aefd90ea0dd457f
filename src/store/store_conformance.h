#pragma once
// What every backend of the store's port must do, as one suite. A backend instantiates it with a factory:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformance, ::testing::Values(factory));
//
// Include it, with list_conformance.h and conversation_conformance.h, in one test file of a binary.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <mutex>

#include "store/store.h"
#include "testing/builders.h"
#include "testing/run_task.h"

namespace agentrouter::store {

// One empty database; opening it again finds what was written.
class StoreBackend {
 public:
  virtual ~StoreBackend() = default;
  [[nodiscard]] virtual std::unique_ptr<Store> open() = 0;
};

using BackendFactory = std::function<std::unique_ptr<StoreBackend>()>;

// Remembers what it was told, in order, as text.
class Recorder final : public CommitListener {
 public:
  void committed(std::shared_ptr<const std::vector<model::Event>> events) override {
    const std::lock_guard lock(mutex_);
    for (const auto& event : *events) told_.push_back(event.type + " " + std::to_string(event.sequence));
  }
  void run_changed(const model::RunId&, model::RunStatus status) override {
    const std::lock_guard lock(mutex_);
    told_.push_back("-> " + std::string(to_string(status)));
  }
  [[nodiscard]] std::vector<std::string> told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> told_;
};

class StoreConformance : public ::testing::TestWithParam<BackendFactory> {
 protected:
  void SetUp() override {
    backend_ = GetParam()();
    store_ = backend_->open();
  }
  void reopen() {
    store_.reset();
    store_ = backend_->open();
  }
  template <class Work>
  auto write(Work work) {
    return testing::run_task(io_, store_->write(std::move(work)));
  }
  template <class Work>
  auto read(Work work) {
    return testing::run_task(io_, store_->read(std::move(work)));
  }
  void insert(std::string_view name, std::int64_t queued_after_ms = 0, int priority = 0) {
    auto run = testing::make_run(name, queued_after_ms);
    run.priority = priority;
    write([&](Transaction& tx) { tx.insert_run(run); });
  }
  void append(std::string_view name, std::string_view type) {
    write([&](Transaction& tx) { tx.append(testing::run_id(name), testing::make_draft(type)); });
  }
  void set_status(std::string_view name, model::RunStatus status) {
    write([&](Transaction& tx) {
      auto run = tx.run(testing::run_id(name));
      run->status = status;
      tx.update_run(*run);
    });
  }
  Attempt make_attempt(std::string_view run, int number, int slot) {
    Attempt attempt;
    attempt.id =
        model::AttemptId("attempt_" + base::uuid_from_text(std::string(run) + std::to_string(number)));
    attempt.run_id = testing::run_id(run);
    attempt.number = number;
    attempt.worker_id = "worker_1";
    attempt.lease_until = testing::test_time(30'000);
    attempt.slot = slot;
    attempt.lower_path = "/srv/tree";
    attempt.host = "host_1";
    attempt.created_at = testing::test_time();
    return attempt;
  }
  std::vector<std::string> listed(RunQuery query) {
    std::vector<std::string> tasks;
    for (const auto& run : read([&](Reader& reader) { return reader.runs(query); }).items)
      tasks.push_back(run.task);
    return tasks;
  }
  static std::string reason_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const base::Failure& failure) {
      return failure.error().reason;
    }
    return "nothing thrown";
  }

  asio::io_context io_;
  std::unique_ptr<StoreBackend> backend_;
  std::unique_ptr<Store> store_;
};

using ::testing::ElementsAre;

TEST_P(StoreConformance, RunKeepsEveryField) {
  auto run = testing::make_run("full");
  run.status = model::RunStatus::failed;
  run.runtime = {model::RuntimeKind::claude_code, "acceptEdits", "opus"};
  run.task = std::string("nul \0 and ünïcode", 18);
  run.approval_mode = model::ApprovalMode::manual;
  run.session_id = model::SessionId("sess_1");
  run.conversation_id = testing::run_id("first");
  run.started_at = testing::test_time(1);
  run.completed_at = testing::test_time(2);
  run.cancel_requested_at = testing::test_time(3);
  run.failure = model::RunFailure{"worker_failed", "it broke", "disk_limit"};
  run.workspace = {.kind = model::WorkspaceKind::git,
                   .git = {.url = "https://example.test/a.git", .ref = "main"},
                   .from_run = testing::run_id("other"),
                   .tree = "t1",
                   .commit = "c1"};
  run.priority = -3;
  run.attempts = 2;
  write([&](Transaction& tx) { tx.insert_run(run); });
  reopen();
  const auto found = read([&](Reader& reader) { return reader.run(run.id); });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->to_wire(), run.to_wire());
  EXPECT_EQ(found->task, run.task);
  EXPECT_EQ(found->approval_mode, run.approval_mode);
  EXPECT_EQ(found->workspace, run.workspace);
  EXPECT_EQ(found->priority, -3);
  EXPECT_EQ(found->attempts, 2);
}

TEST_P(StoreConformance, UnknownThingsAreNothing) {
  EXPECT_FALSE(read([](Reader& reader) { return reader.run(model::RunId("run_x")); }));
  EXPECT_TRUE(read([](Reader& reader) { return reader.events(model::RunId("run_x"), 0, 10); }).empty());
  EXPECT_FALSE(read([](Reader& reader) { return reader.attempt(model::AttemptId("attempt_x")); }));
  EXPECT_FALSE(read([](Reader& reader) { return reader.idempotency_key("x"); }));
  EXPECT_FALSE(read([](Reader& reader) { return reader.artifact(model::ArtifactId("artifact_x")); }));
}

TEST_P(StoreConformance, EventKeepsEveryField) {
  insert("r");
  model::EventDraft draft = testing::make_draft("agent.message", R"({"text":"a\nb"})", 7);
  draft.source = model::EventSource::codex;
  draft.visibility = model::Visibility::redacted;
  draft.provider_event_type = "item.completed";
  draft.artifact_ref = model::ArtifactRef{model::ArtifactId("artifact_1"), "runs/r/x"};
  draft.truncated = true;
  const auto appended = write([&](Transaction& tx) { return tx.append(testing::run_id("r"), draft); });
  const auto found = read([](Reader& reader) { return reader.event(testing::run_id("r"), 1); });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->to_wire(), appended.to_wire());
  EXPECT_THAT(found->to_wire(), ::testing::HasSubstr("\"sequence\":1"));
}

TEST_P(StoreConformance, SequencesHaveNoGapsAndPagesAscend) {
  insert("a");
  insert("b");
  for (int i = 0; i < 5; ++i) {
    append("a", "agent.progress");
    append("b", "agent.progress");
  }
  std::vector<model::Seq> seen;
  for (model::Seq after = 0;;) {
    const auto page = read([&](Reader& reader) { return reader.events(testing::run_id("a"), after, 2); });
    if (page.empty()) break;
    for (const auto& event : page) seen.push_back(event.sequence);
    after = page.back().sequence;
  }
  EXPECT_THAT(seen, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(read([](Reader& reader) { return reader.run(testing::run_id("b")); })->last_event_seq, 5);
  EXPECT_EQ(read([](Reader& reader) { return reader.events(testing::run_id("b"), -5, 100); }).size(), 5u);
}

TEST_P(StoreConformance, UpdatingARunDoesNotMoveItsCounter) {
  insert("r");
  const auto stale = read([](Reader& reader) { return reader.run(testing::run_id("r")); });
  append("r", "run.claimed");
  write([&](Transaction& tx) { tx.update_run(*stale); });
  EXPECT_EQ(read([](Reader& reader) { return reader.run(testing::run_id("r")); })->last_event_seq, 1);
}

TEST_P(StoreConformance, NothingFollowsTheTerminalState) {
  insert("r");
  append("r", "run.failed");
  set_status("r", model::RunStatus::failed);
  EXPECT_EQ(reason_of([&] { append("r", "agent.message"); }), "run_not_active");
  EXPECT_EQ(reason_of([&] { append("missing", "agent.message"); }), "run_not_found");
  EXPECT_EQ(read([](Reader& reader) { return reader.run(testing::run_id("r")); })->last_event_seq, 1);
}

TEST_P(StoreConformance, NewestEventOfATypeIsFoundWhereverItIs) {
  insert("r");
  append("r", "agent.response");
  append("r", "agent.response");
  for (int i = 0; i < 20; ++i) append("r", "agent.progress");
  const auto newest = [&](std::string_view type) {
    const auto event =
        read([&](Reader& reader) { return reader.last_event_of_type(testing::run_id("r"), type); });
    return event ? event->sequence : 0;
  };
  EXPECT_EQ(newest("agent.response"), 2);
  EXPECT_EQ(newest("agent.progress"), 22);
  EXPECT_EQ(newest("run.completed"), 0);
}

TEST_P(StoreConformance, RunsAreListedNewestFirstUnderEveryFilter) {
  insert("old", 1);
  insert("twin one", 5);
  insert("twin two", 5);
  insert("new", 9);
  set_status("old", model::RunStatus::cancelling);
  set_status("new", model::RunStatus::failed);
  EXPECT_THAT(listed({}), ElementsAre("do new", "do twin two", "do twin one", "do old"));
  EXPECT_THAT(listed({.status = "active"}), ElementsAre("do twin two", "do twin one", "do old"));
  EXPECT_THAT(listed({.status = "failed"}), ElementsAre("do new"));
  EXPECT_THAT(listed({.status = "queued", .limit = 1}), ElementsAre("do twin two"));
}

TEST_P(StoreConformance, QueueGoesByPriorityThenAge) {
  insert("first", 1);
  insert("urgent", 2, 5);
  insert("second", 3);
  insert("taken", 0, 9);
  set_status("taken", model::RunStatus::starting);
  EXPECT_THAT(read([](Reader& reader) { return reader.queued_runs(10); }),
              ElementsAre(testing::run_id("urgent"), testing::run_id("first"), testing::run_id("second")));
  EXPECT_EQ(read([](Reader& reader) { return reader.queued_runs(1); }).size(), 1u);
}

TEST_P(StoreConformance, ArtifactsAreReplacedInPlaceOldestFirst) {
  insert("r");
  auto log = model::named_artifact(testing::run_id("r"), "stdout_log");
  auto patch = model::named_artifact(testing::run_id("r"), "workspace_patch");
  log.size_bytes = 1;
  log.created_at = testing::test_time(1);
  patch.created_at = testing::test_time(2);
  write([&](Transaction& tx) {
    tx.put_artifact(log);
    tx.put_artifact(patch);
    log.size_bytes = 99;
    log.sha256 = std::string(64, 'a');
    log.metadata = R"({"redactionStatus":"redacted"})";
    tx.put_artifact(log);
  });
  const auto all = read([](Reader& reader) { return reader.artifacts(testing::run_id("r")); });
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].to_wire(), log.to_wire());
  EXPECT_EQ(all[1].kind, "workspace_patch");
  EXPECT_EQ(read([&](Reader& reader) { return reader.artifact(patch.id); })->to_wire(), patch.to_wire());
}

TEST_P(StoreConformance, AttemptKeepsItsLeaseOffsetAndClosing) {
  insert("r");
  auto attempt = make_attempt("r", 1, 4);
  write([&](Transaction& tx) { tx.insert_attempt(attempt); });
  attempt.worker_id = "worker_2";
  attempt.token = 7;
  attempt.lease_until = testing::test_time(60'000);
  attempt.journal_offset = 5'000'000'000;
  attempt.closing = R"({"status":"failed"})";
  attempt.beats = 12;
  attempt.launched = true;
  write([&](Transaction& tx) { tx.update_attempt(attempt); });
  reopen();
  const auto found = read([&](Reader& reader) { return reader.attempt(attempt.id); });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->worker_id, "worker_2");
  EXPECT_EQ(found->token, 7);
  EXPECT_EQ(found->lease_until, attempt.lease_until);
  EXPECT_EQ(found->journal_offset, 5'000'000'000);
  EXPECT_EQ(found->closing, attempt.closing);
  EXPECT_EQ(found->beats, 12);
  EXPECT_EQ(found->host, "host_1");
  EXPECT_TRUE(found->launched);
  EXPECT_EQ(found->lower_path, "/srv/tree");
  EXPECT_EQ(found->created_at, attempt.created_at);
  EXPECT_TRUE(found->open);
}

TEST_P(StoreConformance, OpenAttemptsHoldTheirSlotsUntilRetired) {
  insert("r");
  insert("s");
  auto first = make_attempt("r", 1, 0);
  auto second = make_attempt("r", 2, 1);
  auto other = make_attempt("s", 1, 3);
  write([&](Transaction& tx) {
    EXPECT_EQ(tx.free_slot(), 0);
    tx.insert_attempt(first);
    tx.insert_attempt(second);
    tx.insert_attempt(other);
    EXPECT_EQ(tx.free_slot(), 2);
    first.open = false;
    tx.update_attempt(first);
    EXPECT_EQ(tx.free_slot(), 0);
  });
  EXPECT_EQ(read([](Reader& reader) { return reader.latest_attempt(testing::run_id("r")); })->id, second.id);
  const auto open = read([](Reader& reader) { return reader.open_attempts(); });
  ASSERT_EQ(open.size(), 2u);
  EXPECT_EQ(open[0].id, second.id);
  EXPECT_EQ(open[1].id, other.id);
  EXPECT_EQ(
      reason_of([&] { write([&](Transaction& tx) { tx.update_attempt(make_attempt("gone", 1, 9)); }); }),
      "attempt_not_found");
}

TEST_P(StoreConformance, CancellingRunsWithoutAnOpenAttemptAreFound) {
  for (const auto* name : {"never started", "held", "left", "queued"}) insert(name);
  auto held = make_attempt("held", 1, 0);
  auto left = make_attempt("left", 1, 1);
  left.open = false;
  write([&](Transaction& tx) {
    tx.insert_attempt(held);
    tx.insert_attempt(left);
  });
  for (const auto* name : {"never started", "held", "left"}) set_status(name, model::RunStatus::cancelling);
  EXPECT_THAT(read([](Reader& reader) { return reader.cancelling_runs_without_attempt(); }),
              ElementsAre(testing::run_id("never started"), testing::run_id("left")));
}

TEST_P(StoreConformance, ApprovalsArePendingThenUndeliveredThenDone) {
  const auto put = [&](const char* action, ApprovalState state, model::Seq decided, bool delivered) {
    Approval approval;
    approval.run_id = testing::run_id("r");
    approval.action_id = model::ActionId(action);
    approval.action_digest = "sha256:d";
    approval.args_digest = "sha256:a";
    approval.request_id = "approval_1";
    approval.requested_event_id = "evt_1";
    approval.state = state;
    approval.reason = "because";
    approval.decided_seq = decided;
    approval.delivered = delivered;
    write([&](Transaction& tx) { tx.put_approval(approval); });
  };
  const auto names = [](const std::vector<Approval>& approvals) {
    std::vector<std::string> actions;
    for (const auto& approval : approvals) actions.push_back(approval.action_id.str());
    return actions;
  };
  const auto pending = [&] {
    return names(read([](Reader& reader) { return reader.pending_approvals(testing::run_id("r")); }));
  };
  const auto undelivered = [&] {
    return names(read([](Reader& reader) { return reader.undelivered_approvals(testing::run_id("r")); }));
  };
  put("a", ApprovalState::pending, 0, false);
  put("b", ApprovalState::pending, 0, false);
  put("c", ApprovalState::pending, 0, false);
  EXPECT_THAT(pending(), ElementsAre("a", "b", "c"));
  put("b", ApprovalState::denied, 4, false);
  put("a", ApprovalState::approved, 5, false);
  EXPECT_THAT(pending(), ElementsAre("c"));
  EXPECT_THAT(undelivered(), ElementsAre("b", "a"));
  put("b", ApprovalState::denied, 4, true);
  put("c", ApprovalState::void_, 6, true);
  EXPECT_THAT(undelivered(), ElementsAre("a"));
  EXPECT_TRUE(pending().empty());
  const auto found =
      read([](Reader& reader) { return reader.approval(testing::run_id("r"), model::ActionId("a")); });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state, ApprovalState::approved);
  EXPECT_EQ(found->action_digest, "sha256:d");
  EXPECT_EQ(found->args_digest, "sha256:a");
  EXPECT_EQ(found->request_id, "approval_1");
  EXPECT_EQ(found->requested_event_id, "evt_1");
  EXPECT_EQ(found->reason, "because");
  EXPECT_EQ(found->decided_seq, 5);
}

TEST_P(StoreConformance, IdempotencyKeysAreReplacedAndPurged) {
  write([](Transaction& tx) {
    tx.put_idempotency_key({"k1", "body", testing::run_id("r"), testing::test_time(10)});
    tx.put_idempotency_key({"k2", "body", testing::run_id("r"), testing::test_time(20)});
    tx.put_idempotency_key({"k1", "other", testing::run_id("s"), testing::test_time(15)});
  });
  const auto key = read([](Reader& reader) { return reader.idempotency_key("k1"); });
  ASSERT_TRUE(key);
  EXPECT_EQ(key->body_hash, "other");
  EXPECT_EQ(key->run_id, testing::run_id("s"));
  EXPECT_EQ(key->expires_at, testing::test_time(15));
  const auto next = [&] { return read([](Reader& reader) { return reader.next_idempotency_expiry(); }); };
  EXPECT_EQ(next(), testing::test_time(15));
  EXPECT_EQ(write([](Transaction& tx) { return tx.purge_idempotency_keys(testing::test_time(20), 9); }), 1);
  EXPECT_FALSE(read([](Reader& reader) { return reader.idempotency_key("k1"); }));
  EXPECT_TRUE(read([](Reader& reader) { return reader.idempotency_key("k2"); }));
  EXPECT_EQ(next(), testing::test_time(20));
  EXPECT_EQ(write([](Transaction& tx) { return tx.purge_idempotency_keys(testing::test_time(21), 0); }), 0);
  EXPECT_EQ(write([](Transaction& tx) { return tx.purge_idempotency_keys(testing::test_time(21), 9); }), 1);
  EXPECT_FALSE(next());
}

TEST_P(StoreConformance, WhatThrowsIsUndoneAndRethrown) {
  insert("r");
  EXPECT_EQ(reason_of([&] {
              write([](Transaction& tx) {
                tx.append(testing::run_id("r"), testing::make_draft("agent.message"));
                base::throw_failure(base::Code::invalid, "no", "changed_my_mind");
              });
            }),
            "changed_my_mind");
  EXPECT_EQ(read([](Reader& reader) { return reader.run(testing::run_id("r")); })->last_event_seq, 0);
}

TEST_P(StoreConformance, AResultWithAnErrorIsUndoneAndReturned) {
  insert("r");
  const auto result = write([](Transaction& tx) -> base::Result<int> {
    tx.append(testing::run_id("r"), testing::make_draft("agent.message"));
    return base::fail(base::Code::conflict, "no", "changed_my_mind");
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().reason, "changed_my_mind");
  EXPECT_TRUE(read([](Reader& reader) { return reader.events(testing::run_id("r"), 0, 10); }).empty());
}

TEST_P(StoreConformance, ListenersHearOfCommitsInOrderAndOfNothingElse) {
  Recorder recorder;
  store_->add_listener(&recorder);
  insert("r");
  write([](Transaction& tx) {
    tx.append(testing::run_id("r"), testing::make_draft("run.claimed"));
    auto run = tx.run(testing::run_id("r"));
    run->status = model::RunStatus::starting;
    tx.update_run(*run);
    tx.update_run(*run);
  });
  EXPECT_THROW(write([](Transaction& tx) {
                 tx.append(testing::run_id("r"), testing::make_draft("agent.message"));
                 tx.insert_run(testing::make_run("undone"));
                 base::throw_failure(base::Code::invalid, "no");
               }),
               base::Failure);
  append("r", "agent.started");
  EXPECT_THAT(recorder.told(), ElementsAre("-> queued", "run.claimed 1", "-> starting", "agent.started 2"));
  store_->remove_listener(&recorder);
  append("r", "agent.message");
  EXPECT_EQ(recorder.told().size(), 4u);
}

TEST_P(StoreConformance, ReadersSeeOneConsistentState) {
  insert("r");
  append("r", "run.claimed");
  asio::io_context beside;
  const auto same = read([&](Reader& reader) {
    const auto before = reader.run(testing::run_id("r"))->last_event_seq;
    // Committed by the writer while this reader reads.
    testing::run_task(beside, store_->write([](Transaction& tx) {
      tx.append(testing::run_id("r"), testing::make_draft("agent.message"));
    }));
    return reader.run(testing::run_id("r"))->last_event_seq == before &&
           reader.events(testing::run_id("r"), 0, 10).size() == static_cast<std::size_t>(before);
  });
  EXPECT_TRUE(same);
  EXPECT_EQ(read([](Reader& reader) { return reader.run(testing::run_id("r")); })->last_event_seq, 2);
  store_.reset();  // before the context that its writer posted to
}

TEST_P(StoreConformance, ConcurrentWritersAreSerialAndLoseNothing) {
  insert("r");
  int done = 0;
  const auto writer = [](Store& store, int& finished) -> base::Task<void> {
    for (int i = 0; i < 20; ++i) {
      co_await store.write(
          [](Transaction& tx) { tx.append(testing::run_id("r"), testing::make_draft("agent.progress")); });
    }
    ++finished;
  };
  for (int i = 0; i < 20; ++i) {
    asio::co_spawn(io_.get_executor(), writer(*store_, done),
                   [](std::exception_ptr error) { EXPECT_FALSE(error); });
  }
  io_.restart();
  io_.run();
  EXPECT_EQ(done, 20);
  const auto events = read([](Reader& reader) { return reader.events(testing::run_id("r"), 0, 1000); });
  ASSERT_EQ(events.size(), 400u);
  for (std::size_t i = 0; i < events.size(); ++i)
    EXPECT_EQ(events[i].sequence, static_cast<model::Seq>(i + 1));
}

TEST_P(StoreConformance, AClosedStoreRefusesAndKeepsWhatItHad) {
  insert("r");
  store_->close();
  EXPECT_EQ(reason_of([&] { append("r", "run.claimed"); }), "store_closed");
  EXPECT_EQ(reason_of([&] { (void)read([](Reader& reader) { return reader.queued_runs(1); }); }),
            "store_closed");
  reopen();
  EXPECT_TRUE(read([](Reader& reader) { return reader.run(testing::run_id("r")); }));
}

}  // namespace agentrouter::store
