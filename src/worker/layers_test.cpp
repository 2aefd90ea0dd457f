// Turns that stand on kept layers: what they are launched on, when the archive takes their place, and when
// the layers are freed.

#include "runs/conversations.h"
#include "runs/fork.h"
#include "worker/checkpoint_source.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LayersTest : public WorkerTest {
 protected:
  LayersTest() { launcher_.makes_boxes = true; }

  static std::string script(std::string_view keeps) {
    return base::to_text(json::object{{"says", "say ok\n"}, {"keeps", keeps}});
  }
  model::RunId first_turn(std::string_view keeps = "one ") {
    const auto id = submit(script(keeps));
    until_retired(id);
    return id;
  }
  model::RunId next_turn(const model::RunId& first, std::string_view keeps) {
    const runs::ContinueRequest request{.run = first, .message = script(keeps), .approval_mode = {}};
    const auto made = write([&](store::Transaction& tx) { return runs::continue_run(tx, request, now()); });
    const auto id = base::value_or_throw(made).run.id;
    until_retired(id);
    return id;
  }
  model::RunId forked_turn(const model::RunId& run, int turn, std::string_view keeps) {
    const runs::ForkRequest request{.run = run, .message = script(keeps), .at_turn = turn};
    const auto made = write([&](store::Transaction& tx) { return runs::fork_run(tx, request, now()); });
    const auto id = base::value_or_throw(made).run.id;
    until_retired(id);
    return id;
  }
  model::RunId turn_on_files_of(const model::RunId& run) {
    runs::NewRun request;
    request.task = script("other ");
    request.input = base::to_text(json::object{{"task", request.task}});
    request.workspace.from_run = run;
    const auto made = write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); });
    const auto id = base::value_or_throw(made).run.id;
    until_retired(id);
    return id;
  }
  std::string state(const model::RunId& id) {
    auto found = blobs_->open(checkpoint_key(id), {});
    return found ? base::value_or_throw(base::read_all(found->fd.get(), 1u << 20)) : "nothing";
  }
  const ScriptedLauncher::Request& last_launch() { return launcher_.requests.back(); }
  std::filesystem::path kept() const { return folder_ / "layers/kept"; }
  std::vector<std::string> all_kept() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(kept()))
      names.push_back(entry.path().filename());
    return names;
  }
  void close(const model::RunId& first) {
    ASSERT_TRUE(write([&](store::Transaction& tx) { return runs::close_conversation(tx, first, now()); }));
  }
};

TEST_F(LayersTest, LayersOfAStateThatAnotherWorkerHasReclaimedAreForgottenHere) {
  config_.owns_store = false;
  config_.may_tidy = [] { return false; };
  start();
  const auto first = first_turn();
  const auto other = first_turn();
  ASSERT_THAT(all_kept(), SizeIs(2));
  close(first);
  ASSERT_TRUE(write([&](store::Transaction& tx) { return runs::begin_reclaim(tx, first, now()); }));
  ASSERT_TRUE(write([&](store::Transaction& tx) { return runs::reclaim(tx, first, now()); }));
  const auto third = first_turn();  // something to look around for
  until([&] { return all_kept().size() == 2; });
  EXPECT_THAT(all_kept(), ::testing::UnorderedElementsAre(other.str(), third.str()));
}

TEST_F(LayersTest, ANextTurnStandsOnTheLayersOfThoseBefore) {
  start();
  const auto first = first_turn();
  EXPECT_THAT(last_launch().layers, IsEmpty());
  const auto second = next_turn(first, "two ");
  EXPECT_THAT(last_launch().layers, ElementsAre(first.str()));
  EXPECT_EQ(last_launch().home_layers, 1u);
  const auto third = next_turn(second, "three ");
  EXPECT_THAT(last_launch().layers, ElementsAre(second.str(), first.str()));
  EXPECT_EQ(failure(third), "completed");
  EXPECT_EQ(types(third)[1], "sandbox.resumed");
  EXPECT_EQ(blob(third, "workspace_turn_patch"), "a turn's patch");
  EXPECT_EQ(state(third), "three ") << "nothing was restored";
  EXPECT_THAT(left_in("attempts"), IsEmpty());
  EXPECT_THAT(left_in("layers/uses"), IsEmpty());
}

TEST_F(LayersTest, ForksStandOnTheLayersOfTheirTurn) {
  start();
  const auto first = first_turn();
  const auto second = next_turn(first, "two ");
  const auto early = forked_turn(second, 1, "fork ");
  EXPECT_THAT(last_launch().layers, ElementsAre(first.str()));
  forked_turn(second, 2, "fork ");
  EXPECT_THAT(last_launch().layers, ElementsAre(second.str(), first.str()));
  next_turn(early, "more ");
  EXPECT_THAT(last_launch().layers, ElementsAre(early.str(), first.str()));
}

