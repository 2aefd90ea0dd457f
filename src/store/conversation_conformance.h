#pragma once
// What every backend must do about conversations, checkpoints, deadlines and actions. Included beside
// store_conformance.h, whose fixture it uses.

#include "store/store_conformance.h"

namespace agentrouter::store {

class ConversationConformance : public StoreConformance {
 protected:
  void insert_turn(std::string_view name, std::string_view first, int number) {
    auto run = testing::make_run(name, number);
    run.conversation_id = testing::run_id(first);
    run.turn_number = number;
    run.turn_id = "turn_" + std::to_string(number);
    write([&](Transaction& tx) { tx.insert_run(run); });
  }
  void expire(std::string_view name, std::int64_t at, bool reclaimed = false) {
    write([&](Transaction& tx) {
      auto conversation = tx.conversation(testing::run_id(name));
      conversation->expires_at = testing::test_time(at);
      conversation->reclaimed = reclaimed;
      tx.put_conversation(*conversation);
    });
  }
  std::vector<model::RunId> to_reclaim(std::int64_t now, int limit = 10) {
    std::vector<model::RunId> ids;
    for (const auto& conversation : read(
             [&](Reader& reader) { return reader.conversations_to_reclaim(testing::test_time(now), limit); }))
      ids.push_back(conversation.id);
    return ids;
  }
  std::optional<base::Time> next_expiry() {
    return read([](Reader& reader) { return reader.next_conversation_expiry(); });
  }
  void put_question(const char* action, std::optional<std::int64_t> expires,
                    ApprovalState state = ApprovalState::pending) {
    Approval approval;
    approval.run_id = testing::run_id("r");
    approval.action_id = model::ActionId(action);
    approval.state = state;
    if (expires) approval.expires_at = testing::test_time(*expires);
    write([&](Transaction& tx) { tx.put_approval(approval); });
  }
  std::vector<std::string> due(std::int64_t now, int limit = 10) {
    std::vector<std::string> actions;
    for (const auto& approval :
         read([&](Reader& reader) { return reader.due_approvals(testing::test_time(now), limit); }))
      actions.push_back(approval.action_id.str());
    return actions;
  }
};

TEST_P(ConversationConformance, TheFirstRunOpensItsConversation) {
  insert("r", 7);
  const auto opened = read([](Reader& reader) { return reader.conversation(testing::run_id("r")); });
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->id, testing::run_id("r"));
  EXPECT_FALSE(opened->session_id);
  EXPECT_EQ(opened->state, ConversationState::open);
  EXPECT_EQ(opened->created_at, testing::test_time(7));
  EXPECT_FALSE(opened->closed_at);
  EXPECT_EQ(opened->expires_at, never);
  EXPECT_FALSE(opened->reclaimed);
  EXPECT_FALSE(read([](Reader& reader) { return reader.conversation(testing::run_id("x")); }));
}

TEST_P(ConversationConformance, AConversationKeepsEveryField) {
  insert("r");
  Conversation changed;
  changed.id = testing::run_id("r");
  changed.session_id = model::SessionId("sess_9");
  changed.state = ConversationState::closed;
  changed.created_at = testing::test_time(1);
  changed.closed_at = testing::test_time(2);
  changed.expires_at = testing::test_time(3);
  changed.reclaimed = true;
  write([&](Transaction& tx) { tx.put_conversation(changed); });
  reopen();
  const auto kept = read([](Reader& reader) { return reader.conversation(testing::run_id("r")); });
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->session_id, changed.session_id);
  EXPECT_EQ(kept->state, changed.state);
  EXPECT_EQ(kept->created_at, changed.created_at);
  EXPECT_EQ(kept->closed_at, changed.closed_at);
  EXPECT_EQ(kept->expires_at, changed.expires_at);
  EXPECT_TRUE(kept->reclaimed);
}

