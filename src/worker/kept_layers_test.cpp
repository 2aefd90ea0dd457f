#include "worker/kept_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "testing/temp_dir.h"

namespace agentrouter::worker {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class KeptLayersTest : public ::testing::Test {
 protected:
  KeptLayersTest() {
    fs::create_directories(data() / "attempts");
    open();
  }
  fs::path data() const { return folder_ / "data"; }
  void open() {
    layers_.reset();
    layers_ = base::value_or_throw(KeptLayers::open(data(), rules_, [this](int) { return boot_; }));
  }

  static std::string uuid(int number) {
    const auto digits = std::to_string(number);
    return "00000000-0000-4000-8000-" + std::string(12 - digits.size(), '0') + digits;
  }
  static model::RunId run(int number) { return model::RunId("run_" + uuid(number)); }
  static model::AttemptId attempt(int number) { return model::AttemptId("attempt_" + uuid(number)); }
  static std::string sha(int number) { return std::string(63, 'a') + std::to_string(number % 10); }
  static store::Checkpoint state(int number) {
    store::Checkpoint checkpoint;
    checkpoint.run_id = run(number);
    checkpoint.sha256 = sha(number);
    return checkpoint;
  }

  void begin(int number) {
    for (const char* part : {"box/upper", "box/home"})
      fs::create_directories(data() / "attempts" / attempt(number).str() / part);
    std::ofstream(data() / "attempts" / attempt(number).str() / "box/upper/file") << number;
  }
  bool end(int number, std::uint64_t bytes = 100) {
    return layers_->keep(attempt(number), run(number), sha(number), bytes);
  }
  void retire(int number) {
    fs::remove_all(data() / "attempts" / attempt(number).str());
    layers_->done(attempt(number));
  }
  // Attempt `number` on the state behind run `on`; what it was launched on, as the runs' numbers.
  std::vector<std::string> take(int on, int number, KeptLayers::Part part = KeptLayers::Part::all) {
    begin(number);
    const auto ground = layers_->take(state(on), part, attempt(number));
    if (!ground) return {"nothing"};
    home_layers_ = ground->home_layers;
    std::vector<std::string> files;
    for (const auto& layer : ground->layers) {
      std::ifstream file("/proc/self/fd/" + std::to_string(layer.get()) + "/upper/file");
      files.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return files;
  }
  // A whole turn of run `number`, behind run `on` (0: a first one).
  void turn(int number, int on = 0) {
    begin(number);
    if (on != 0) EXPECT_TRUE(layers_->take(state(on), KeptLayers::Part::all, attempt(number)));
    EXPECT_TRUE(end(number));
    retire(number);
  }
  std::vector<std::string> in(const char* name) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(data() / "layers" / name))
      names.push_back(entry.path().filename());
    return names;
  }

  testing::TempDir folder_;
  LayerRules rules_;
  std::string boot_ = "one boot\n";
  std::unique_ptr<KeptLayers> layers_;
  unsigned home_layers_ = 0;
};

TEST_F(KeptLayersTest, ATurnStandsOnWhatTheTurnsBeforeHaveLeft) {
  turn(1);
  EXPECT_THAT(take(1, 2), ElementsAre("1"));
  EXPECT_EQ(1u, home_layers_);
  EXPECT_TRUE(end(2));
  retire(2);
  EXPECT_THAT(take(2, 3), ElementsAre("2", "1"));
  EXPECT_EQ(2u, home_layers_);
  EXPECT_THAT(in("uses"), ElementsAre(attempt(3).str()));
}

TEST_F(KeptLayersTest, AForkOfAnEarlierTurnStandsOnLessAndSharesIt) {
  turn(1);
  turn(2, 1);
  EXPECT_THAT(take(1, 3), ElementsAre("1"));
  EXPECT_THAT(take(1, 4), ElementsAre("1"));
  EXPECT_THAT(take(2, 5), ElementsAre("2", "1"));
}

TEST_F(KeptLayersTest, WithoutItsHomeALayerCountsForTheFilesOnlyAlsoLater) {
  turn(1);
  EXPECT_THAT(take(1, 2, KeptLayers::Part::files), ElementsAre("1"));
  EXPECT_EQ(0u, home_layers_);
  EXPECT_TRUE(end(2));
  EXPECT_THAT(take(2, 3), ElementsAre("2", "1"));
  EXPECT_EQ(1u, home_layers_);
}

