#include "runs/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/claim.h"
#include "runs/create.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class Placement : public ::testing::Test {
 protected:
  std::string create(const std::string& more = "", std::string key = "key", int priority = 0) {
    NewRun request;
    request.task = "go";
    request.input = R"({"task":"go")" + more + "}";
    request.api_key = std::move(key);
    request.priority = priority;
    return db_
        .write([&](store::Transaction& tx) { return base::value_or_throw(create_run(tx, request, context(), {}, queue_)); })
        .run.id.str();
  }
  std::string take() {
    const auto claimed =
        db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context(), rules_); });
    return claimed ? claimed->run.id.str() : "";
  }
  void offer(std::string name, std::set<std::string> values) { rules_.offers.values[std::move(name)] = std::move(values); }
  Context context() { return {db_.clock, db_.entropy}; }

  QueueRules queue_;
  ClaimRules rules_{.offers = {.values = {{"runtime", {"codex"}}}, .is_only_one = false}};
  testing::StoreFixture db_;
};

TEST_F(Placement, AWorkerTakesTheFirstRunThatItCanCarryOut) {
  const auto gpu = create(R"(,"requires":{"gpu":"true"})");
  const auto any = create();
  EXPECT_EQ(take(), any);
  EXPECT_EQ(take(), "") << "no other run is left that it satisfies";
  offer("gpu", {"true"});
  EXPECT_EQ(take(), gpu);
}

TEST_F(Placement, AValueMustBeTheOneThatWasAskedFor) {
  const auto id = create(R"(,"requires":{"gpu":"false"})");
  offer("gpu", {"true"});
  EXPECT_EQ(take(), "");
  offer("gpu", {"true", "false"});
  EXPECT_EQ(take(), id);
}

TEST_F(Placement, RuntimeImageAndIsolationAreNeededToo) {
  const auto id = create(R"(,"image":"node","requireIsolation":"vm")");
  EXPECT_EQ(take(), "");
  offer("image", {"node"});
  EXPECT_EQ(take(), "");
  offer("isolation", {"process", "user-kernel", "vm"});
  EXPECT_EQ(take(), id);
  const auto claude = create();
  rules_.offers.values["runtime"] = {"claude_code"};
  EXPECT_EQ(take(), "") << claude;
}

TEST_F(Placement, TheOnlyServerTakesWhatItLacksAndSaysSo) {
  const auto image = create(R"(,"image":"gone")");
  (void)create(R"(,"requires":{"gpu":"true"})");
  rules_.offers = {.values = {}, .is_only_one = true};
  EXPECT_EQ(take(), image);
  EXPECT_EQ(take(), "") << "a label that it was not given is not made up";
}

TEST_F(Placement, SharesStayFairAmongTheRunsThatCanBeTaken) {
  for (int i = 0; i < 3; ++i) (void)create(R"(,"requires":{"gpu":"true"})", "a");
  const auto a = create("", "a");
  const auto b = create("", "b");
  const auto high = create("", "b", 5);
  EXPECT_EQ(take(), a);
  EXPECT_EQ(take(), high) << "within a share the highest priority first";
  EXPECT_EQ(take(), b);
  EXPECT_EQ(take(), "");
}

TEST_F(Placement, AWorkspaceHasSoManyActiveRunsOverAllWorkers) {
  rules_.max_active_of_workspace = 2;
  for (int i = 0; i < 3; ++i) (void)create(i == 2 ? R"(,"requires":{"gpu":"true"})" : "", "key" + std::to_string(i));
  offer("gpu", {"true"});
  const auto first = take();
  EXPECT_NE(first, "");
  EXPECT_NE(take(), "");
  EXPECT_EQ(take(), "") << "two are active, whichever lane they are of";
  db_.write([&](store::Transaction& tx) {
    auto run = tx.run(model::RunId(first));
    run->status = model::RunStatus::completed;
    tx.update_run(*run);
  });
  EXPECT_NE(take(), "");
}

TEST_F(Placement, OfAPathTheLongestRootIsNeeded) {
  model::Run run = testing::make_run("r");
  run.workspace = {.kind = model::WorkspaceKind::path, .path = "/srv/a/b"};
  const auto needs = needs_of(run, {"/srv", "/srv/a", "/srv/a/bc"});
  EXPECT_THAT(needs, ElementsAre(Pair("root", "/srv/a"), Pair("runtime", "codex")));
}

TEST_F(Placement, ALaneIsReadBack) {
  const LaneKey key{"w1", {{"gpu", "false"}, {"runtime", "codex"}}};
  const auto read = LaneKey::parse(key.name());
  EXPECT_EQ(read.workspace, "w1");
  EXPECT_EQ(read.needs, key.needs);
  EXPECT_THAT(LaneKey::parse("").needs, IsEmpty()) << "of a run that was queued by an earlier version";
}

TEST_F(Placement, OffersAreReadBack) {
  const Offers offers{.values = {{"gpu", {"true"}}, {"image", {}}, {"runtime", {"claude_code", "codex"}}}};
  EXPECT_EQ(Offers::from_json(offers.to_json()).values, offers.values);
}

TEST_F(Placement, LabelsArePlainText) {
  EXPECT_TRUE(is_label_text("eu-west.1_b"));
  for (const auto* bad : {"", "a b", "ä", "a/b"}) EXPECT_FALSE(is_label_text(bad)) << bad;
  EXPECT_FALSE(is_label_text(std::string(65, 'a')));
}

}  // namespace

}  // namespace agentrouter::runs