TEST_P(ConversationConformance, TurnsAreInOrderAndEachNumberIsTakenOnce) {
  insert("one");
  insert_turn("two", "one", 2);
  insert_turn("three", "one", 3);
  insert("other");
  const auto turns = read([](Reader& reader) { return reader.turns(testing::run_id("one")); });
  ASSERT_EQ(turns.size(), 3u);
  EXPECT_EQ(turns[0].id, testing::run_id("one"));
  EXPECT_EQ(turns[1].turn_id, "turn_2");
  EXPECT_EQ(turns[2].turn_number, 3);
  EXPECT_EQ(read([](Reader& reader) { return reader.turn(testing::run_id("one"), 2); })->turn_id, "turn_2");
  EXPECT_FALSE(read([](Reader& reader) { return reader.turn(testing::run_id("one"), 4); }));
  const auto latest = read([](Reader& reader) { return reader.latest_turn(testing::run_id("one")); });
  EXPECT_EQ(latest->id, testing::run_id("three"));
  EXPECT_EQ(reason_of([&] { insert_turn("also three", "one", 3); }), "turn_taken");
  EXPECT_FALSE(read([](Reader& reader) { return reader.run(testing::run_id("also three")); }));
  EXPECT_FALSE(read([](Reader& reader) { return reader.latest_turn(testing::run_id("x")); }));
}

TEST_P(ConversationConformance, ATurnKeepsItsTimeoutAndIds) {
  auto run = testing::make_run("r");
  run.turn_id = "turn_x";
  run.approval_timeout = std::chrono::seconds(45);
  write([&](Transaction& tx) { tx.insert_run(run); });
  reopen();
  const auto kept = read([&](Reader& reader) { return reader.run(run.id); });
  EXPECT_EQ(kept->turn_id, "turn_x");
  EXPECT_EQ(kept->approval_timeout, run.approval_timeout);
}

TEST_P(ConversationConformance, AWorkspaceIsWhatTheLastUpdateSays) {
  insert("r");
  write([](Transaction& tx) {
    auto run = tx.run(testing::run_id("r"));
    run->workspace = {
        .kind = model::WorkspaceKind::git, .git = {.url = "https://example.test/a"}, .tree = "t1"};
    tx.update_run(*run);
  });
  reopen();
  const auto kept = read([](Reader& reader) { return reader.run(testing::run_id("r")); });
  EXPECT_EQ(kept->workspace.git.url, "https://example.test/a");
  EXPECT_EQ(kept->workspace.tree, "t1");
}

