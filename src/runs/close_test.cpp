#include "runs/close.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "runs/actions.h"
#include "runs/archive.h"
#include "runs/cancel.h"
#include "runs/decide.h"
#include "runs/journal_commit.h"
#include "runs/queries.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::ElementsAre;

// One claimed run at its end.
class CloseRun : public ::testing::Test {
 protected:
  void SetUp() override {
    db_.write([](store::Transaction& tx) { tx.insert_run(testing::make_run("a")); });
    fence_ =
        db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); })->fence();
  }
  void journal(std::vector<std::string> types, std::vector<Question> questions = {}) {
    JournalBatch batch;
    batch.from_offset = offset_;
    batch.to_offset = ++offset_;
    for (const auto& type : types) batch.events.push_back(testing::make_draft(type, R"({"text":"done \n"})"));
    batch.questions = std::move(questions);
    ASSERT_TRUE(
        db_.write([&](store::Transaction& tx) { return commit_journal(tx, fence_, batch, context()); }));
  }
  Ending ending(model::RunStatus status) {
    Ending made;
    made.status = status;
    for (const auto* kind : {"stdout_log", "stderr_log", "workspace_file_index", "workspace_patch"}) {
      auto artifact = model::named_artifact(testing::run_id("a"), kind);
      artifact.sha256 = base::Sha256::hex_of(kind);
      artifact.size_bytes = 7;
      artifact.created_at = db_.clock.now();
      made.artifacts.push_back(artifact);
    }
    auto out = testing::make_draft("provider.stdout");
    out.artifact_ref = made.artifacts[0].ref();
    made.tail = {out, testing::make_draft("sandbox.destroyed")};
    return made;
  }
  base::Result<Closing> begin(const Ending& ending) {
    return db_.write([&](store::Transaction& tx) { return begin_close(tx, fence_, ending, context()); });
  }
  std::string archive(const Closing& closing) {
    std::string bytes;
    db_.read([&](store::Reader& reader) {
      write_session_events(reader, testing::run_id("a"), closing,
                           [&](std::string_view piece) { bytes += piece; });
    });
    return bytes;
  }
  std::string manifest(const Closing& closing, const ArchivedBlob& events) {
    std::string bytes;
    db_.read([&](store::Reader& reader) {
      write_session_manifest(reader, testing::run_id("a"), closing, events,
                             [&](std::string_view piece) { bytes += piece; });
    });
    return bytes;
  }
  static ArchivedBlob blob(const std::string& bytes) {
    return {static_cast<std::int64_t>(bytes.size()), base::Sha256::hex_of(bytes)};
  }
  base::Result<model::Run> finish(const Archived& archived) {
    return db_.write([&](store::Transaction& tx) { return finish_close(tx, fence_, archived, context()); });
  }
  // All of it, as the worker does.
  model::Run close(const Ending& ending) {
    const auto closing = base::value_or_throw(begin(ending));
    const auto events = blob(archive(closing));
    return base::value_or_throw(finish({events, blob(manifest(closing, events))}));
  }
  model::Run run() {
    return *db_.read([](store::Reader& reader) { return reader.run(testing::run_id("a")); });
  }
  std::vector<model::Event> events() {
    return db_.read([](store::Reader& reader) { return reader.events(testing::run_id("a"), 0, 500); });
  }
  std::vector<std::string> types() {
    std::vector<std::string> all;
    for (const auto& event : events()) all.push_back(event.type);
    return all;
  }
  base::Result<model::Run> cancel() {
    return db_.write([&](store::Transaction& tx) { return cancel_run(tx, testing::run_id("a"), context()); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
  Fence fence_;
  std::int64_t offset_ = 0;
};

TEST_F(CloseRun, ACompletedRunHasItsEndInOrderAndNoFailure) {
  journal({"execution.started", "agent.response"});
  db_.clock.advance(std::chrono::milliseconds(50));
  const auto ended = close(ending(model::RunStatus::completed));
  EXPECT_EQ(ended.to_wire(), run().to_wire());
  EXPECT_EQ(ended.status, model::RunStatus::completed);
  EXPECT_EQ(ended.completed_at, db_.clock.now());
  EXPECT_FALSE(ended.failure);
  ASSERT_TRUE(ended.session_id);
  EXPECT_EQ(ended.session_id->str(), "sess_" + base::uuid_from_text(ended.conversation_id.str()));
  EXPECT_THAT(types(), ElementsAre("run.claimed", "execution.started", "agent.response", "provider.stdout",
                                   "sandbox.destroyed", "run.completed"));
  EXPECT_EQ(ended.last_event_seq, 6);
  EXPECT_EQ(events().back().payload, R"({"message":"completed"})");
}

TEST_F(CloseRun, AFailedRunSaysWhyInBothPlaces) {
  auto failed = ending(model::RunStatus::failed);
  failed.failure = model::RunFailure{"provider_runtime_failed", "429", "provider_rate_limited"};
  failed.exit_code = 1;
  const auto ended = close(failed);
  EXPECT_EQ(ended.status, model::RunStatus::failed);
  ASSERT_TRUE(ended.failure);
  EXPECT_EQ(ended.failure->cause, "provider_rate_limited");
  EXPECT_EQ(events().back().type, "run.failed");
  EXPECT_EQ(
      events().back().payload,
      R"({"code":"provider_runtime_failed","reason":"429","cause":"provider_rate_limited","exitCode":1})");
}

TEST_F(CloseRun, AFailureAlwaysHasACode) {
  EXPECT_EQ(close(ending(model::RunStatus::failed)).failure->code, "worker_failed");
}

TEST_F(CloseRun, ACancellingRunEndsCancelledWhateverTheAgentDid) {
  journal({"execution.started"});
  ASSERT_TRUE(cancel());
  const auto ended = close(ending(model::RunStatus::completed));
  EXPECT_EQ(ended.status, model::RunStatus::cancelled);
  EXPECT_FALSE(ended.failure);
  EXPECT_TRUE(ended.cancel_requested_at);
  EXPECT_EQ(events().back().type, "run.cancelled");
}

TEST_F(CloseRun, NothingOfTheEndIsVisibleBetweenTheTwoTransactions) {
  journal({"execution.started"});
  const auto closing = begin(ending(model::RunStatus::completed));
  ASSERT_TRUE(closing);
  EXPECT_EQ(run().status, model::RunStatus::running);
  EXPECT_EQ(types().back(), "sandbox.destroyed");
  EXPECT_EQ(closing->terminal_seq, run().last_event_seq + 1);
}

TEST_F(CloseRun, TheCloserIsTheOnlyAppenderOnceItHasBegun) {
  journal({"execution.started", "approval.requested"},
          {{model::ActionId("action_1"), "sha256:digest", "sha256:args", "approval_1", "evt_1"}});
  ASSERT_TRUE(begin(ending(model::RunStatus::completed)));
  const auto before = types();
  const auto cancelled = cancel();
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->status, model::RunStatus::running);
  EXPECT_FALSE(cancelled->cancel_requested_at);
  const auto decided = db_.write([&](store::Transaction& tx) {
    return decide_action(
        tx, {testing::run_id("a"), model::ActionId("action_1"), "sha256:digest", Decision::approved, ""},
        context());
  });
  EXPECT_EQ(decided.error().reason, "run_not_active");
  JournalBatch late;
  late.from_offset = offset_;
  late.to_offset = offset_ + 1;
  late.events.push_back(testing::make_draft("agent.message"));
  EXPECT_EQ(db_.write([&](store::Transaction& tx) { return commit_journal(tx, fence_, late, context()); })
                .error()
                .reason,
            "run_not_active");
  EXPECT_EQ(types(), before);
}

TEST_F(CloseRun, PendingApprovalsBecomeVoidVisibly) {
  journal({"approval.requested"},
          {{model::ActionId("action_1"), "sha256:d", "sha256:a", "approval_1", "evt_1"}});
  close(ending(model::RunStatus::failed));
  EXPECT_THAT(types(), ElementsAre("run.claimed", "approval.requested", "approval.withdrawn",
                                   "provider.stdout", "sandbox.destroyed", "run.failed"));
  const auto approval = db_.read([](store::Reader& reader) {
    return reader.approval(testing::run_id("a"), model::ActionId("action_1"));
  });
  EXPECT_EQ(approval->state, store::ApprovalState::void_);
  EXPECT_TRUE(approval->delivered);
}

TEST_F(CloseRun, WhatWasAskedWhenTheKeeperDiedAndBecameNoQuestionIsVoidToo) {
  constexpr auto asked = R"({"eventId":"evt_1","actionId":"action_1","actionDigest":"sha256:d","argsDigest":"sha256:a","requestId":"approval_1"})";
  db_.write([&](store::Transaction& tx) {
    append_event(tx, testing::run_id("a"), testing::make_draft("approval.requested", asked));
  });
  close(ending(model::RunStatus::failed));
  EXPECT_THAT(types(), ElementsAre("run.claimed", "approval.requested", "approval.withdrawn",
                                   "provider.stdout", "sandbox.destroyed", "run.failed"));
  const auto approval = db_.read([](store::Reader& reader) {
    return reader.approval(testing::run_id("a"), model::ActionId("action_1"));
  });
  ASSERT_TRUE(approval);
  EXPECT_EQ(approval->state, store::ApprovalState::void_);
  EXPECT_EQ(approval->request_id, "approval_1");
}

TEST_F(CloseRun, TheFirstEndingCountsWhenABeginIsRepeated) {
  const auto first = begin(ending(model::RunStatus::completed));
  db_.clock.advance(std::chrono::milliseconds(500));
  const auto again = begin(ending(model::RunStatus::failed));
  ASSERT_TRUE(first && again);
  EXPECT_EQ(again->to_json_text(), first->to_json_text());
  EXPECT_THAT(types(), ElementsAre("run.claimed", "provider.stdout", "sandbox.destroyed"));
}

TEST_F(CloseRun, ARepeatedArchiveHasEqualBytesAfterACrashAndAfterTheEnd) {
  const auto closing = *begin(ending(model::RunStatus::completed));
  const auto events = archive(closing);
  const auto listing = manifest(closing, blob(events));
  db_.reopen();
  const auto stored =
      db_.read([&](store::Reader& reader) { return reader.attempt(fence_.attempt)->closing; });
  const auto read_back = Closing::from_json_text(stored);
  ASSERT_TRUE(read_back);
  EXPECT_EQ(archive(*read_back), events);
  EXPECT_EQ(manifest(*read_back, blob(events)), listing);
  ASSERT_TRUE(finish({blob(events), blob(listing)}));
  EXPECT_EQ(archive(*read_back), events);
  EXPECT_EQ(manifest(*read_back, blob(events)), listing);
}

TEST_F(CloseRun, TheArchiveEqualsWhatEventsSayInEveryField) {
  for (int i = 0; i < 250; ++i) journal({"agent.progress"});
  const auto closing = *begin(ending(model::RunStatus::completed));
  const auto bytes = archive(closing);
  ASSERT_TRUE(finish({blob(bytes), blob("x")}));
  std::string expected;
  for (const auto& event : events()) expected += event.to_wire() + "\n";
  EXPECT_EQ(bytes, expected);
}

TEST_F(CloseRun, TheManifestListsRunEventsAndTheOtherFiveArtifacts) {
  const auto closing = *begin(ending(model::RunStatus::completed));
  const auto events = blob(archive(closing));
  const auto parsed = json::parse(manifest(closing, events)).get_object();
  const auto& summary = parsed.at("run").get_object();
  EXPECT_EQ(summary.at("id"), json::value(testing::run_id("a").str()));
  EXPECT_EQ(summary.at("status"), "completed");
  EXPECT_EQ(summary.at("runtimeKind"), "codex");
  EXPECT_EQ(summary.at("runtimeMode"), "default");
  EXPECT_EQ(summary.at("lastEventSeq"), 4);
  EXPECT_FALSE(summary.contains("failure"));
  const auto& listed = parsed.at("events").get_array();
  ASSERT_EQ(listed.size(), 4u);
  EXPECT_EQ(base::to_text(listed[0]), R"({"sequence":1,"type":"run.claimed"})");
  EXPECT_TRUE(listed[1].get_object().contains("artifactRef"));
  EXPECT_EQ(base::to_text(listed[3]), R"({"sequence":4,"type":"run.completed"})");
  std::vector<std::string> kinds;
  for (const auto& artifact : parsed.at("artifacts").get_array()) {
    kinds.emplace_back(artifact.get_object().at("kind").get_string());
  }
  EXPECT_THAT(kinds, ElementsAre("stdout_log", "stderr_log", "workspace_file_index", "workspace_patch",
                                 "session_events"));
  EXPECT_EQ(parsed.at("artifacts").get_array().back().get_object().at("sha256"), json::value(events.sha256));
}

TEST_F(CloseRun, FinishingTwiceChangesNothingAndStoresSixArtifacts) {
  const auto ended = close(ending(model::RunStatus::completed));
  const auto again = finish({blob("other"), blob("bytes")});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->to_wire(), ended.to_wire());
  const auto artifacts =
      db_.read([](store::Reader& reader) { return reader.artifacts(testing::run_id("a")); });
  ASSERT_EQ(artifacts.size(), 6u);
  EXPECT_EQ(artifacts[5].kind, "session_manifest");
  EXPECT_NE(artifacts[5].sha256, blob("bytes").sha256);
}

