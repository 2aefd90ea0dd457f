#include "store/sqlite/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "store/sqlite/sqlite_store.h"
#include "testing/builders.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

using ::testing::ElementsAre;

// What a server of schema 1 left: one run that has ended, one that waits for a person.
constexpr const char* rows_of_schema_1 = R"sql(
INSERT INTO runs (n, id, status, runtime_kind, runtime_mode, approval_mode, last_event_seq, session_id,
  conversation_id, queued_at, completed_at, workspace_path, priority, attempts) VALUES
  (1, 'run_ended', 'completed', 'codex', 'default', 'manual', 7, 'sess_1', 'run_ended', 1000, 5000, '', 0, 1),
  (2, 'run_active', 'starting', 'claude_code', 'plan', 'auto', 3, NULL, 'run_active', 2000, NULL, '', 0, 1);
INSERT INTO run_texts VALUES (1, 'mend the bridge', '{}'), (2, 'paint the fence', '{}');
INSERT INTO events (key, type, source, visibility, payload, truncated, created_at) VALUES
  ((1 << 32) | 1, 'action.proposed', 'worker', 'public', '{"actionId":"action_1","actionDigest":"sha256:d",
    "argsDigest":"sha256:a","actionName":"codex.launch","targetResource":"workspace"}', 0, 1),
  ((1 << 32) | 2, 'policy.evaluated', 'worker', 'public',
    '{"actionId":"action_1","decision":"requires_approval","reason":"manual"}', 0, 2),
  ((1 << 32) | 3, 'approval.requested', 'worker', 'public', '{"actionId":"action_1"}', 0, 3),
  ((1 << 32) | 4, 'approval.decided', 'api', 'public',
    '{"actionId":"action_1","decision":"approved","reason":"fine"}', 0, 4),
  ((1 << 32) | 5, 'execution.started', 'worker', 'public', '{"actionId":"action_1"}', 0, 5),
  ((1 << 32) | 6, 'execution.completed', 'worker', 'public', '{"actionId":"action_1","exitCode":0}', 0, 6),
  ((1 << 32) | 7, 'agent.response', 'codex', 'public', '{"text":"the river is crossed"}', 0, 7),
  ((2 << 32) | 1, 'action.proposed', 'worker', 'public', '{"actionId":"action_2"}', 0, 1),
  ((2 << 32) | 2, 'approval.requested', 'worker', 'public', '{"actionId":"action_2"}', 0, 2),
  ((2 << 32) | 3, 'agent.progress', 'worker', 'public', '{}', 0, 3);
INSERT INTO newest_events VALUES (1, 'agent.response', 7), (2, 'agent.progress', 3);
INSERT INTO approvals (run_id, action_id, action_digest, args_digest, request_id, requested_event_id, state,
  reason, decided_seq, delivered) VALUES ('run_active', 'action_2', 'sha256:d', 'sha256:a', 'approval_2', 'evt_2',
  'pending', '', 0, 0);
INSERT INTO idempotency_keys VALUES ('hash', 'body', 'run_ended', 9000);
)sql";

class SchemaStep2 : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(path()).close();
    {
      Connection connection(path(), "");
      migrate(connection, 1);
      connection.execute(rows_of_schema_1);
    }
    store_ = base::value_or_throw(open_sqlite_store(path()));
  }
  [[nodiscard]] std::filesystem::path path() const { return folder_ / "a.db"; }
  template <class Work>
  auto read(Work work) {
    return testing::run_task(io_, store_->read(std::move(work)));
  }
  template <class Work>
  auto write(Work work) {
    return testing::run_task(io_, store_->write(std::move(work)));
  }
  std::vector<std::string> found(std::string text) {
    std::vector<std::string> ids;
    for (const auto& run : read([&](Reader& reader) { return reader.runs({.text = text}); }).items)
      ids.push_back(run.id.str());
    return ids;
  }

  const model::RunId ended_{"run_ended"};
  const model::RunId active_{"run_active"};
  testing::TempDir folder_;
  asio::io_context io_;
  std::unique_ptr<Store> store_;
};