TEST_P(ConversationConformance, UploadsAreKeptUntilTheirTimeIsOver) {
  const Upload upload{"upload_1", "sum", 5'000'000'000, "t1", 3, testing::test_time(), testing::test_time(7)};
  write([&](Transaction& tx) { tx.put_upload(upload); });
  reopen();
  const auto kept = read([](Reader& reader) { return reader.upload("upload_1"); });
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->sha256, "sum");
  EXPECT_EQ(kept->size_bytes, 5'000'000'000);
  EXPECT_EQ(kept->tree, "t1");
  EXPECT_EQ(kept->files, 3);
  EXPECT_EQ(kept->created_at, testing::test_time());
  EXPECT_EQ(kept->expires_at, testing::test_time(7));
  EXPECT_EQ(read([](Reader& reader) { return reader.next_upload_expiry(); }), testing::test_time(7));
  write([](Transaction& tx) { tx.purge_uploads(testing::test_time(6)); });
  EXPECT_TRUE(read([](Reader& reader) { return reader.upload("upload_1"); }));
  write([](Transaction& tx) { tx.purge_uploads(testing::test_time(7)); });
  EXPECT_FALSE(read([](Reader& reader) { return reader.upload("upload_1"); }));
  EXPECT_FALSE(read([](Reader& reader) { return reader.next_upload_expiry(); }));
}

TEST_P(ConversationConformance, TreesAreInUseByUploadsAndByConversationsThatAreNotReclaimed) {
  for (const char* name : {"c", "a", "b", "a again"}) {
    auto run = testing::make_run(name);
    run.workspace = {.kind = model::WorkspaceKind::upload, .tree = std::string("tree ") + name[0]};
    write([&](Transaction& tx) { tx.insert_run(run); });
  }
  insert("scratch");
  const Upload upload{"upload_1", "sum", 1, "tree u", 3, testing::test_time(), testing::test_time(7)};
  write([&](Transaction& tx) { tx.put_upload(upload); });
  expire("b", 1);
  expire("c", 1, true);
  EXPECT_THAT(read([](Reader& reader) { return reader.trees_in_use(); }),
              ElementsAre("tree a", "tree b", "tree u"));
}

TEST_P(ConversationConformance, CheckpointsAreFoundByTheTurnBefore) {
  const auto put = [&](const char* run, int turn) {
    Checkpoint checkpoint{
        testing::run_id(run),    testing::run_id("one"), turn, "key", 5'000'000'000, "sum", "thread",
        testing::test_time(turn)};
    write([&](Transaction& tx) { tx.put_checkpoint(checkpoint); });
  };
  const auto before = [&](int turn) {
    const auto found =
        read([&](Reader& reader) { return reader.latest_checkpoint(testing::run_id("one"), turn); });
    return found ? found->turn_number : 0;
  };
  put("one", 1);
  put("three", 3);
  put("three", 3);
  EXPECT_EQ(before(1), 0);
  EXPECT_EQ(before(3), 1);
  EXPECT_EQ(before(4), 3);
  reopen();
  const auto all = read([](Reader& reader) { return reader.checkpoints(testing::run_id("one")); });
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].run_id, testing::run_id("three"));
  EXPECT_EQ(all[1].conversation_id, testing::run_id("one"));
  EXPECT_EQ(all[1].key, "key");
  EXPECT_EQ(all[1].size_bytes, 5'000'000'000);
  EXPECT_EQ(all[1].sha256, "sum");
  EXPECT_EQ(all[1].thread_id, "thread");
  EXPECT_EQ(all[1].created_at, testing::test_time(3));
  EXPECT_FALSE(all[1].doomed);
  write([&](Transaction& tx) {
    auto doomed = all[1];
    doomed.doomed = true;
    tx.put_checkpoint(doomed);
  });
  EXPECT_EQ(before(4), 1);
  EXPECT_TRUE(read([](Reader& reader) { return reader.checkpoints(testing::run_id("one")); })[1].doomed);
  write([](Transaction& tx) { tx.delete_checkpoint(testing::run_id("one"), 3); });
  EXPECT_EQ(read([](Reader& reader) { return reader.checkpoints(testing::run_id("one")); }).size(), 1u);
}

TEST_P(ConversationConformance, BytesAreSharedAsLongAsAnotherConversationHasThemAndIsNotLettingGo) {
  const auto row = [](const char* conversation, int turn, const char* key, bool doomed = false) {
    return Checkpoint{testing::run_id("one"),
                      testing::run_id(conversation),
                      turn,
                      key,
                      1,
                      "sum",
                      "thread",
                      testing::test_time(1),
                      doomed};
  };
  const auto shared = [&](const Checkpoint& checkpoint) {
    return read([&](Reader& reader) { return reader.is_shared(checkpoint); });
  };
  write([&](Transaction& tx) {
    tx.put_checkpoint(row("one", 1, "key"));
    tx.put_checkpoint(row("one", 2, "key"));
    tx.put_checkpoint(row("other", 1, "another key"));
  });
  EXPECT_FALSE(shared(row("one", 1, "key")));
  write([&](Transaction& tx) { tx.put_checkpoint(row("fork", 0, "key")); });
  EXPECT_TRUE(shared(row("one", 1, "key")));
  EXPECT_TRUE(shared(row("fork", 0, "key")));
  EXPECT_EQ(read([](Reader& reader) { return reader.latest_checkpoint(testing::run_id("fork"), 1); })->key,
            "key");
  write([&](Transaction& tx) { tx.put_checkpoint(row("fork", 0, "key", true)); });
  EXPECT_FALSE(shared(row("one", 1, "key")));
}

