#include "runs/workspace_source.h"

#include <gtest/gtest.h>

#include "runs/create.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using namespace std::chrono_literals;

class WorkspaceSource : public ::testing::Test {
 protected:
  WorkspaceSource() {
    const store::Upload upload{.id = "upload_1",
                               .sha256 = "sum",
                               .size_bytes = 9,
                               .tree = "upload-1-sum",
                               .files = 2,
                               .created_at = db_.clock.now(),
                               .expires_at = db_.clock.now() + 1h};
    db_.write([&](store::Transaction& tx) { tx.put_upload(upload); });
  }
  base::Result<Created> create(const std::string& upload, std::string key = {}) {
    NewRun request;
    request.task = "t";
    request.input = R"({"task":"t"})";
    request.idempotency_key = std::move(key);
    request.workspace = {.kind = model::WorkspaceKind::upload, .upload_id = upload};
    return db_.write(
        [&](store::Transaction& tx) { return create_run(tx, request, {db_.clock, db_.entropy}); });
  }

  // A run that has ended, on a tree of its own, with what it has changed.
  model::RunId ended(const std::string& name, bool with_state = true) {
    auto run = testing::make_run(name);
    run.workspace = {.kind = model::WorkspaceKind::upload, .upload_id = "upload_1", .tree = "t-" + name};
    run.status = model::RunStatus::completed;
    store::Checkpoint state;
    state.run_id = state.conversation_id = run.id;
    state.key = "key of " + name;
    state.thread_id = "thread";
    db_.write([&](store::Transaction& tx) {
      tx.insert_run(run);
      if (with_state) tx.put_checkpoint(state);
    });
    return run.id;
  }
  base::Result<Created> create_from(const model::RunId& id) {
    NewRun request;
    request.task = "t";
    request.input = R"({"task":"t"})";
    request.workspace.from_run = id;
    return db_.write(
        [&](store::Transaction& tx) { return create_run(tx, request, {db_.clock, db_.entropy}); });
  }

  testing::StoreFixture db_;
};

TEST_F(WorkspaceSource, ARunFromAnotherOnesFilesHasItsBaseAndSharesItsState) {
  const auto first = ended("first");
  const auto created = create_from(first);
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_EQ(created->run.workspace.tree, "t-first");
  EXPECT_EQ(created->run.workspace.from_run, first);
  EXPECT_EQ(created->run.conversation_id, created->run.id);
  const auto kept = db_.read([&](store::Reader& reader) { return reader.checkpoints(created->run.id); });
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].turn_number, 0);
  EXPECT_EQ(kept[0].run_id, first);
  EXPECT_EQ(kept[0].key, "key of first");
}

TEST_F(WorkspaceSource, ARunThatChangedNothingGivesItsBase) {
  const auto created = create_from(ended("idle", false));
  ASSERT_TRUE(created);
  EXPECT_EQ(created->run.workspace.tree, "t-idle");
  EXPECT_TRUE(db_.read([&](store::Reader& reader) { return reader.checkpoints(created->run.id); }).empty());
}

TEST_F(WorkspaceSource, ARunThatIsUnknownActiveOrWhoseFilesAreGoneGivesNothing) {
  EXPECT_EQ(create_from(model::RunId("run_x")).error().reason, "run_not_found");
  const auto active = testing::make_run("active");
  db_.write([&](store::Transaction& tx) { tx.insert_run(active); });
  EXPECT_EQ(create_from(active.id).error().reason, "run_busy");
  const auto gone = ended("gone", false);
  db_.write([&](store::Transaction& tx) {
    auto conversation = *tx.conversation(gone);
    conversation.state = store::ConversationState::closed;
    conversation.expires_at = db_.clock.now();
    conversation.reclaimed = true;
    tx.put_conversation(conversation);
  });
  EXPECT_EQ(create_from(gone).error().reason, "session_closed");
}

TEST_F(WorkspaceSource, ARunOfAnUploadKeepsItsTreeAlsoWhenTheUploadIsForgotten) {
  const auto created = create("upload_1");
  ASSERT_TRUE(created);
  EXPECT_EQ(created->run.workspace.tree, "upload-1-sum");
  db_.write([&](store::Transaction& tx) { tx.purge_uploads(db_.clock.now() + 1h); });
  EXPECT_EQ(db_.read([](store::Reader& reader) { return reader.trees_in_use(); }),
            std::vector<std::string>{"upload-1-sum"});
}

TEST_F(WorkspaceSource, AnUploadThatIsUnknownOrWhoseTimeIsOverMakesNoRun) {
  EXPECT_EQ(create("upload_2").error().reason, "upload_not_found");
  EXPECT_EQ(create("").error().code, base::Code::not_found);
  db_.clock.advance(1h);
  EXPECT_EQ(create("upload_1").error().reason, "upload_not_found");
}

TEST_F(WorkspaceSource, ARequestThatWasDoneIsAnsweredAlsoWhenItsUploadIsGone) {
  const auto first = create("upload_1", "key");
  db_.clock.advance(1h);
  const auto second = create("upload_1", "key");
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->replayed);
  EXPECT_EQ(second->run.id, first->run.id);
}

}  // namespace

}  // namespace agentrouter::runs