TEST_F(CloseRun, FinishingWithoutBeginningIsRefused) {
  EXPECT_EQ(finish({blob("a"), blob("b")}).error().reason, "close_not_begun");
}

TEST_F(CloseRun, ALostLeaseClosesNothing) {
  ASSERT_TRUE(db_.write([&](store::Transaction& tx) {
    return take_over(tx, fence_.attempt, {"worker_2"}, std::nullopt, context());
  }));
  EXPECT_EQ(begin(ending(model::RunStatus::completed)).error().reason, "lease_lost");
  EXPECT_EQ(finish({blob("a"), blob("b")}).error().reason, "lease_lost");
}

TEST_F(CloseRun, ARunThatNeverGotASandboxFailsOnTheSamePath) {
  const auto closing = db_.write([&](store::Transaction& tx) {
    return fail_run(tx, fence_, {"provider_unconfigured", "no key", ""}, context());
  });
  ASSERT_TRUE(closing);
  const auto events = blob(archive(*closing));
  const auto ended = finish({events, blob(manifest(*closing, events))});
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->failure->code, "provider_unconfigured");
  EXPECT_THAT(types(), ElementsAre("run.claimed", "run.failed"));
}

TEST_F(CloseRun, ADecisionIsStillAnsweredAfterTheEnd) {
  journal({"approval.requested"},
          {{model::ActionId("action_1"), "sha256:d", "sha256:a", "approval_1", "evt_1"}});
  const auto decide = [&](Decision decision) {
    return db_.write([&](store::Transaction& tx) {
      return decide_action(tx, {testing::run_id("a"), model::ActionId("action_1"), "sha256:d", decision, ""},
                           context());
    });
  };
  const auto first = decide(Decision::approved);
  close(ending(model::RunStatus::completed));
  ASSERT_TRUE(first);
  EXPECT_EQ(decide(Decision::approved)->sequence, first->sequence);
  EXPECT_EQ(decide(Decision::denied).error().reason, "approval_already_decided");
}