TEST_P(ConversationConformance, ARunKeepsWhereItWasForkedFrom) {
  auto run = testing::make_run("r");
  run.forked_from = model::ForkOrigin{testing::run_id("two"), testing::run_id("one"), 2};
  write([&](Transaction& tx) {
    tx.insert_run(run);
    auto changed = run;
    changed.forked_from.reset();
    tx.update_run(changed);
  });
  insert("plain");
  reopen();
  const auto kept = read([&](Reader& reader) { return reader.run(run.id); });
  ASSERT_TRUE(kept->forked_from);
  EXPECT_EQ(base::to_text(kept->forked_from->to_json()), base::to_text(run.forked_from->to_json()));
  EXPECT_FALSE(read([](Reader& reader) { return reader.run(testing::run_id("plain")); })->forked_from);
}

TEST_P(ConversationConformance, WhatHasExpiredIsToBeReclaimedLongestExpiredFirst) {
  for (const auto* name : {"active", "late", "early", "gone"}) insert(name);
  EXPECT_FALSE(next_expiry());
  expire("late", 20);
  expire("early", 10);
  expire("gone", 5, true);
  EXPECT_TRUE(to_reclaim(9).empty());
  EXPECT_THAT(to_reclaim(10), ElementsAre(testing::run_id("early")));
  EXPECT_THAT(to_reclaim(99), ElementsAre(testing::run_id("early"), testing::run_id("late")));
  EXPECT_THAT(to_reclaim(99, 1), ElementsAre(testing::run_id("early")));
  EXPECT_EQ(next_expiry(), testing::test_time(10));
  expire("early", 10, true);
  EXPECT_EQ(next_expiry(), testing::test_time(20));
}

TEST_P(ConversationConformance, PendingQuestionsAreDueAtTheirDeadline) {
  put_question("never", std::nullopt);
  put_question("late", 20);
  put_question("early", 10);
  put_question("decided", 5, ApprovalState::approved);
  EXPECT_TRUE(due(9).empty());
  EXPECT_THAT(due(10), ElementsAre("early"));
  EXPECT_THAT(due(99), ElementsAre("early", "late"));
  EXPECT_THAT(due(99, 1), ElementsAre("early"));
  EXPECT_EQ(read([](Reader& reader) { return reader.next_approval_expiry(); }), testing::test_time(10));
  put_question("early", 10, ApprovalState::expired);
  put_question("late", std::nullopt);
  EXPECT_FALSE(read([](Reader& reader) { return reader.next_approval_expiry(); }));
}

TEST_P(ConversationConformance, ActionsAreOpenFromTheirStartToTheirEnd) {
  const auto put = [&](const char* id, const char* execution) {
    ActionRecord action;
    action.run_id = testing::run_id("r");
    action.action_id = model::ActionId(id);
    action.execution = execution;
    write([&](Transaction& tx) { tx.put_action(action); });
  };
  const auto open = [&] {
    std::vector<std::string> ids;
    for (const auto& action : read([](Reader& reader) { return reader.open_actions(testing::run_id("r")); }))
      ids.push_back(action.action_id.str());
    return ids;
  };
  put("a", "started");
  put("b", "");
  put("c", "started");
  EXPECT_THAT(open(), ElementsAre("a", "c"));
  put("a", "completed");
  put("b", "started");
  EXPECT_THAT(open(), ElementsAre("b", "c"));
  EXPECT_TRUE(read([](Reader& reader) { return reader.open_actions(testing::run_id("s")); }).empty());
}

