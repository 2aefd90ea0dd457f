#include "runs/create.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

class CreateRun : public ::testing::Test {
 protected:
  static NewRun request(std::string key, std::string task = "fix it") {
    NewRun run;
    run.task = task;
    run.input = R"({"task":")" + task + R"(","runtime":{"kind":"codex","mode":"default"}})";
    run.idempotency_key = std::move(key);
    return run;
  }
  base::Result<Created> create(const NewRun& run) {
    return db_.write([&](store::Transaction& tx) { return create_run(tx, run, {db_.clock, db_.entropy}); });
  }

  testing::StoreFixture db_;
};

TEST_F(CreateRun, IsQueuedWithItsRequestAndNoEvent) {
  auto asked = request("");
  asked.workspace = {.kind = model::WorkspaceKind::path, .path = "/srv/repo"};
  asked.priority = 3;
  asked.approval_mode = model::ApprovalMode::manual;
  asked.runtime.model = "gpt-5.5";
  const auto created = create(asked);
  ASSERT_TRUE(created);
  EXPECT_FALSE(created->replayed);
  const auto run = db_.read([&](store::Reader& reader) { return reader.run(created->run.id); });
  ASSERT_TRUE(run);
  EXPECT_TRUE(base::is_prefixed_uuid(run->id.str(), "run_"));
  EXPECT_EQ(run->to_wire(), created->run.to_wire());
  EXPECT_EQ(run->status, model::RunStatus::queued);
  EXPECT_EQ(run->last_event_seq, 0);
  EXPECT_EQ(run->conversation_id, run->id);
  EXPECT_EQ(run->queued_at, db_.clock.now());
  EXPECT_EQ(run->input, asked.input);
  EXPECT_EQ(run->workspace, asked.workspace);
  EXPECT_EQ(run->priority, 3);
  EXPECT_EQ(run->approval_mode, model::ApprovalMode::manual);
  EXPECT_EQ(run->runtime.model, "gpt-5.5");
}

TEST_F(CreateRun, WithoutAKeyEachRequestIsARunOfItsOwn) {
  EXPECT_NE(create(request(""))->run.id, create(request(""))->run.id);
}

TEST_F(CreateRun, SameKeyAndBodyGiveTheFirstRunInItsPresentState) {
  const auto first = create(request("key"));
  db_.write([&](store::Transaction& tx) {
    auto run = tx.run(first->run.id);
    run->status = model::RunStatus::starting;
    tx.update_run(*run);
  });
  const auto again = create(request("key"));
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->run.id, first->run.id);
  EXPECT_EQ(again->run.status, model::RunStatus::starting);
}

TEST_F(CreateRun, SameKeyWithAnotherBodyIsRefusedAndCreatesNothing) {
  ASSERT_TRUE(create(request("key")));
  const auto refused = create(request("key", "something else"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::conflict);
  EXPECT_EQ(refused.error().reason, "idempotency_conflict");
  EXPECT_EQ(db_.read([](store::Reader& reader) { return reader.runs({}); }).items.size(), 1u);
}

TEST_F(CreateRun, AKeyIsForgottenAfterADay) {
  const auto first = create(request("key"));
  db_.clock.advance(idempotency_lifetime - std::chrono::milliseconds(1));
  EXPECT_EQ(create(request("key"))->run.id, first->run.id);
  db_.clock.advance(std::chrono::milliseconds(1));
  const auto second = create(request("key", "something else"));
  ASSERT_TRUE(second);
  EXPECT_NE(second->run.id, first->run.id);
}

TEST_F(CreateRun, ExpiredKeysArePurgedByLaterUses) {
  ASSERT_TRUE(create(request("old")));
  db_.clock.advance(idempotency_lifetime + std::chrono::milliseconds(1));
  ASSERT_TRUE(create(request("new")));
  EXPECT_FALSE(
      db_.read([](store::Reader& reader) { return reader.idempotency_key(base::Sha256::hex_of("old")); }));
  EXPECT_TRUE(
      db_.read([](store::Reader& reader) { return reader.idempotency_key(base::Sha256::hex_of("new")); }));
}

TEST_F(CreateRun, TheKeyItselfIsNotStored) {
  ASSERT_TRUE(create(request("secret-key")));
  EXPECT_FALSE(db_.read([](store::Reader& reader) { return reader.idempotency_key("secret-key"); }));
}

TEST_F(CreateRun, BodyHashIgnoresKeyOrderAndTheDefaultApprovalMode) {
  const auto hash = [](const char* text) { return body_hash(json::parse(text).get_object()); };
  const auto plain = hash(R"({"task":"a","metadata":{"x":1,"y":2}})");
  EXPECT_EQ(plain, hash(R"({"metadata":{"y":2,"x":1},"task":"a"})"));
  EXPECT_EQ(plain, hash(R"({"task":"a","approvalMode":"auto","metadata":{"x":1,"y":2}})"));
  EXPECT_NE(plain, hash(R"({"task":"a","approvalMode":"manual","metadata":{"x":1,"y":2}})"));
  EXPECT_NE(plain, hash(R"({"task":"a","metadata":{"x":1,"y":3}})"));
}

TEST_F(CreateRun, AThousandConcurrentFirstUsesMakeOneRun) {
  const auto use = [](testing::StoreFixture& db, const NewRun& run, int& made,
                      int& replayed) -> base::Task<void> {
    const auto created = co_await db.store().write(
        [&](store::Transaction& tx) { return create_run(tx, run, {db.clock, db.entropy}); });
    (created->replayed ? replayed : made) += 1;
  };
  const auto asked = request("key");
  int made = 0;
  int replayed = 0;
  for (int i = 0; i < 1000; ++i) {
    asio::co_spawn(db_.io().get_executor(), use(db_, asked, made, replayed),
                   [](std::exception_ptr error) { EXPECT_FALSE(error); });
  }
  db_.io().restart();
  db_.io().run();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(replayed, 999);
}

}  // namespace

}  // namespace agentrouter::runs
