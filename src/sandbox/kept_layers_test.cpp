// Attempts that stand on what others have left: what the agent sees, what it may change, who may share it, and
// what is refused.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using ::testing::HasSubstr;

class KeptLayers : public ::testing::Test {
 protected:
  KeptLayers() {
    std::filesystem::create_directories(base() / "d/sub");
    std::ofstream(base() / "d/old") << "base\n";
    std::ofstream(base() / "d/sub/old") << "base\n";
    std::ofstream(base() / "edited") << "base\n";
    std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  }
  std::filesystem::path base() const { return folder_.path() / "base"; }
  std::filesystem::path kept(int number) const { return folder_.path() / ("kept" + std::to_string(number)); }

  // A rig on the base and on the first `count` kept layers, in the range of `slot`.
  std::unique_ptr<rig::Rig> stand_on(int count, std::uint32_t slot) {
    auto made = std::make_unique<rig::Rig>();
    made->lower = base();
    for (int number = count; number > 0; --number) made->layers.push_back(kept(number));
    made->home_layers = static_cast<unsigned>(count);
    made->slot = slot;
    return made;
  }
  // Turn `number` on the layers of those before, in a range of its own; its output.
  std::string turn(int number, const std::string& script) {
    auto sandbox = stand_on(number - 1, static_cast<std::uint32_t>(10 + number));
    auto launched = sandbox->launch();
    EXPECT_TRUE(launched) << launched.error().message;
    if (!launched) return "not launched";
    const auto ran = sandbox->run(script);
    EXPECT_EQ(ran.code, 0) << ran.output << ran.error;
    sandbox->keep_as(kept(number));
    return ran.output;
  }

  rig::TemporaryFolder folder_;
};

TEST_F(KeptLayers, ATurnSeesAndChangesWhatTheTurnsBeforeHaveLeft) {
  turn(1, "echo one > a; mkdir -p deep/er; echo x > deep/er/x; rm -r d; mkdir d; echo new > d/new; echo e >> edited; "
          "ln -s a link; chmod 750 deep; echo s > secret; chmod 600 secret; echo h > ~/thread; mkdir ~/.cache");
  EXPECT_EQ(turn(2, "cat a; ls -A d; stat -c '%a %U' deep secret a; cat secret ~/thread; echo two >> a; rm d/new; rm link; "
                    "mkdir link; echo l > link/l; mv deep/er/x deep/y; echo more >> ~/thread"),
            "one\nnew\n750 agent\n600 agent\n644 agent\ns\nh\n");
  EXPECT_EQ(turn(3, "cat a; ls -A d deep/er; cat link/l deep/y edited ~/thread; rm -r deep; rmdir d; echo f > d; stat -c %U d .; ls"),
            "one\ntwo\nd:\n\ndeep/er:\nl\nx\nbase\ne\nh\nmore\nagent\nagent\na\nd\nedited\nlink\nsecret\n");
  EXPECT_EQ(turn(4, "cat d; ls; rm d; mkdir d; ls -A d; cat edited"), "f\na\nd\nedited\nlink\nsecret\nbase\ne\n");
  EXPECT_EQ(turn(5, "ls -A d; ls -A ~"), ".cache\nthread\n");
}

TEST_F(KeptLayers, TheRootsOfWorkspaceAndHomeLookAsTheyDid) {
  turn(1, "chmod 751 . ; chmod 500 ~; touch -d '2001-02-03 04:05:06.5 UTC' .");
  EXPECT_EQ(turn(2, "stat -c '%a %y' . | cut -c1-25; stat -c %a ~; chmod 700 .; echo x > x; chmod 700 ~; echo x > ~/x"),
            "751 2001-02-03 04:05:06.5\n500\n");
}

TEST_F(KeptLayers, SandboxesOfDifferentRangesShareThemAndStayApart) {
  turn(1, "echo one > a; mkdir d/mine; echo m > d/mine/m; echo h > ~/h");
  auto left = stand_on(1, 31), right = stand_on(1, 32);
  ASSERT_TRUE(left->launch());
  ASSERT_TRUE(right->launch());
  EXPECT_EQ(left->run("echo left > a; rm -r d; echo left > ~/h; cat a ~/h").output, "left\nleft\n");
  EXPECT_EQ(right->run("cat a d/mine/m d/old ~/h; rm d/mine/m; echo right > a; ls d/mine; cat a").output,
            "one\nm\nbase\nh\nright\n");
  EXPECT_EQ(left->run("cat a; ls").output, "left\na\nedited\n");
  // Nothing of it was written.
  left->end_keeper();
  right->end_keeper();
  EXPECT_EQ(turn(2, "cat a d/mine/m ~/h"), "one\nm\nh\n");
}

TEST_F(KeptLayers, AForkFromAnEarlierTurnDoesNotSeeTheLaterOne) {
  turn(1, "echo one > a");
  turn(2, "echo two > a; echo b > b; rm edited");
  auto fork = stand_on(1, 40);
  ASSERT_TRUE(fork->launch());
  EXPECT_EQ(fork->run("cat a edited; ls").output, "one\nbase\na\nd\nedited\n");
}