TEST_P(ConversationConformance, QuestionsOfAllRunsAreListedOnceAndInOrder) {
  const auto put = [&](const char* run, const char* action, ApprovalState state) {
    Approval approval;
    approval.run_id = testing::run_id(run);
    approval.action_id = model::ActionId(action);
    approval.state = state;
    approval.decided_by = "key_1";
    approval.requested_at = testing::test_time(9);
    write([&](Transaction& tx) { tx.put_approval(approval); });
  };
  const auto page = [&](PendingQuery query) {
    return read([&query](Reader& reader) { return reader.pending_approvals(query); });
  };
  const auto names = [](const std::vector<Approval>& approvals) {
    std::vector<std::string> ids;
    for (const auto& approval : approvals) ids.push_back(approval.action_id.str());
    return ids;
  };
  put("r", "a", ApprovalState::pending);
  put("s", "b", ApprovalState::pending);
  put("r", "c", ApprovalState::denied);
  put("r", "d", ApprovalState::pending);
  const auto first = page({.limit = 2});
  EXPECT_THAT(names(first), ElementsAre("a", "b"));
  EXPECT_EQ(first[0].decided_by, "key_1");
  EXPECT_EQ(first[0].requested_at, testing::test_time(9));
  EXPECT_THAT(names(page({.after = first[1].number})), ElementsAre("d"));
  EXPECT_THAT(names(page({.run = testing::run_id("r")})), ElementsAre("a", "d"));
  EXPECT_THAT(names(page({.run = testing::run_id("r"), .after = first[0].number})), ElementsAre("d"));
  EXPECT_TRUE(page({.run = testing::run_id("nobody")}).empty());
}

TEST_P(ConversationConformance, ActionsKeepEveryFieldAndTheirOrder) {
  ActionRecord action{testing::run_id("r"),
                      model::ActionId("a"),
                      "sha256:d",
                      "sha256:g",
                      "codex.launch",
                      "workspace",
                      1,
                      2,
                      "allowed",
                      "rule",
                      3,
                      4,
                      "approved",
                      "fine",
                      5,
                      6,
                      "failed",
                      "broke",
                      7,
                      "ask-all",
                      "sha256:p",
                      "writes",
                      "key_1",
                      1234};
  write([&](Transaction& tx) {
    tx.put_action(action);
    for (const auto* id : {"b", "c"}) {
      ActionRecord other;
      other.run_id = testing::run_id("r");
      other.action_id = model::ActionId(id);
      tx.put_action(other);
    }
    action.exit_code = 8;
    tx.put_action(action);
  });
  reopen();
  const auto kept =
      read([](Reader& reader) { return reader.action(testing::run_id("r"), model::ActionId("a")); });
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->action_digest, "sha256:d");
  EXPECT_EQ(kept->args_digest, "sha256:g");
  EXPECT_EQ(kept->name, "codex.launch");
  EXPECT_EQ(kept->target, "workspace");
  EXPECT_EQ(kept->policy_decision, "allowed");
  EXPECT_EQ(kept->policy_reason, "rule");
  EXPECT_EQ(kept->approval, "approved");
  EXPECT_EQ(kept->approval_reason, "fine");
  EXPECT_EQ(kept->execution, "failed");
  EXPECT_EQ(kept->execution_reason, "broke");
  EXPECT_EQ(kept->exit_code, 8);
  EXPECT_EQ(kept->policy_id, "ask-all");
  EXPECT_EQ(kept->policy_version, "sha256:p");
  EXPECT_EQ(kept->policy_rule, "writes");
  EXPECT_EQ(kept->decided_by, "key_1");
  EXPECT_EQ(kept->duration_ms, 1234);
  EXPECT_THAT((std::vector{kept->proposed_seq, kept->policy_seq, kept->requested_seq, kept->settled_seq,
                           kept->started_seq, kept->ended_seq}),
              ElementsAre(1, 2, 3, 4, 5, 6));
  const auto newest = [&](int limit) {
    std::vector<std::string> ids;
    for (const auto& row : read([&](Reader& reader) { return reader.actions(testing::run_id("r"), limit); }))
      ids.push_back(row.action_id.str());
    return ids;
  };
  EXPECT_THAT(newest(10), ElementsAre("a", "b", "c"));
  EXPECT_THAT(newest(2), ElementsAre("b", "c"));
}

TEST_P(ConversationConformance, AKeyRemembersADecisionsEvent) {
  write([](Transaction& tx) {
    tx.put_idempotency_key({"k", "body", testing::run_id("r"), testing::test_time(10), 4'000'000'000});
  });
  EXPECT_EQ(read([](Reader& reader) { return reader.idempotency_key("k"); })->event_seq, 4'000'000'000);
}

}  // namespace agentrouter::store
