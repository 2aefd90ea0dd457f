#include "runs/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/close.h"
#include "runs/conversations.h"
#include "runs/create.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

class Prepare : public ::testing::Test {
 protected:
  Prepare() {
    NewRun request;
    request.task = "t";
    request.input = R"({"task":"t"})";
    request.workspace = {.kind = model::WorkspaceKind::git,
                         .git = {.url = "https://h.test/a", .ref = "main"}};
    db_.write([&](store::Transaction& tx) { return create_run(tx, request, context()); });
    claim_ = *db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); });
  }
  base::Result<model::Run> prepared(const Fence& fence) {
    return db_.write([&](store::Transaction& tx) {
      return workspace_prepared(tx, fence, {"tree-1", std::string(40, 'a'), "main", 3, 4, false}, context());
    });
  }
  base::Result<void> preparing(const Fence& fence) {
    return db_.write([&](store::Transaction& tx) { return workspace_preparing(tx, fence, context()); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
  Claim claim_;
};

TEST_F(Prepare, WhatWasFoundIsKeptByTheRunAndTold) {
  ASSERT_TRUE(preparing(claim_.fence()));
  const auto run = prepared(claim_.fence());
  ASSERT_TRUE(run);
  EXPECT_EQ(run->workspace.tree, "tree-1");
  const auto events = db_.read([&](store::Reader& reader) { return reader.events(run->id, 0, 10); });
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].type, "workspace.preparing");
  EXPECT_EQ(events[1].payload, R"({"kind":"git","git":{"url":"https://h.test/a","ref":"main"}})");
  EXPECT_EQ(events[2].type, "workspace.prepared");
  EXPECT_EQ(events[2].payload, R"({"tree":"tree-1","commit":")" + std::string(40, 'a') +
                                   R"(","branch":"main","files":3,"bytes":4,"cached":false})");
  EXPECT_EQ(db_.read([](store::Reader& reader) { return reader.trees_in_use(); }),
            std::vector<std::string>{"tree-1"});
}

TEST_F(Prepare, AWorkerThatLostItsLeaseOrWhoseRunIsEndingTellsNothing) {
  auto stale = claim_.fence();
  stale.token = 0;
  EXPECT_EQ(prepared(stale).error().reason, "lease_lost");
  EXPECT_EQ(preparing(stale).error().reason, "lease_lost");
  ASSERT_TRUE(db_.write([&](store::Transaction& tx) {
    return fail_run(tx, claim_.fence(), {"workspace_failed", "no", "workspace_unavailable"}, context());
  }));
  EXPECT_EQ(prepared(claim_.fence()).error().reason, "run_not_active");
  EXPECT_EQ(preparing(claim_.fence()).error().reason, "run_not_active");
}

}  // namespace

}  // namespace agentrouter::runs