TEST_F(KeptLayersTest, AnotherServerInTheSameBootGoesOnWithThem) {
  turn(1);
  turn(2, 1);
  EXPECT_THAT(take(2, 3), ElementsAre("2", "1"));
  open();
  EXPECT_TRUE(end(3));
  EXPECT_THAT(take(3, 4), ElementsAre("3", "2", "1"));
}

TEST_F(KeptLayersTest, WhatAnotherBootHasWrittenIsThrownAway) {
  turn(1);
  EXPECT_THAT(take(1, 2), ElementsAre("1"));
  boot_ = "another boot\n";
  open();
  EXPECT_THAT(take(1, 3), ElementsAre("nothing"));
  layers_->trim();
  EXPECT_THAT(in("gone"), IsEmpty());
  EXPECT_THAT(in("kept"), IsEmpty());
  turn(4);
  EXPECT_THAT(take(4, 5), ElementsAre("4"));
}

TEST_F(KeptLayersTest, ABootIsNamedByTheMachineAndTheFolder) {
  fs::create_directories(folder_ / "copy");
  const auto here = base::value_or_throw(base::open_directory(data()));
  const auto copy = base::value_or_throw(base::open_directory(folder_ / "copy"));
  EXPECT_EQ(boot_of_folder(here.get()), boot_of_folder(here.get()));
  EXPECT_NE(boot_of_folder(here.get()), boot_of_folder(copy.get()));
}

TEST_F(KeptLayersTest, AStateOfAnotherCheckpointIsOfNoUse) {
  turn(1);
  auto other = state(1);
  other.sha256 = sha(2);
  EXPECT_FALSE(layers_->take(other, KeptLayers::Part::all, attempt(9)));
  EXPECT_THAT(take(1, 2), ElementsAre("nothing"));
  EXPECT_THAT(in("states"), IsEmpty());
}

TEST_F(KeptLayersTest, AMissingOrDamagedLayerMakesTheStateUseless) {
  turn(1);
  turn(2, 1);
  turn(3, 2);
  fs::remove_all(data() / "layers/kept" / run(1).str());
  EXPECT_THAT(take(3, 4), ElementsAre("nothing"));
  turn(5);
  fs::remove_all(data() / "layers/kept" / run(5).str() / "home");
  EXPECT_THAT(take(5, 6), ElementsAre("nothing"));
  turn(7);
  fs::remove_all(data() / "layers/kept" / run(7).str());
  fs::create_directory_symlink("/etc", data() / "layers/kept" / run(7).str());
  EXPECT_THAT(take(7, 8), ElementsAre("nothing"));
}

TEST_F(KeptLayersTest, RecordsThatCannotBeReadAreRemoved) {
  turn(1);
  turn(2);
  const auto states = data() / "layers/states";
  std::ofstream(states / run(1).str()) << "{\"sha256\":\"a\",\"layers\":[{\"runId\":\"../x\",\"bytes\":1}],\"homeLayers\":1}";
  fs::copy_file(states / run(2).str(), states / (run(2).str() + ".new"));
  std::ofstream(data() / "layers/uses" / attempt(2).str()) << "nonsense";
  open();
  EXPECT_THAT(take(1, 3), ElementsAre("nothing"));
  EXPECT_THAT(take(2, 4), ElementsAre("2"));
  EXPECT_THAT(in("states"), ElementsAre(run(2).str()));
  EXPECT_THAT(in("kept"), ElementsAre(run(2).str()));
}

TEST_F(KeptLayersTest, AServerThatDiesBetweenTheRenamesLosesNothingButTime) {
  begin(1);
  // The layer is where it belongs and nothing says so.
  fs::rename(data() / "attempts" / attempt(1).str() / "box", data() / "layers/kept" / run(1).str());
  open();
  EXPECT_FALSE(end(1));
  EXPECT_THAT(take(1, 2), ElementsAre("nothing"));
  EXPECT_THAT(in("kept"), IsEmpty());
  // It was recorded; the run's end was not.
  begin(3);
  EXPECT_TRUE(end(3));
  open();
  EXPECT_TRUE(end(3)) << "may be repeated";
  EXPECT_THAT(take(3, 4), ElementsAre("3"));
}

