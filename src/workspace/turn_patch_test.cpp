// What one turn changed, judged by git: the patch of the turns before and the turn's own, applied one after
// the other, must give the tree that the turn left.

#include "workspace/turn_patch.h"

#include <gmock/gmock.h>

#include "workspace/checkpoint_test.h"

namespace agentrouter::workspace {
namespace {

using testing::HasSubstr;
using testing::Not;

// Whether the second turn begins with a checkpoint or with the first one's layer.
enum class Begins { restored, on_layers };

class TurnPatchTest : public CheckpointTest, public testing::WithParamInterface<Begins> {
 protected:
  fs::path before_path() const { return root / "before.patch"; }
  fs::path turn_path() const { return root / "turn.patch"; }
  std::string turn_patch() const { return read_text(turn_path()); }

  // One turn after another: the second begins with what the first has left.
  void two_turns(const std::string& first, const std::string& second) {
    commit_base();
    first_turn([&] { ASSERT_EQ(0, shell(first)); });
    (void)collect_changes();
    fs::copy_file(patch_path(), before_path(), fs::copy_options::overwrite_existing);
    ASSERT_TRUE(checkpoint());
    if (GetParam() == Begins::on_layers) {
      keep_layer();
      return run_agent([&] { ASSERT_EQ(0, shell(second)); });
    }
    start_afresh();
    ASSERT_EQ("", restore({}, [&] { ASSERT_EQ(0, shell(second)); }));
  }