TEST_F(LayersTest, ARunOnTheFilesOfAnotherHasAHomeOfItsOwn) {
  start();
  const auto first = first_turn();
  const auto other = turn_on_files_of(first);
  EXPECT_EQ(failure(other), "completed");
  EXPECT_THAT(last_launch().layers, ElementsAre(first.str()));
  EXPECT_EQ(last_launch().home_layers, 0u);
  EXPECT_EQ(types(other)[1], "sandbox.created");
  next_turn(other, "two ");
  EXPECT_THAT(last_launch().layers, ElementsAre(other.str(), first.str()));
  EXPECT_EQ(last_launch().home_layers, 1u);
}

TEST_F(LayersTest, AMissingLayerIsRestoredFromItsArchive) {
  start();
  const auto first = first_turn();
  std::filesystem::remove_all(kept() / first.str() / "upper");
  const auto second = next_turn(first, "two ");
  EXPECT_THAT(last_launch().layers, IsEmpty());
  EXPECT_EQ(state(second), "one two ");
  next_turn(second, "three ");
  EXPECT_THAT(last_launch().layers, ElementsAre(second.str())) << "whole: it was restored into it";
}

TEST_F(LayersTest, LayersThatCannotBeMountedAreRestoredFromTheirArchive) {
  start();
  const auto first = first_turn();
  launcher_.refuse_layers = true;
  const auto second = next_turn(first, "two ");
  EXPECT_EQ(failure(second), "completed");
  EXPECT_EQ(state(second), "one two ");
  launcher_.refuse_layers = false;
  forked_turn(second, 1, "fork ");
  EXPECT_THAT(last_launch().layers, IsEmpty()) << "not tried again";
}

TEST_F(LayersTest, WithoutLayerAndArchiveTheTurnFails) {
  start();
  const auto first = first_turn();
  std::filesystem::remove_all(kept() / first.str());
  blobs_->remove(checkpoint_key(first));
  EXPECT_EQ(failure(next_turn(first, "two ")), "checkpoint_unavailable");
}

TEST_F(LayersTest, AServerAfterARebootRestoresFromArchives) {
  start();
  const auto first = first_turn();
  stop();
  ASSERT_TRUE(base::write_file_durably(folder_ / "layers/boot", "another boot\n"));
  start();
  const auto second = next_turn(first, "two ");
  EXPECT_THAT(last_launch().layers, IsEmpty());
  EXPECT_EQ(state(second), "one two ");
  EXPECT_THAT(all_kept(), ElementsAre(second.str()));
}

TEST_F(LayersTest, ARestartedServerGoesOnWithThem) {
  start();
  const auto first = first_turn();
  stop();
  start();
  next_turn(first, "two ");
  EXPECT_THAT(last_launch().layers, ElementsAre(first.str()));
}

TEST_F(LayersTest, AnAttemptThatIsRepeatedStandsOnThemAgain) {
  start();
  const auto first = first_turn();
  launcher_.stillborn = 1;
  next_turn(first, "two ");
  ASSERT_THAT(launcher_.requests, SizeIs(3));
  EXPECT_THAT(launcher_.requests[1].layers, ElementsAre(first.str()));
  EXPECT_THAT(launcher_.requests[2].layers, ElementsAre(first.str()));
}

TEST_F(LayersTest, ALauncherThatDiesIsNoReasonToDoubtThem) {
  start();
  const auto first = first_turn();
  launcher_.lost = 1;
  next_turn(first, "two ");
  ASSERT_THAT(launcher_.requests, SizeIs(3));
  EXPECT_THAT(launcher_.requests[1].layers, ElementsAre(first.str()));
  EXPECT_THAT(launcher_.requests[2].layers, ElementsAre(first.str()));
}

TEST_F(LayersTest, ClosingFreesThemButNotThoseOfAFork) {
  start();
  const auto first = first_turn();
  const auto second = next_turn(first, "two ");
  const auto fork = forked_turn(second, 1, "fork ");
  close(first);
  until([&] { return all_kept().size() == 2; });
  next_turn(fork, "more ");
  EXPECT_THAT(last_launch().layers, ElementsAre(fork.str(), first.str()));
  close(fork);
  until([&] { return all_kept().empty() && left_in("layers/states").empty(); });
}

TEST_F(LayersTest, AConversationWhoseTimeIsOverFreesThem) {
  start();
  first_turn();
  EXPECT_THAT(all_kept(), SizeIs(1));
  stop();
  clock_.advance(std::chrono::hours(24 * 365));
  start();
  until([&] { return all_kept().empty(); });
}

TEST_F(LayersTest, TheyTakeNoMoreThanTheyMay) {
  config_.layers.max_bytes = 2500;  // a layer says that it takes 1000
  start();
  const auto one = first_turn(), two = first_turn(), three = first_turn();
  until([&] { return all_kept().size() == 2; });
  EXPECT_EQ(state(next_turn(one, "more ")), "one more ");
  EXPECT_THAT(last_launch().layers, IsEmpty());
}

TEST_F(LayersTest, WhatASandboxThatIsNotGoneHasLeftIsNotKept) {
  start();
  const auto id = submit(base::to_text(json::object{{"says", "say ok\n"}, {"stays", true}}));
  until_retired(id);
  EXPECT_THAT(all_kept(), IsEmpty());
}

}  // namespace
}  // namespace agentrouter::worker