TEST_F(SchemaStep2, EveryRunIsTheFirstTurnOfItsConversation) {
  for (const auto& id : {ended_, active_}) {
    const auto turns = read([&](Reader& reader) { return reader.turns(id); });
    ASSERT_EQ(turns.size(), 1u);
    EXPECT_EQ(turns[0].id, id);
    EXPECT_EQ(turns[0].turn_number, 1);
    EXPECT_TRUE(base::is_prefixed_uuid(turns[0].turn_id, "turn_")) << turns[0].turn_id;
    EXPECT_TRUE(turns[0].tags.empty());
    EXPECT_FALSE(turns[0].approval_timeout);
  }
  const auto turn_id = [&](const model::RunId& id) {
    return read([&](Reader& reader) { return reader.run(id); })->turn_id;
  };
  EXPECT_NE(turn_id(ended_), turn_id(active_));
}

TEST_F(SchemaStep2, AnEndedConversationExpiresTenMinutesAfterItsEndAndAnActiveOneNever) {
  const auto ended = read([&](Reader& reader) { return reader.conversation(ended_); });
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->session_id, model::SessionId("sess_1"));
  EXPECT_EQ(ended->state, ConversationState::open);
  EXPECT_EQ(ended->created_at, base::Time(std::chrono::milliseconds(1000)));
  EXPECT_EQ(ended->expires_at, base::Time(std::chrono::milliseconds(5000) + std::chrono::minutes(10)));
  EXPECT_FALSE(ended->reclaimed);
  const auto active = read([&](Reader& reader) { return reader.conversation(active_); });
  ASSERT_TRUE(active);
  EXPECT_FALSE(active->session_id);
  EXPECT_EQ(active->expires_at, never);
}

TEST_F(SchemaStep2, TasksAndAnswersAreFound) {
  EXPECT_THAT(found("bridge"), ElementsAre("run_ended"));
  EXPECT_THAT(found("mend river"), ElementsAre("run_ended"));
  EXPECT_THAT(found("fence"), ElementsAre("run_active"));
  EXPECT_THAT(found("the"), ElementsAre("run_active", "run_ended"));
}

TEST_F(SchemaStep2, AnAnswerOfBeforeIsReplacedByOneOfAfter) {
  write([&](Transaction& tx) {
    auto run = tx.run(ended_);
    run->status = model::RunStatus::running;
    tx.update_run(*run);
    tx.append(ended_, testing::make_draft("agent.response", R"({"text":"the ferry sails"})"));
  });
  EXPECT_TRUE(found("river").empty());
  EXPECT_THAT(found("bridge ferry"), ElementsAre("run_ended"));
}

TEST_F(SchemaStep2, ActionsAreFoldedFromTheEvents) {
  const auto actions = read([&](Reader& reader) { return reader.actions(ended_, 10); });
  ASSERT_EQ(actions.size(), 1u);
  const auto& action = actions[0];
  EXPECT_EQ(action.action_id.str(), "action_1");
  EXPECT_EQ(action.action_digest, "sha256:d");
  EXPECT_EQ(action.args_digest, "sha256:a");
  EXPECT_EQ(action.name, "codex.launch");
  EXPECT_EQ(action.target, "workspace");
  EXPECT_EQ(action.policy_decision, "requires_approval");
  EXPECT_EQ(action.policy_reason, "manual");
  EXPECT_EQ(action.approval, "approved");
  EXPECT_EQ(action.approval_reason, "fine");
  EXPECT_EQ(action.execution, "completed");
  EXPECT_EQ(action.exit_code, 0);
  EXPECT_THAT((std::vector{action.proposed_seq, action.policy_seq, action.requested_seq, action.settled_seq,
                           action.started_seq, action.ended_seq}),
              ElementsAre(1, 2, 3, 4, 5, 6));
  const auto waiting = read([&](Reader& reader) { return reader.actions(active_, 10); });
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0].approval, "pending");
  EXPECT_EQ(waiting[0].execution, "");
  EXPECT_FALSE(waiting[0].exit_code);
}