TEST_F(KeptLayersTest, AnAttemptThatLeftNothingIsNotKept) {
  EXPECT_FALSE(end(1));
  EXPECT_THAT(in("states"), IsEmpty());
}

TEST_F(KeptLayersTest, AfterAsManyLayersAsMayBeATurnBeginsAnew) {
  turn(1);
  const int most = static_cast<int>(sandbox::max_kept_layers);
  for (int number = 2; number <= most; ++number) turn(number, number - 1);
  EXPECT_THAT(take(most, 100), SizeIs(sandbox::max_kept_layers));
  EXPECT_FALSE(end(100));
  retire(100);
  EXPECT_THAT(take(100, 101), ElementsAre("nothing"));
  EXPECT_TRUE(end(101)) << "it was restored into one layer";
  EXPECT_THAT(take(101, 102), ElementsAre("101"));
}

TEST_F(KeptLayersTest, WhatNothingGoesOnFromIsRemovedButNotFromUnderOthers) {
  turn(1);
  turn(2, 1);
  turn(3, 2);
  layers_->forget(run(1));
  layers_->forget(run(2));
  layers_->trim();
  EXPECT_THAT(in("kept"), UnorderedElementsAre(run(1).str(), run(2).str(), run(3).str()));
  EXPECT_THAT(take(1, 9), ElementsAre("nothing"));
  EXPECT_THAT(take(3, 4), ElementsAre("3", "2", "1"));
  layers_->forget(run(3));
  layers_->trim();
  EXPECT_THAT(in("kept"), UnorderedElementsAre(run(1).str(), run(2).str(), run(3).str())) << "an attempt stands on it";
  retire(4);
  layers_->trim();
  EXPECT_THAT(in("kept"), IsEmpty());
  EXPECT_THAT(in("gone"), IsEmpty());
  EXPECT_THAT(in("uses"), IsEmpty());
}

TEST_F(KeptLayersTest, UsesOfAttemptsThatAreGoneAreForgotten) {
  turn(1);
  EXPECT_THAT(take(1, 2), ElementsAre("1"));
  layers_->forget(run(1));
  fs::remove_all(data() / "attempts" / attempt(2).str());
  open();
  layers_->trim();
  EXPECT_THAT(in("uses"), IsEmpty());
  EXPECT_THAT(in("kept"), IsEmpty());
}

TEST_F(KeptLayersTest, TheCapTakesTheStatesThatWereNotUsedForTheLongestTime) {
  rules_.max_bytes = 250;
  open();
  turn(1);
  turn(2);
  EXPECT_THAT(take(1, 8), ElementsAre("1"));  // used again
  retire(8);
  turn(3);
  layers_->trim();
  EXPECT_THAT(in("kept"), UnorderedElementsAre(run(1).str(), run(3).str()));
  EXPECT_THAT(take(2, 9), ElementsAre("nothing"));
  begin(5);
  EXPECT_FALSE(end(5, 250)) << "more than all together may take";
}

TEST_F(KeptLayersTest, LayersThatAreSharedCountOnce) {
  rules_.max_bytes = 350;
  open();
  turn(1);
  turn(2, 1);
  turn(3, 1);
  layers_->trim();
  EXPECT_EQ(3u, in("kept").size());
  turn(4, 3);
  layers_->trim();
  EXPECT_EQ(3u, in("kept").size());
  EXPECT_THAT(take(4, 5), ElementsAre("4", "3", "1"));
}

TEST_F(KeptLayersTest, FoldersWithoutRightsAreRemovedToo) {
  turn(1);
  const auto locked = data() / "layers/kept" / run(1).str() / "upper/locked";
  fs::create_directories(locked / "in");
  fs::permissions(locked, fs::perms::none);
  layers_->forget(run(1));
  layers_->trim();
  EXPECT_THAT(in("gone"), IsEmpty());
}

TEST_F(KeptLayersTest, AServerThatStopsLeavesTheRestToTheNext) {
  turn(1);
  layers_->forget(run(1));
  layers_->stop();
  layers_->trim();
  EXPECT_EQ(1u, in("gone").size());
  open();
  layers_->trim();
  EXPECT_THAT(in("gone"), IsEmpty());
}

}  // namespace
}  // namespace agentrouter::worker
