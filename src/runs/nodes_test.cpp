#include "runs/nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class Nodes : public ::testing::Test {
 protected:
  void enter(const std::string& id, int capacity = 2, Others others = Others::may_be_there) {
    Node node{.id = id, .role = capacity > 0 ? "worker" : "api", .version = "1.2.3", .capacity = capacity};
    node.offers.values["runtime"] = {"codex"};
    db_.write([&](store::Transaction& tx) { join(tx, node, others, context()); });
  }
  BeatAnswer beats(const std::string& id, std::vector<std::string> wants = {"webhooks"}) {
    return db_.write([&](store::Transaction& tx) { return beat(tx, {id, 1, wants}, context()); });
  }
  std::vector<std::string> ids() {
    std::vector<std::string> all;
    for (const auto& one : db_.read([](store::Reader& reader) { return nodes(reader); })) all.push_back(one.id);
    return all;
  }
  std::string holder() {
    return db_.read([](store::Reader& reader) { return holder_of(reader, "webhooks"); });
  }
  Node get(std::string_view id) {
    return db_.read([&](store::Reader& reader) { return node(reader, id).value(); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
};

TEST_F(Nodes, WhoJoinsIsListedWithWhatItHas) {
  enter("b");
  enter("a", 0);
  EXPECT_THAT(ids(), ElementsAre("a", "b"));
  const auto found = get("b");
  EXPECT_EQ(found.role, "worker");
  EXPECT_EQ(found.version, "1.2.3");
  EXPECT_EQ(found.capacity, 2);
  EXPECT_TRUE(found.offers.has("runtime", "codex"));
  EXPECT_TRUE(found.takes_runs());
  EXPECT_FALSE(get("a").takes_runs());
}

TEST_F(Nodes, ADutyIsOnesAtATimeAndFreeWhenItLeaves) {
  enter("a");
  enter("b");
  EXPECT_THAT(beats("a").duties, ElementsAre("webhooks"));
  EXPECT_THAT(beats("b").duties, IsEmpty());
  EXPECT_THAT(beats("a").duties, ElementsAre("webhooks"));
  db_.write([](store::Transaction& tx) { leave(tx, "a"); });
  EXPECT_EQ(holder(), "");
  EXPECT_THAT(beats("b").duties, ElementsAre("webhooks"));
  EXPECT_EQ(holder(), "b");
}

TEST_F(Nodes, ANodeThatHasBeatenSinceIsNotForgotten) {
  enter("a");
  const NodeSeen seen{"a", get("a").beats};
  EXPECT_TRUE(beats("a").is_known);
  EXPECT_FALSE(db_.write([&](store::Transaction& tx) { return forget_node(tx, seen); }));
  const NodeSeen again{"a", get("a").beats};
  EXPECT_TRUE(db_.write([&](store::Transaction& tx) { return forget_node(tx, again); }));
  EXPECT_THAT(ids(), IsEmpty());
  EXPECT_FALSE(beats("a").is_known) << "it was taken for gone and joins again";
  EXPECT_THAT(beats("a").duties, IsEmpty());
}

TEST_F(Nodes, JoiningAgainMovesItsBeats) {
  enter("a");
  const NodeSeen seen{"a", get("a").beats};
  enter("a");
  EXPECT_FALSE(db_.write([&](store::Transaction& tx) { return forget_node(tx, seen); }));
}

TEST_F(Nodes, TheOnlyServerForgetsThoseBeforeIt) {
  enter("old");
  (void)beats("old");
  enter("new", 1, Others::are_gone);
  EXPECT_THAT(ids(), ElementsAre("new"));
  EXPECT_THAT(beats("new").duties, ElementsAre("webhooks"));
}

TEST_F(Nodes, ADrainingNodeHearsOfItUntilItIsTakenBack) {
  enter("a");
  const auto set = [&](std::string_view id, bool draining) {
    return db_.write([&](store::Transaction& tx) { return set_draining(tx, id, draining); });
  };
  EXPECT_TRUE(set("a", true)->draining);
  EXPECT_TRUE(set("a", true)->draining);
  EXPECT_TRUE(beats("a").draining);
  EXPECT_FALSE(get("a").takes_runs());
  EXPECT_FALSE(set("a", false)->draining);
  EXPECT_FALSE(beats("a").draining);
  EXPECT_EQ(set("none", true).error().reason, "node_not_found");
}

TEST_F(Nodes, WhatIsMissingIsWhatTheBestWorkerLacks) {
  Node cpu{.id = "cpu", .capacity = 1};
  cpu.offers.values = {{"runtime", {"codex"}}, {"gpu", {"false"}}};
  Node old{.id = "old", .capacity = 1};
  const Needs needs{{"gpu", "true"}, {"runtime", "codex"}};
  EXPECT_THAT(unplaceable({old, cpu}, needs)->missing, ElementsAre(Pair("gpu", "true")));
  EXPECT_EQ(unplaceable({old, cpu}, needs)->workers, 2);
  EXPECT_FALSE(unplaceable({old, cpu}, {{"runtime", "codex"}}));
  cpu.draining = true;
  EXPECT_EQ(unplaceable({cpu}, {{"runtime", "codex"}})->workers, 0) << "one that drains takes nothing";
}

}  // namespace

}  // namespace agentrouter::runs