TEST_F(SchemaStep2, QuestionsHaveNoDeadlineAndKeysAreKept) {
  const auto pending = read([&](Reader& reader) { return reader.pending_approvals(active_); });
  ASSERT_EQ(pending.size(), 1u);
  EXPECT_FALSE(pending[0].expires_at);
  EXPECT_FALSE(read([](Reader& reader) { return reader.next_approval_expiry(); }));
  const auto key = read([](Reader& reader) { return reader.idempotency_key("hash"); });
  ASSERT_TRUE(key);
  EXPECT_EQ(key->run_id, ended_);
  EXPECT_EQ(key->event_seq, 0);
}

TEST(SchemaStep3, AFolderThatARunWorkedOnIsItsWorkspace) {
  const testing::TempDir folder;
  const auto path = folder / "a.db";
  std::ofstream(path).close();
  {
    Connection connection(path, "");
    migrate(connection, 1);
    connection.execute(rows_of_schema_1);
    migrate(connection, 2);
    connection.execute(R"(UPDATE runs SET workspace_path = '/srv/a "b"' WHERE id = 'run_ended')");
  }
  asio::io_context io;
  const auto store = base::value_or_throw(open_sqlite_store(path));
  const auto workspace_of = [&](const char* id) {
    return testing::run_task(io, store->read([&](Reader& reader) { return reader.run(model::RunId(id)); }))
        ->workspace;
  };
  EXPECT_EQ(workspace_of("run_ended"),
            (model::Workspace{.kind = model::WorkspaceKind::path, .path = R"(/srv/a "b")"}));
  EXPECT_EQ(workspace_of("run_active"), model::Workspace());
}

// What a server of schema 3 left: a conversation with a checkpoint.
TEST(SchemaStep4, CheckpointsAreThoseOfTheirConversations) {
  testing::TempDir folder;
  const auto path = folder.path() / "a.db";
  std::ofstream(path).close();
  {
    Connection connection(path, "");
    migrate(connection, 3);
    connection.execute(
        "INSERT INTO runs (id, status, runtime_kind, runtime_mode, approval_mode, conversation_id, "
        "queued_at, priority, attempts) "
        "VALUES ('run_1', 'completed', 'codex', 'default', 'auto', 'run_1', 1000, 0, 1);"
        "INSERT INTO run_texts VALUES (1, 'mend the bridge', '{}');"
        "INSERT INTO checkpoints VALUES ('run_1', 'run_1', 1, 'the key', 7, 'sum', 'thread', 2000)");
  }
  asio::io_context io;
  const auto store = base::value_or_throw(open_sqlite_store(path));
  const model::RunId id("run_1");
  const auto kept =
      testing::run_task(io, store->read([&](Reader& reader) { return reader.latest_checkpoint(id, 2); }));
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->run_id, id);
  EXPECT_EQ(kept->conversation_id, id);
  EXPECT_EQ(kept->key, "the key");
  EXPECT_EQ(kept->size_bytes, 7);
  EXPECT_EQ(kept->sha256, "sum");
  EXPECT_EQ(kept->thread_id, "thread");
  EXPECT_EQ(kept->created_at, base::Time(std::chrono::milliseconds(2000)));
  EXPECT_FALSE(kept->doomed);
  EXPECT_FALSE(
      testing::run_task(io, store->read([&](Reader& reader) { return reader.run(id); }))->forked_from);
}

// What a server of schema 5 left has no chain: it begins with what happens next.
TEST(SchemaStep6, TheChainOfAnOlderStoreBeginsNow) {
  testing::TempDir folder;
  const auto path = folder.path() / "a.db";
  std::ofstream(path).close();
  {
    Connection connection(path, "");
    migrate(connection, 5);
  }
  asio::io_context io;
  const auto store = base::value_or_throw(open_sqlite_store(path));
  const auto head = [&] {
    return testing::run_task(io, store->read([](Reader& reader) { return reader.audit_head("default"); }));
  };
  EXPECT_FALSE(head());
  model::AuditEntry entry;
  entry.number = 1;
  testing::run_task(io, store->write([&](Transaction& tx) { tx.append_audit(entry); }));
  EXPECT_EQ(head()->number, 1);
  EXPECT_TRUE(testing::run_task(io, store->read([](Reader& reader) { return reader.webhooks(); })).empty());
}

