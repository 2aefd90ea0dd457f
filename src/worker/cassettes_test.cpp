#include "worker/cassettes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "keeper/tape.h"
#include "model/cassette_name.h"
#include "testing/builders.h"
#include "testing/temp_dir.h"

namespace agentrouter::worker {
namespace {

model::Run run_with(const std::string& id, model::Tags tags, int turn = 1) {
  model::Run run;
  run.id = testing::run_id(id);
  run.tags = std::move(tags);
  run.turn_number = turn;
  return run;
}

class CassettesTest : public ::testing::Test {
 protected:
  std::string placed() const {
    std::string text;
    const base::Fd file(::openat(attempt_.fd(), keeper::cassette_file, O_RDONLY | O_CLOEXEC));
    return base::read_all(file.get(), 1 << 20).value_or("none");
  }
  void leave_recording(const std::string& text) {
    const base::Fd file(::openat(attempt_.fd(), keeper::recording_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    EXPECT_TRUE(base::write_all(file.get(), text));
  }

  static model::Run of_workspace(const std::string& workspace) {
    auto run = run_with("of " + workspace, {});
    run.workspace_id = workspace;
    return run;
  }

  model::Run run_ = run_with("a", {});
  testing::TempDir folder_;
  testing::TempDir attempts_;
  AttemptFolder attempt_ = base::value_or_throw(
      AttemptFolder::make(attempts_.path(), model::AttemptId("attempt_" + base::uuid_from_text("cassettes"))));
  Cassettes cassettes_{{CassetteMode::record, folder_.path()}};
};

TEST_F(CassettesTest, NameIsTheTagAndTheTurn) {
  EXPECT_EQ(cassettes_.name_of(run_with("a", {{"branch", "main"}, {"cassette", "fix-login_1.0"}})), "fix-login_1.0");
  EXPECT_EQ(cassettes_.name_of(run_with("b", {{"cassette", "fix"}}, 2)), "fix+turn2");
}

TEST_F(CassettesTest, LaterTurnsOfTheLongestNameAreKeptAndPlayed) {
  for (const std::size_t size : {std::size_t{95}, model::cassette_name_bytes}) {
    const auto turn = run_with("a", {{"cassette", std::string(size, 'x')}}, 1'000'000);
    const auto name = base::value_or_throw(cassettes_.name_of(turn));
    leave_recording("later\n");
    ASSERT_TRUE(cassettes_.take(turn, name, attempt_)) << name;
    ASSERT_TRUE(cassettes_.place(turn, name, attempt_));
    EXPECT_EQ(placed(), "later\n");
  }
}

TEST_F(CassettesTest, NoTagIsTheNameOfALaterTurn) {
  const auto turn = run_with("a", {{"cassette", "a"}}, 2);
  for (const auto* tag : {"a.turn2", "a-turn2", "a_turn2"})
    EXPECT_NE(*cassettes_.name_of(run_with("b", {{"cassette", tag}})), *cassettes_.name_of(turn));
  EXPECT_FALSE(cassettes_.name_of(run_with("b", {{"cassette", "a+turn2"}})));
  leave_recording("of the tag\n");
  ASSERT_TRUE(cassettes_.take(run_, "a.turn2", attempt_));
  leave_recording("of the turn\n");
  ASSERT_TRUE(cassettes_.take(turn, "a+turn2", attempt_));
  ASSERT_TRUE(cassettes_.place(run_, "a.turn2", attempt_));
  EXPECT_EQ(placed(), "of the tag\n");
}

TEST_F(CassettesTest, ALaterTurnThatWasRecordedUnderItsFormerNameIsPlayed) {
  ASSERT_TRUE(base::write_file_durably(folder_.path() / "x.turn2.jsonl", "former\n"));
  const auto turn = run_with("a", {{"cassette", "x"}}, 2);
  ASSERT_TRUE(cassettes_.place(turn, *cassettes_.name_of(turn), attempt_));
  EXPECT_EQ(placed(), "former\n");
  ASSERT_TRUE(base::write_file_durably(folder_.path() / "x+turn2.jsonl", "new\n"));
  ASSERT_TRUE(cassettes_.place(turn, *cassettes_.name_of(turn), attempt_));
  EXPECT_EQ(placed(), "new\n");
}

TEST_F(CassettesTest, OnlySoManyRunsWithoutATagAreRemembered) {
  for (std::size_t i = 0; i < Cassettes::remembered; ++i)
    ASSERT_TRUE(cassettes_.name_of(run_with(std::to_string(i), {})));
  EXPECT_EQ(cassettes_.name_of(run_with("0", {})), "run-0001");
  EXPECT_EQ(cassettes_.name_of(run_with("one more", {})), "run-10001");
  EXPECT_EQ(cassettes_.name_of(run_with("1", {})), "run-0002");
  EXPECT_EQ(cassettes_.name_of(run_with("0", {})), "run-10002") << "forgotten, and no number is given twice";
}

TEST_F(CassettesTest, RunsWithoutATagAreNumberedAndKeepTheirNumber) {
  EXPECT_EQ(cassettes_.name_of(run_with("a", {})), "run-0001");
  EXPECT_EQ(cassettes_.name_of(run_with("b", {})), "run-0002");
  EXPECT_EQ(cassettes_.name_of(run_with("a", {})), "run-0001");
}

TEST_F(CassettesTest, TagThatIsNoNameIsRefused) {
  for (const std::string name : {"", "../x", "a/b", ".hidden", "a b", "\xc3\xa4"}) {
    const auto named = cassettes_.name_of(run_with("a", {{"cassette", name}}));
    ASSERT_FALSE(named) << name;
    EXPECT_EQ(named.error().reason, "name");
  }
  EXPECT_FALSE(cassettes_.name_of(run_with("a", {{"cassette", std::string(101, 'x')}})));
}

TEST_F(CassettesTest, CassetteIsPlacedForTheKeeper) {
  ASSERT_TRUE(base::write_file_durably(folder_.path() / "x.jsonl", "lines\n"));
  ASSERT_TRUE(cassettes_.place(run_, "x", attempt_));
  EXPECT_EQ(placed(), "lines\n");
  const auto missing = cassettes_.place(run_, "y", attempt_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().reason, "missing");
}

TEST_F(CassettesTest, RecordingTakesThePlaceOfTheOldOneWhole) {
  ASSERT_TRUE(base::write_file_durably(folder_.path() / "x.jsonl", "old\n"));
  leave_recording("new\n");
  ASSERT_TRUE(cassettes_.take(run_, "x", attempt_));
  EXPECT_EQ(base::read_file(folder_.path() / "x.jsonl"), "new\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
  for (const auto* name :
       {"../x", "../x+turn2", "x+turn", "x+turn2/../y", "+turn2", "x+turn99999999999", "x+y"})
    EXPECT_FALSE(cassettes_.take(run_, name, attempt_)) << name;
}

TEST_F(CassettesTest, WorkspacesHaveCassettesOfTheirOwn) {
  leave_recording("of the default one\n");
  ASSERT_TRUE(cassettes_.take(run_, "one", attempt_));
  const auto missing = cassettes_.place(of_workspace("team-b"), "one", attempt_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().reason, "missing");
  for (const std::string team : {"team-a", "team-b"}) {
    leave_recording("of " + team + "\n");
    ASSERT_TRUE(cassettes_.take(of_workspace(team), "one", attempt_));
  }
  EXPECT_EQ(base::read_file(folder_.path() / "one.jsonl"), "of the default one\n");
  EXPECT_EQ(base::read_file(folder_.path() / "team-a" / "one.jsonl"), "of team-a\n");
  ASSERT_TRUE(cassettes_.place(of_workspace("team-b"), "one", attempt_));
  EXPECT_EQ(placed(), "of team-b\n");
}

TEST_F(CassettesTest, RunsWithoutATagAreNumberedInTheirWorkspace) {
  EXPECT_EQ(cassettes_.name_of(run_), "run-0001");
  EXPECT_EQ(cassettes_.name_of(of_workspace("team-a")), "run-0001");
  EXPECT_EQ(cassettes_.name_of(of_workspace("team-b")), "run-0001");
  EXPECT_EQ(cassettes_.name_of(run_with("b", {})), "run-0002");
}

TEST_F(CassettesTest, RecordingThatIsTooLargeLeavesTheOldOne) {
  ASSERT_TRUE(base::write_file_durably(folder_.path() / "x.jsonl", "old\n"));
  leave_recording("");
  const base::Fd file(::openat(attempt_.fd(), keeper::recording_file, O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(keeper::cassette_file_bytes + 1)), 0);
  const auto taken = cassettes_.take(run_, "x", attempt_);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().reason, "too_large");
  EXPECT_EQ(base::read_file(folder_.path() / "x.jsonl"), "old\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

}  // namespace
}  // namespace agentrouter::worker
