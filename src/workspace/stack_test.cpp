// Turns in layers of their own: what the agent saw at the end of each is what collector, checkpoint and files
// make of the stack.

#include "workspace/stack.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "workspace/checkpoint_test.h"
#include "workspace/file_view.h"

namespace agentrouter::workspace {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class StackTest : public CheckpointTest {
 protected:
  void turn(const std::string& commands) {
    if (std::exchange(began_, true)) keep_layer();
    first_turn([&] { ASSERT_EQ(0, shell("set -e\n" + commands)); });
  }
  static std::string sorted(const std::string& lines) {
    std::istringstream in(lines);
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) all.push_back(line + "\n");
    std::sort(all.begin(), all.end());
    return std::accumulate(all.begin(), all.end(), std::string());
  }
  // The archive of all layers, restored into a fresh overlay, looks as the agent's tree did.
  void expect_the_same_from_the_archive() {
    const auto report = checkpoint();
    ASSERT_TRUE(report) << report.error().message;
    start_afresh();
    EXPECT_EQ("", restore());
    EXPECT_EQ(read_text(root / "before"), read_text(root / "after"));
  }

 private:
  bool began_ = false;
};

constexpr std::string_view four_turns[] = {
    R"sh(echo 1 > edited; rm gone; rm -r folder; mkdir folder; echo new > folder/new; echo f > new-file
         mkdir -p deep/er; echo d > deep/er/file; ln -s edited link; echo h > hard1; ln hard1 hard2
         mkdir hollow; rm -r to-file; echo file > to-file; chmod 751 mode)sh",
    R"sh(echo 2 >> edited; echo back > gone; rm new-file; mv deep/er/file deep/moved; rm -r folder
         rm link; mkdir link; echo in > link/in; rm -r to-file; mkdir to-file; echo again > to-file/x
         chmod 700 hollow; touch -d '2001-02-03 04:05:06.5' deep)sh",
    R"sh(rm gone; rm -r link; ln -s new-target link; mkdir folder; echo third > folder/third; rm -r deep
         echo own > hard1; echo e > hollow/e; chmod -x mode 2>/dev/null || true; rm -r to-file)sh",
    R"sh(mkdir -p deep/er; echo last > deep/er/file; echo 4 >> edited; rm hollow/e; echo base > gone
         mkdir to-file; echo q > to-file/q; rm hard2)sh"};

TEST_F(StackTest, EveryTurnIsCollectedAsTheAgentSawIt) {
  for (const auto* name : {"edited", "gone", "folder/old", "to-file/old", "to-file/sub/old", "mode"})
    write_text(base() / name, "base\n");
  commit_base();
  for (const auto commands : four_turns) {
    turn(std::string(commands));
    expect_faithful();
    EXPECT_EQ(sorted(agents_status()), sorted(index()));
  }
}

TEST_F(StackTest, TheArchiveOfManyTurnsGivesTheTreeOfTheLast) {
  for (const auto* name : {"edited", "gone", "folder/old", "to-file/old", "to-file/sub/old", "mode"})
    write_text(base() / name, "base\n");
  for (const auto commands : four_turns) turn(std::string(commands));
  expect_the_same_from_the_archive();
}

