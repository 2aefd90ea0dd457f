// Boxes that are made before there is a run for them.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>

#include "base/file.h"
#include "sandbox/cgroup.h"
#include "sandbox/clone.h"
#include "sandbox/test_rig.h"
#include "sandbox/warden.h"

namespace agentrouter::sandbox {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

bool comes_true(const std::function<bool()>& what) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < end) {
    if (what()) return true;
    ::sched_yield();
  }
  return false;
}

bool is_process(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

// Init can take no descriptor from then on. As the owner of its namespace, which root need not be more than.
int take_descriptors(pid_t pid) {
  std::ifstream map("/proc/" + std::to_string(pid) + "/uid_map");
  uid_t inside = 0, outside = 0;
  map >> inside >> outside;
  const rlimit none{4, 4};
  if (::geteuid() != 0) return ::prlimit(pid, RLIMIT_NOFILE, &none, nullptr);
  constexpr auto as_it_is = static_cast<uid_t>(-1);
  if (::syscall(SYS_setresuid, as_it_is, outside + UidRange::size - 1, as_it_is) != 0) return -1;
  const int done = ::prlimit(pid, RLIMIT_NOFILE, &none, nullptr);
  ::syscall(SYS_setresuid, as_it_is, 0, as_it_is);
  return done;
}

std::size_t open_files() {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

// Of the process behind a pidfd.
std::ptrdiff_t count_children(int pidfd) {
  const auto info = base::read_file("/proc/self/fdinfo/" + std::to_string(pidfd)).value_or("");
  const auto at = info.find("\nPid:\t");
  if (at == std::string::npos) return -1;
  const auto pid = std::to_string(std::atoi(info.c_str() + at + 6));
  const auto children = base::read_file("/proc/" + pid + "/task/" + pid + "/children").value_or("");
  return std::count(children.begin(), children.end(), ' ');
}

std::vector<std::string> warm_groups(const rig::Rig& rig) {
  return find_cgroups(cgroup_prefix(rig.ref().attempts) + "warm_", Match::prefix);
}

TEST(Warm, ABoxIsUsedOnce) {
  rig::Rig rig;
  ASSERT_TRUE(rig.make_ahead());
  ASSERT_THAT(rig.local().waiting(), SizeIs(1));
  ASSERT_TRUE(rig.launch());
  EXPECT_TRUE(rig.launched().warm);
  EXPECT_THAT(rig.local().waiting(), IsEmpty());
  EXPECT_EQ(rig.run("echo here; pwd").output, "here\n/workspace\n");
  rig::Rig next(&rig);
  ASSERT_TRUE(next.launch());
  EXPECT_FALSE(next.launched().warm);
}

TEST(Warm, ItHasWhatItsRunHasAndNothingOfAnotherOne) {
  rig::Rig first;
  const rig::TemporaryFolder lower;
  std::ofstream(lower.path() / "mine") << "mine\n";
  first.lower = lower.path();
  first.plan.files.push_back({"/home/agent/.config/secret", "of the first"});
  ASSERT_TRUE(first.make_ahead());
  ASSERT_TRUE(first.launch());
  ASSERT_TRUE(first.launched().warm);
  EXPECT_EQ(first.run("cat mine; cat ~/.config/secret").output, "mine\nof the first");
  ASSERT_EQ(first.run("for d in /tmp /workspace /home/agent /dev/shm; do echo left > $d/left || exit 1; done").code, 0);

  rig::Rig second(&first);
  second.plan.files.back() = {"/etc/of-the-second", "of the second"};
  second.plan.limits.pids = 40;
  second.plan.limits.open_files = 100;
  second.plan.workspace = WorkspaceMode::read_only;
  ASSERT_TRUE(first.make_ahead()) << "like the first one";
  ASSERT_TRUE(second.launch());
  ASSERT_TRUE(second.launched().warm);
  EXPECT_EQ(second.run("ls -A /tmp /workspace /home/agent /dev/shm /etc/of-the-second").output,
            "/etc/of-the-second\n\n/dev/shm:\n\n/home/agent:\n\n/tmp:\n\n/workspace:\n");
  EXPECT_EQ(second.run("cat /etc/of-the-second; ulimit -n").output, "of the second100\n");
  EXPECT_NE(second.run("echo x > /workspace/x").code, 0);
  EXPECT_THAT(second.run("for i in $(seq 60); do sleep 1 & done 2>&1; echo over").output, HasSubstr("annot fork"));
  EXPECT_THAT(second.run("cat /proc/self/mountinfo; cat /proc/1/environ 2>&1; tr '\\0' ' ' < /proc/self/environ").output,
              testing::Not(HasSubstr("agentrouter-sandbox")));
}

TEST(Warm, ALaunchThatShowsSomethingElseIsDoneWithoutIt) {
  const rig::TemporaryFolder folder;
  const auto file = folder.path() / "shown";
  std::ofstream(file) << "old";
  const auto differs = [&](const std::function<void(rig::Rig&)>& change) {
    rig::Rig rig;
    rig.plan.binds.push_back({file, "/etc/shown"});
    EXPECT_TRUE(rig.make_ahead());
    change(rig);
    EXPECT_TRUE(rig.launch());
    EXPECT_EQ(rig.run("cat /etc/shown").code, 0);
    return !rig.launched().warm;
  };
  EXPECT_FALSE(differs([](rig::Rig&) {}));
  EXPECT_FALSE(differs([&](rig::Rig& rig) {
    rig.plan.binds.push_back({.from = folder.path(), .to = "/opt/own", .of_run = true});
  })) << "what only this run has comes with it";
  EXPECT_TRUE(differs([&](rig::Rig& rig) { rig.plan.binds.push_back({folder.path(), "/opt/other"}); }));
  EXPECT_TRUE(differs([](rig::Rig& rig) { rig.plan.limits.tmp_bytes /= 2; }));
  EXPECT_TRUE(differs([](rig::Rig& rig) { let_out(rig.plan, {443}); }));
  EXPECT_TRUE(differs([&](rig::Rig&) {
    std::ofstream(folder.path() / "new") << "new";
    std::filesystem::rename(folder.path() / "new", file);
  })) << "the file has been replaced";
}

TEST(Warm, WhatOnlyTheRunHasIsShownThereToo) {
  const rig::TemporaryFolder folder;
  std::ofstream(folder.path() / "own") << "own\n";
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  rig::Rig rig;
  ASSERT_TRUE(rig.make_ahead());
  rig.plan.binds.push_back({.from = folder.path(), .to = "/opt/of-run", .of_run = true});
  ASSERT_TRUE(rig.launch());
  EXPECT_TRUE(rig.launched().warm);
  EXPECT_EQ(rig.run("cat /opt/of-run/own").output, "own\n");
  EXPECT_NE(rig.run("echo x > /opt/of-run/own").code, 0);
}

TEST(Warm, ADeadBoxIsPassedOver) {
  rig::Rig rig;
  ASSERT_TRUE(rig.make_ahead());
  const auto pid = rig.local().waiting().at(0);
  const base::Fd init(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  pollfd ended{init.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, 10'000), 1);
  ASSERT_TRUE(rig.launch());
  EXPECT_FALSE(rig.launched().warm);
  EXPECT_EQ(rig.run("echo here").output, "here\n");
}

TEST(Warm, ABoxThatFailsItsRunIsReplaced) {
  rig::Rig rig;
  ASSERT_TRUE(rig.make_ahead());
  const auto pid = rig.local().waiting().at(0);
  ASSERT_EQ(take_descriptors(pid), 0) << std::strerror(errno);
  ASSERT_TRUE(rig.launch());
  EXPECT_FALSE(rig.launched().warm);
  EXPECT_FALSE(is_process(pid));
  EXPECT_EQ(rig.run("echo here").output, "here\n");
  EXPECT_THAT(warm_groups(rig), IsEmpty());
}

TEST(Warm, WhenTheMountsOfTheMachineChangeBoxesAreMadeAnew) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root mounts";
  rig::Rig rig;
  const rig::TemporaryFolder place;
  ASSERT_TRUE(rig.make_ahead());
  ASSERT_EQ(::mount("tmpfs", place.path().c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_EQ(::umount2(place.path().c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(rig.launch());
  EXPECT_FALSE(rig.launched().warm);
}

TEST(Warm, ThePoolFillsUpAfterALaunchAndIsSharedByKinds) {
  std::vector<pid_t> waiting;
  std::vector<std::string> groups;
  {
    rig::Rig first;
    first.warm = 2;
    ASSERT_TRUE(first.launch());
    EXPECT_FALSE(first.launched().warm) << "the first one";
    ASSERT_TRUE(comes_true([&] { return first.local().waiting().size() == 2; }));
    rig::Rig second(&first);
    second.plan.limits.tmp_bytes /= 2;
    ASSERT_TRUE(second.launch());
    EXPECT_FALSE(second.launched().warm) << "of another kind";
    const auto old = first.local().waiting();
    ASSERT_TRUE(comes_true([&] {
      waiting = first.local().waiting();
      return waiting.size() == 2 && waiting != old;
    }));
    rig::Rig third(&second), fourth(&first);
    ASSERT_TRUE(third.launch());
    ASSERT_TRUE(fourth.launch());
    EXPECT_TRUE(third.launched().warm);
    EXPECT_TRUE(fourth.launched().warm);
    ASSERT_TRUE(comes_true([&] { return first.local().waiting().size() == 2; }));
    waiting = first.local().waiting();
    groups = warm_groups(first);
    EXPECT_EQ(groups.empty(), first.launched().limits == LimitsMode::rlimit);
  }
  for (const auto pid : waiting) EXPECT_FALSE(is_process(pid)) << "they end with their launcher";
  for (const auto& group : groups) EXPECT_FALSE(std::filesystem::exists(group)) << group;
}

TEST(Warm, TheGroupsOfABoxBecomeThoseOfItsAttempt) {
  rig::Rig rig;
  ASSERT_TRUE(rig.make_ahead());
  const auto before = warm_groups(rig);
  ASSERT_TRUE(rig.launch());
  if (rig.launched().limits == LimitsMode::rlimit && before.empty()) GTEST_SKIP() << "no groups here";
  ASSERT_TRUE(rig.launched().warm);
  EXPECT_THAT(warm_groups(rig), IsEmpty());
  EXPECT_THAT(find_cgroups(cgroup_label(rig.ref()), Match::whole), SizeIs(before.size()));
  ASSERT_EQ(rig.run("true").code, 0) << "its keeper is up";
  auto swept = rig.local().sweep(rig.ref().attempts);
  ASSERT_TRUE(swept);
  EXPECT_THAT(find_cgroups(cgroup_label(rig.ref()), Match::whole), SizeIs(before.size())) << "its keeper lives";
  rig.end_keeper();
  ASSERT_TRUE(release_whole(rig.the_launcher(), rig.ref(), Remove::all));
  EXPECT_THAT(find_cgroups(cgroup_label(rig.ref()), Match::whole), IsEmpty());
  EXPECT_THAT(find_cgroups(cgroup_around(rig.ref().attempts), Match::whole), IsEmpty());
}

TEST(Warm, ASweepEndsThemAndWhatAnotherLauncherHasLeft) {
  rig::Rig rig;
  ASSERT_TRUE(rig.make_ahead());
  const auto mine = rig.local().waiting().at(0);
  LocalLauncher after_a_crash;
  ASSERT_TRUE(after_a_crash.sweep(rig.ref().attempts));
  EXPECT_THAT(warm_groups(rig), IsEmpty());
  ASSERT_TRUE(rig.local().sweep(rig.ref().attempts));
  EXPECT_FALSE(is_process(mine));
}

TEST(Warm, AWardenMakesThemWhileNothingIsAskedForAndTheyEndWithIt) {
  auto started = start_warden({"sandbox_test", "--warden"});
  ASSERT_TRUE(started) << started.error().message;
  const base::Fd process(::fcntl(started->process.get(), F_DUPFD_CLOEXEC, 3));
  WardenLauncher launcher(std::move(*started), [] { return start_warden({"sandbox_test", "--warden"}); });
  rig::Rig first;
  first.launcher = &launcher;
  first.range = Range::next;
  first.warm = 1;
  ASSERT_TRUE(first.launch());
  EXPECT_FALSE(first.launched().warm);
  const auto three_children = [&] { return count_children(process.get()) == 3; };
  ASSERT_TRUE(comes_true(three_children)) << "init and keeper of the first, and a box that waits";
  {
    rig::Rig next(&first);
    ASSERT_TRUE(next.launch());
    EXPECT_TRUE(next.launched().warm);
    EXPECT_EQ(next.run("echo here").output, "here\n");
  }
  EXPECT_TRUE(comes_true(three_children));
  EXPECT_EQ(warm_groups(first).empty(), first.launched().limits == LimitsMode::rlimit);
  const auto left = warm_groups(first);
  ASSERT_TRUE(send_signal(process.get(), SIGKILL));
  ASSERT_TRUE(wait_for_end(process.get(), 10'000));
  first.end_keeper();
  ASSERT_TRUE(release_whole(launcher, first.ref(), Remove::all)) << "through the next warden";
  for (const auto& group : left) EXPECT_FALSE(std::filesystem::exists(group)) << group;
}

TEST(Warm, ManyLaunchesInARowGetTheirProgramsAndLeaveNothingOpen) {
  rig::Rig first;
  first.warm = 1;
  ASSERT_TRUE(first.launch());
  std::size_t before = 0;
  for (int i = 0; i < 24; ++i) {
    rig::Rig next(&first);
    ASSERT_TRUE(next.launch()) << i;
    ASSERT_EQ(next.run("echo $((" + std::to_string(i) + "))").output, std::to_string(i) + "\n");
    next.end_keeper();
    ASSERT_TRUE(release_whole(next.the_launcher(), next.ref(), Remove::all));
    if (i % 8 != 7) continue;
    ASSERT_TRUE(comes_true([&] { return first.local().waiting().size() == 1; }));
    if (before == 0) before = open_files();
    EXPECT_LE(open_files(), before + 4) << i;
  }
}

}  // namespace
}  // namespace agentrouter::sandbox