  CollectReport collect_turn(const CollectLimits& limits = {}) {
    const base::Fd lower(::open(base().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto out = [&](const fs::path& path) {
      return base::Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    };
    const auto index = out(root / "index.json"), patch = out(patch_path()), turn = out(turn_path()),
               scratch = out(root / "scratch");
    base::Fd earlier;
    if (kept_.empty()) earlier = base::Fd(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
    auto report = collect({lower.get(), stack(), index.get(), patch.get(), turn.get(), earlier.get(),
                           scratch.get()},
                          limits);
    EXPECT_TRUE(report && report->turn_patch);
    return *report;
  }

  std::string apply(const fs::path& patch) {
    if (fs::file_size(patch) == 0) return "";
    return "cd " + (root / "clone").string() + " && " + git() + "apply --index --whitespace=nowarn " +
           patch.string() + " && ";
  }
  // The tree of a clone with both patches.
  std::string tree_of_both() {
    fs::remove_all(root / "clone");
    const auto done = shell(git() + "clone -q " + base().string() + " " + (root / "clone").string() + " && " +
                            apply(before_path()) + apply(turn_path()) + "cd " + (root / "clone").string() +
                            " && " + git() + "write-tree > " + (root / "both-tree").string());
    return done == 0 ? read_text(root / "both-tree") : "does not apply:\n" + turn_patch();
  }
};

TEST_P(TurnPatchTest, IsWhatTheTurnAloneChanged) {
  write_text(base() / "kept", "kept\n");
  write_text(base() / "edited", "1\n2\n3\n");
  two_turns("printf '1\\n2\\nthree\\n' > edited; echo one > first", "echo two > second; echo more >> first");
  const auto report = collect_turn();
  EXPECT_THAT(turn_patch(), HasSubstr("+more"));
  EXPECT_THAT(turn_patch(), HasSubstr("+two"));
  EXPECT_THAT(turn_patch(), Not(HasSubstr("three")));
  EXPECT_THAT(turn_patch(), Not(HasSubstr("+one")));
  EXPECT_THAT(patch(), HasSubstr("+three"));
  EXPECT_FALSE(report.turn_patch->truncated);
  EXPECT_EQ(turn_patch().size(), report.turn_patch->bytes);
  EXPECT_EQ(base::Sha256::hex_of(turn_patch()), report.turn_patch->sha256);
  EXPECT_EQ(agents_tree(), tree_of_both());
  EXPECT_EQ(agents_tree(), tree_of_patched_clone());
}

TEST_P(TurnPatchTest, ATurnThatChangesNothingHasAnEmptyOne) {
  write_text(base() / "a", "a\n");
  two_turns("echo b > b; rm a; ln -s b c; head -c 3000000 /dev/urandom > big; ln big hard; mkdir d; : > d/e",
            "touch b big; chmod 640 b; cat d/e");
  const auto report = collect_turn();
  EXPECT_EQ(0u, report.turn_patch->bytes);
  EXPECT_FALSE(report.turn_patch->truncated);
  EXPECT_EQ(6u, report.index.files);
}

TEST_P(TurnPatchTest, EditsDeletionsModesTypesAndBinariesFollowOneAnother) {
  for (const auto* name : {"a", "b", "c", "d/e", "d/f", "g", "h"}) write_text(base() / name, "base\n");
  two_turns(R"(set -e; echo 1 > a; rm b; chmod +x c; rm -r d; mkdir d; echo n > d/n; printf '\0\1' > bin
               ln -s a link; echo x > 'name with "quotes"'; echo h > hard; ln hard hard2; mkdir -p p/q; echo r > p/q/r)",
            R"sh(set -e; echo 2 > a; echo back > b; chmod -x c; echo e > d/e; rm d/n; printf '\0\2' > bin
               rm link; echo file > link; rm -r p; echo p > p; rm g; ln -s a g; rm hard2; echo other > hard2
               rm 'name with "quotes"'; rm -r d; mkdir d; echo base > d/f; echo l > "$(printf 'line\nbreak')")sh");
  (void)collect_turn();
  EXPECT_EQ(agents_tree(), tree_of_both());
  EXPECT_EQ(agents_tree(), tree_of_patched_clone());
}

TEST_P(TurnPatchTest, WhatIsTakenBackIsAChangeOfTheTurn) {
  write_text(base() / "a", "base\n");
  write_text(base() / "gone", "gone\n");
  two_turns("echo changed > a; rm gone; echo new > new; mkdir sub; echo s > sub/s",
            "echo base > a; echo gone > gone; rm new; rm -r sub");
  const auto report = collect_turn();
  EXPECT_EQ(0u, report.index.files);
  EXPECT_EQ(0u, report.patch.bytes);
  EXPECT_THAT(turn_patch(), HasSubstr("-changed"));
  EXPECT_THAT(turn_patch(), HasSubstr("-new"));
  EXPECT_EQ(agents_tree(), tree_of_both());
}

TEST_P(TurnPatchTest, WhatIsIgnoredNowIsNoDeletion) {
  write_text(base() / "a", "base\n");
  two_turns("echo note > note.log; echo other > other", "echo '*.log' > .gitignore; echo more >> note.log");
  (void)collect_turn();
  EXPECT_THAT(turn_patch(), HasSubstr(".gitignore"));
  EXPECT_THAT(turn_patch(), Not(HasSubstr("note.log b/note.log")));
}

TEST_P(TurnPatchTest, IgnoreRulesOfTheTurnBeforeAreKnown) {
  write_text(base() / "a", "base\n");
  two_turns("echo '*.log' > .gitignore; echo 1 > x.log", "echo 2 > x.log; echo 2 > y.log; echo 2 > z");
  (void)collect_turn();
  EXPECT_THAT(turn_patch(), Not(HasSubstr(".log")));
  EXPECT_EQ(agents_tree(), tree_of_both());
}

TEST_P(TurnPatchTest, AFormerContentOverTheLimitAppliesForwardsOnly) {
  write_text(base() / "a", "base\n");
  two_turns("seq 1 2000 > large; seq 1 2000 > larger", "echo small > large; echo more >> larger");
  CollectLimits limits;
  limits.file_bytes = 4096;
  const auto report = collect_turn(limits);
  EXPECT_TRUE(report.turn_patch->truncated);
  EXPECT_THAT(turn_patch(), HasSubstr("large b/large"));
  EXPECT_THAT(turn_patch(), HasSubstr("left out: larger"));
}

TEST_P(TurnPatchTest, IsCappedInBytes) {
  write_text(base() / "a", "base\n");
  two_turns("echo 1 > b", "seq 1 5000 > c");
  CollectLimits limits;
  limits.patch_bytes = 2048;
  const auto report = collect_turn(limits);
  EXPECT_TRUE(report.turn_patch->truncated);
  EXPECT_LE(report.turn_patch->bytes, 2048u);
}

TEST_P(TurnPatchTest, TooManyChangesAreNotTakenForChangesOfTheTurn) {
  write_text(base() / "a", "base\n");
  two_turns("for i in $(seq 100); do echo $i > f$i; done", "echo x > x");
  CollectLimits limits;
  limits.index_entries = 20;
  const auto report = collect_turn(limits);
  EXPECT_TRUE(report.turn_patch->truncated);
  EXPECT_EQ(0u, report.turn_patch->bytes);
}

TEST_P(TurnPatchTest, ADamagedCheckpointLeavesItTruncatedAndTheRestWhole) {
  if (GetParam() == Begins::on_layers) GTEST_SKIP() << "needs no checkpoint";
  write_text(base() / "a", "base\n");
  two_turns("echo 1 > b", "echo 2 > b");
  write_text(archive(), "no archive");
  const auto report = collect_turn();
  EXPECT_TRUE(report.turn_patch->truncated);
  EXPECT_EQ(0u, report.turn_patch->bytes);
  EXPECT_EQ(agents_tree(), tree_of_patched_clone());
}

INSTANTIATE_TEST_SUITE_P(, TurnPatchTest, testing::Values(Begins::restored, Begins::on_layers),
                         [](const auto& info) {
                           return info.param == Begins::restored ? "Restored" : "OnLayers";
                         });

}  // namespace
}  // namespace agentrouter::workspace
