#include "runs/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/claim.h"
#include "runs/create.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::HasSubstr;

class Queue : public ::testing::Test {
 protected:
  base::Result<Created> create(std::string key, model::Tags tags = {}, std::string repeat = {}) {
    NewRun request;
    request.task = "go";
    request.input = R"({"task":"go"})";
    request.tags = std::move(tags);
    request.api_key = std::move(key);
    request.idempotency_key = std::move(repeat);
    return db_.write([&](store::Transaction& tx) { return create_run(tx, request, context(), {}, rules_); });
  }
  std::string take() {
    return db_.write(
        [&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context())->run.tags[0].second; });
  }
  std::int64_t queued(std::string_view share) {
    return db_.read([&](store::Reader& reader) { return reader.queued_of_share(share); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  QueueRules rules_;
  testing::StoreFixture db_;
};

TEST_F(Queue, RunsShareByTheKeyThatAsksOrByATag) {
  base::value_or_throw(create("key_a", {{"team", "x"}}));
  EXPECT_EQ(queued("key_a"), 1);
  rules_.share_tag = "team";
  base::value_or_throw(create("key_a", {{"team", "x"}}));
  EXPECT_EQ(queued("tag:x"), 1);
  base::value_or_throw(create("key_a", {{"other", "x"}}));
  EXPECT_EQ(queued("key_a"), 2);
}

TEST_F(Queue, AWorkspaceIsOneShareHoweverManyKeysItHas) {
  rules_.share_tag = "team";
  const std::string team = "infra";
  for (const auto* key : {"key_a", "key_b"}) {
    NewRun request{.input = R"({"task":"go"})", .task = "go", .tags = {{"team", "x"}}, .api_key = key};
    base::value_or_throw(db_.write_in(
        team, [&](store::Transaction& tx) { return create_run(tx, request, context(), {}, rules_); }));
  }
  EXPECT_EQ(queued("workspace:infra"), 2);
  EXPECT_EQ(queued("tag:x"), 0);
  EXPECT_EQ(queued("key_a"), 0);
}

TEST_F(Queue, SharesTakeTurnsAtTheWorkersSlots) {
  for (int i = 0; i < 3; ++i) base::value_or_throw(create("a", {{"of", "a"}}));
  for (int i = 0; i < 2; ++i) base::value_or_throw(create("b", {{"of", "b"}}));
  std::vector<std::string> taken;
  for (int i = 0; i < 5; ++i) taken.push_back(take());
  EXPECT_THAT(taken, ::testing::ElementsAre("a", "b", "a", "b", "a"));
}

TEST_F(Queue, BeyondItsBoundsARunIsRefusedUntilAnotherIsTaken) {
  rules_ = {.max_queued = 3, .max_queued_of_share = 2};
  base::value_or_throw(create("a", {}, "once"));
  base::value_or_throw(create("a"));
  const auto of_share = create("a");
  ASSERT_FALSE(of_share);
  EXPECT_EQ(of_share.error().reason, "queue_full");
  EXPECT_THAT(of_share.error().details,
              HasSubstr(R"("scope":"share","limit":2,"queued":2,"retryAfterSeconds":10)"));
  base::value_or_throw(create("b"));
  const auto of_all = create("c");
  ASSERT_FALSE(of_all);
  EXPECT_THAT(of_all.error().details, HasSubstr(R"("scope":"all","limit":3,"queued":3)"));
  EXPECT_TRUE(create("a", {}, "once")->replayed) << "nothing new is asked for";
  db_.write([&](store::Transaction& tx) { (void)claim_run(tx, {"worker_1"}, context()); });
  EXPECT_TRUE(create("c"));
}

TEST_F(Queue, WithoutBoundsItTakesEverything) {
  rules_.max_queued = 0;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(create("a"));
}

}  // namespace

}  // namespace agentrouter::runs