TEST_F(StackTest, WhatATurnDeletedAndTheNextMadeAnewHidesTheBase) {
  write_text(base() / "d/old", "base\n");
  write_text(base() / "d/sub/old", "base\n");
  turn("rm -r d");
  turn("mkdir d; echo new > d/new");
  const auto folder = stack().open("d");
  ASSERT_TRUE(folder && *folder);
  EXPECT_TRUE(folder->is_opaque());
  turn("mkdir d/sub; echo s > d/sub/s");
  EXPECT_TRUE(stack().open("d")->is_opaque());
  const base::Fd lower(::open(base().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto view = FileView::live(lower.get(), stack());
  EXPECT_THAT(*view.folder("d").value()->names(10), ElementsAre("new", "sub"));
  EXPECT_THAT(*view.folder("d/sub").value()->names(10), ElementsAre("s"));
  expect_the_same_from_the_archive();
}

TEST_F(StackTest, ANameIsWhatTheTopmostLayerSays) {
  turn("echo 1 > a; echo 1 > b; mkdir c; echo 1 > c/x; echo 1 > c/y");
  turn("echo 22 > a; rm b; rm c/x; chmod 500 c");
  turn("echo z > z");
  const auto layers = stack();
  EXPECT_EQ(3u, layers.stat("a").size);
  EXPECT_EQ(Kind::whiteout, layers.stat("b").kind);
  EXPECT_EQ(Kind::absent, layers.stat("nothing").kind);
  EXPECT_EQ("22\n", *layers.read("a", Kind::file, 10));
  EXPECT_EQ("1\n", *layers.read("c/y", Kind::file, 10));
  EXPECT_FALSE(layers.read("c/x", Kind::file, 10));
  EXPECT_FALSE(layers.read("nothing/x", Kind::file, 10));
  EXPECT_EQ(base::Code::exhausted, layers.read("c/y", Kind::file, 1).error().code);
  EXPECT_EQ(0500u, layers.attributes("c")->st_mode & 0777u);
  EXPECT_FALSE(layers.attributes("c/nothing"));
  EXPECT_THAT(*layers.names(10), ElementsAre("a", "b", "c", "z"));
  EXPECT_EQ(base::Code::exhausted, layers.names(3).error().code);
  EXPECT_THAT(*layers.earlier().names(10), ElementsAre("a", "b", "c"));
  EXPECT_FALSE(*layers.open("a"));
}

TEST_F(StackTest, AFileInPlaceOfAFolderEndsIt) {
  write_text(base() / "d/old", "base\n");
  turn("mkdir e; echo 1 > e/x");
  turn("rm -r d e; echo f > d; echo f > e");
  turn("rm d e; mkdir d e; echo 2 > e/y");
  EXPECT_TRUE(stack().open("d")->is_opaque());
  EXPECT_THAT(*stack().open("d")->names(10), IsEmpty());
  EXPECT_THAT(*stack().open("e")->names(10), ElementsAre("y"));
  expect_the_same_from_the_archive();
}

TEST_F(StackTest, AnOpaqueFolderEndsWhatIsBelowIt) {
  write_text(base() / "d/old", "base\n");
  turn("echo 1 > d/one");
  turn("rm -r d; mkdir d; echo 2 > d/two");
  turn("echo 3 > d/three");
  EXPECT_THAT(*stack().open("d")->names(10), ElementsAre("three", "two"));
  EXPECT_TRUE(stack().open("d")->is_opaque());
}

TEST_F(StackTest, NumberedLayersAreThoseUpToTheFirstThatIsMissing) {
  write_text(root / "stack/0/a", "top");
  write_text(root / "stack/1/a", "below");
  write_text(root / "stack/1/b", "below");
  write_text(root / "stack/3/c", "never");
  const base::Fd fd(::open((root / "stack").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto layers = Stack::numbered(fd.get());
  EXPECT_THAT(*layers.names(10), ElementsAre("a", "b"));
  EXPECT_EQ("top", *layers.read("a", Kind::file, 10));
  EXPECT_FALSE(Stack::numbered(-1));
  fs::create_directory_symlink("1", root / "stack/2");
  EXPECT_THAT(*Stack::numbered(fd.get()).names(10), ElementsAre("a", "b"));
}

TEST_F(StackTest, TheSizeOfALayerIsThatOfTheTurnAlone) {
  turn("head -c 1000000 /dev/urandom > big");
  const auto first = checkpoint();
  turn("echo small > small");
  const auto second = checkpoint();
  ASSERT_TRUE(first && second && first->layer_bytes && second->layer_bytes);
  EXPECT_GT(*first->layer_bytes, 1'000'000u);
  EXPECT_LT(*second->layer_bytes, 20'000u);
  turn("python3 -c 'for i in range(3000): open(\"%0250d\" % i, \"w\")'; rm 0*");
  const auto third = checkpoint();
  ASSERT_TRUE(third && third->layer_bytes);
  EXPECT_GT(*third->layer_bytes, 500'000u) << "the root's own size";
  EXPECT_EQ(second->layer_bytes, parse_checkpoint_report(to_json(*second))->layer_bytes);
  turn("echo x > x; ln x y");
  EXPECT_FALSE(checkpoint()->layer_bytes) << "only the archive keeps hard links together";
  CheckpointReport unknown{1, std::string(64, 'a'), 1};
  EXPECT_FALSE(parse_checkpoint_report(to_json(unknown))->layer_bytes);
}

}  // namespace
}  // namespace agentrouter::workspace