TEST_F(CloseRun, TheSessionShowsTheLastResponseAndTheManifest) {
  journal({"execution.started", "agent.response"});
  for (int i = 0; i < 600; i += 100) journal(std::vector<std::string>(100, "agent.progress"));
  const auto session = [&] {
    return json::parse(base::value_or_throw(db_.read([](store::Reader& reader) {
                         return run_session(reader, testing::run_id("a"));
                       })).to_wire())
        .get_object();
  };
  EXPECT_EQ(base::to_text(session().at("artifactManifest")), R"({"status":"missing"})");
  close(ending(model::RunStatus::completed));
  const auto after = session();
  EXPECT_EQ(base::to_text(after.at("response")),
            R"({"text":"done \n","parts":[{"type":"text","text":"done \n"}]})");
  EXPECT_EQ(after.at("artifactManifest").get_object().at("status"), "available");
  EXPECT_EQ(after.at("artifacts").get_object().at("items").get_array().size(), 6u);
  EXPECT_EQ(after.at("eventCursor").get_object().at("lastEventSeq"), run().last_event_seq);
  EXPECT_EQ(after.at("run").get_object().at("status"), "completed");
}

TEST_F(CloseRun, QueriesOfUnknownThingsSayWhich) {
  close(ending(model::RunStatus::completed));
  const auto reason = [&](auto query) { return db_.read(query).error().reason; };
  EXPECT_EQ(reason([](store::Reader& reader) { return run_session(reader, model::RunId("run_x")); }),
            "run_not_found");
  EXPECT_EQ(reason([](store::Reader& reader) { return find_run(reader, model::RunId("run_x")); }),
            "run_not_found");
  const auto id = model::named_artifact(testing::run_id("a"), "stdout_log").id;
  EXPECT_TRUE(
      db_.read([&](store::Reader& reader) { return find_artifact(reader, testing::run_id("a"), id); }));
  EXPECT_EQ(reason([&](store::Reader& reader) { return find_artifact(reader, testing::run_id("b"), id); }),
            "artifact_not_found");
}

}  // namespace

}  // namespace agentrouter::runs