TEST_F(KeptLayers, TheHomeMayStandOnFewerLayersThanTheWorkspace) {
  turn(1, "echo one > a; echo h > ~/h");
  auto files_only = stand_on(1, 41);
  files_only->home_layers = 0;
  ASSERT_TRUE(files_only->launch());
  EXPECT_EQ(files_only->run("cat a; ls -A ~").output, "one\n");
}

TEST_F(KeptLayers, TheCollectorSeesEachLayerReadOnly) {
  turn(1, "echo one > a; echo h > ~/h; rm edited");
  turn(2, "echo two > b");
  auto sandbox = stand_on(2, 42);
  ASSERT_TRUE(sandbox->launch());
  ASSERT_EQ(sandbox->run("echo three > c; echo t > ~/t").code, 0);
  ASSERT_EQ(sandbox->ask("kill_all"), "");
  const auto ran = sandbox->collect(
      "cd /proc/self/fd/4 && ls && cat 0/c 1/b 2/a && stat -c %t:%T 2/edited; ls ../; cd /proc/self/fd/5 && "
      "ls && cat 0/t 2/h; for f in 0 1 2; do (echo x > /proc/self/fd/4/$f/x) 2>&1; done");
  EXPECT_THAT(ran.output, HasSubstr("0\n1\n2\nthree\ntwo\none\n0:0\n0\n1\n2\n0\n1\n2\nt\nh\n")) << ran.error;
  EXPECT_EQ(std::ranges::count(ran.output, 'R'), 3) << ran.output;  // "Read-only file system"
}

TEST_F(KeptLayers, NothingInsideTellsOfThem) {
  turn(1, "echo one > a");
  auto sandbox = stand_on(1, 43);
  ASSERT_TRUE(sandbox->launch());
  const auto inside = sandbox->run("cat /proc/self/mountinfo; ls -A /").output;
  EXPECT_THAT(inside, ::testing::Not(HasSubstr("kept1")));
  EXPECT_THAT(inside, ::testing::Not(HasSubstr(folder_.path().string())));
  EXPECT_THAT(inside, ::testing::Not(HasSubstr(".init")));
}

TEST_F(KeptLayers, AReadOnlyWorkspaceShowsThem) {
  turn(1, "echo one > a; rm edited");
  auto sandbox = stand_on(1, 44);
  sandbox->plan.workspace = WorkspaceMode::read_only;
  ASSERT_TRUE(sandbox->launch());
  EXPECT_EQ(sandbox->run("cat a; ls; (echo x > a) 2>/dev/null || echo refused; echo x > ~/x && cat ~/x").output,
            "one\na\nd\nrefused\nx\n");
}

TEST_F(KeptLayers, AsManyAsMayBeAndNotOneMore) {
  constexpr int most = static_cast<int>(max_kept_layers);
  for (int number = 1; number <= most; ++number)
    turn(number, "echo " + std::to_string(number) + " >> all; echo x > f" + std::to_string(number));
  auto sandbox = stand_on(most, 60);
  ASSERT_TRUE(sandbox->launch());
  EXPECT_EQ(sandbox->run("wc -l < all; ls f* | wc -l").output, "16\n16\n");
  sandbox->layers.push_back(kept(1));
  const auto refused = sandbox->launch();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("too many kept layers"));
  auto more_at_home = stand_on(1, 61);
  more_at_home->home_layers = 2;
  EXPECT_FALSE(more_at_home->launch());
}

TEST_F(KeptLayers, WhatNoAttemptHasWrittenIsRefusedAndTheLaunchMayBeRepeated) {
  std::filesystem::create_directories(kept(1) / "home");
  auto sandbox = stand_on(1, 50);
  const auto without_upper = sandbox->launch();
  ASSERT_FALSE(without_upper);
  EXPECT_EQ(without_upper.error().reason, "sandbox_unavailable");
  std::filesystem::create_directories(kept(1) / "upper");
  if (sandbox->is_root()) {
    const auto of_root = sandbox->launch();
    ASSERT_FALSE(of_root);
    EXPECT_THAT(of_root.error().message, HasSubstr("of no attempt"));
    ASSERT_EQ(::chown((kept(1) / "upper").c_str(), UidRange::of_slot(3).agent(), 4321), 0);
    EXPECT_FALSE(sandbox->launch());
  }
  sandbox->layers.clear();
  sandbox->home_layers = 0;
  const auto launched = sandbox->launch();
  ASSERT_TRUE(launched) << launched.error().message;
  EXPECT_EQ(sandbox->run("cat edited").output, "base\n");
}

TEST_F(KeptLayers, APlainUserHasThemToo) {
  if (::geteuid() != 0) GTEST_SKIP() << "this one is a plain user";
  const rig::TemporaryFolder place;
  const auto copy = place.path() / "sandbox_test";
  std::filesystem::copy_file("/proc/self/exe", copy);
  for (const auto& path : {place.path(), copy}) ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    constexpr uid_t nobody = 65534;
    if (::setgroups(0, nullptr) != 0 || ::setresgid(nobody, nobody, nobody) != 0 ||
        ::setresuid(nobody, nobody, nobody) != 0 || ::chdir("/") != 0)
      ::_exit(98);
    ::execl(copy.c_str(), "sandbox_test", "--gtest_filter=KeptLayers.*", nullptr);
    ::_exit(99);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace agentrouter::sandbox