// What a server of schema 9 left belongs to the default workspace, and is found there as before.
TEST(SchemaStep10, WhatThereWasIsOfTheDefaultWorkspace) {
  testing::TempDir folder;
  const auto path = folder.path() / "a.db";
  std::ofstream(path).close();
  {
    Connection connection(path, "");
    migrate(connection, 9);
    connection.execute(
        "INSERT INTO runs (id, status, runtime_kind, runtime_mode, approval_mode, conversation_id, "
        "queued_at, priority, "
        "attempts, tags) VALUES ('run_1', 'cancelling', 'codex', 'default', 'auto', 'run_1', 1000, 0, 1, '');"
        "INSERT INTO run_texts VALUES (1, 'mend the bridge', '{}');"
        "INSERT INTO run_tags VALUES ('env', 'prod', 1000, 1);"
        "INSERT INTO events (key, type, source, visibility, payload, truncated, created_at) VALUES "
        "((1 << 32) | 1, 'agent.response', 'codex', 'public', '{\"text\":\"the river\"}', 0, 7);"
        "INSERT INTO newest_events VALUES (1, 'agent.response', 1);"
        "INSERT INTO run_search (rowid, task, answer) VALUES (1, 'mend the bridge', 'the river');"
        "INSERT INTO uploads VALUES ('upload_1', 's', 1, 't', 1, 1, 9);"
        "INSERT INTO approvals (run_id, action_id, action_digest, args_digest, request_id, "
        "requested_event_id, state, "
        "reason, decided_seq, delivered) VALUES ('run_1', 'a', '', '', '', '', 'pending', '', 0, 0);"
        "INSERT INTO idempotency_keys (key_hash, body_hash, run_id, expires_at) VALUES ('h', 'b', 'run_1', "
        "9000)");
  }
  asio::io_context io;
  const auto store = base::value_or_throw(open_sqlite_store(path));
  const model::RunId id("run_1");
  const std::string ours = "default";
  const std::string theirs = "team";
  const auto found = [&](const std::string& scope, const RunQuery& query) {
    return testing::run_task(
        io, store->read_in(scope, [&](Reader& reader) { return reader.runs(query).items.size(); }));
  };
  for (const auto& query : std::vector<RunQuery>{{},
                                                 {.status = "active"},
                                                 {.status = "cancelling"},
                                                 {.tags = {{"env", "prod"}}},
                                                 {.conversation = id},
                                                 {.text = "bridge river"}}) {
    EXPECT_EQ(found(ours, query), 1u);
    EXPECT_EQ(found(theirs, query), 0u);
  }
  const auto seen = [&](const std::string& scope) {
    return testing::run_task(io, store->read_in(scope, [&](Reader& reader) {
      return std::vector<bool>{reader.run(id).has_value(), reader.upload("upload_1").has_value(),
                               !reader.pending_approvals(PendingQuery{}).empty()};
    }));
  };
  EXPECT_THAT(seen(ours), ElementsAre(true, true, true));
  EXPECT_THAT(seen(theirs), ElementsAre(false, false, false));
  EXPECT_EQ(testing::run_task(
                io, store->read([](Reader& reader) { return reader.cancelling_runs_without_attempt(); })),
            std::vector{id});
  EXPECT_TRUE(testing::run_task(io, store->read([](Reader& reader) { return reader.workspace("default"); })));
  EXPECT_TRUE(testing::run_task(io, store->read([](Reader& reader) { return reader.idempotency_key("h"); })));
}

}  // namespace

}  // namespace agentrouter::store
