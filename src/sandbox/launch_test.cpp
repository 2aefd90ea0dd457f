// Launching, releasing and sweeping: through a launcher in this process and through a warden.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include "base/file.h"
#include "base/id.h"
#include "sandbox/cgroup.h"
#include "sandbox/clone.h"
#include "sandbox/doctor.h"
#include "sandbox/id_lock.h"
#include "sandbox/remove_tree.h"
#include "sandbox/test_rig.h"
#include "sandbox/warden.h"

namespace agentrouter::sandbox {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string mounts() {
  return base::read_file("/proc/self/mountinfo").value_or("");
}

TEST(IdleProcess, KeepsNothingOpenAndEndsWithWhoMadeItHoweverThatEnds) {
  auto pipe = base::value_or_throw(base::make_pipe());
  const pid_t maker = ::fork();
  if (maker == 0) {
    const auto idle = IdleProcess::start(0);
    const pid_t pid = idle ? idle->pid() : 0;
    (void)::write(pipe.second.get(), &pid, sizeof pid);
    for (;;) ::pause();
  }
  pid_t pid = 0;
  ASSERT_EQ(::read(pipe.first.get(), &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  ASSERT_GT(pid, 0);
  const base::Fd idle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ASSERT_TRUE(idle);
  const std::filesystem::path open_files = "/proc/" + std::to_string(pid) + "/fd";
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto count = [&] { return std::distance(std::filesystem::directory_iterator(open_files), {}); };
  while (count() != 1 && std::chrono::steady_clock::now() < end) ::sched_yield();
  EXPECT_EQ(count(), 1) << "its end of a pipe";
  ::kill(maker, SIGKILL);
  ::waitpid(maker, nullptr, 0);
  pollfd ended{idle.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 10'000), 1);
}

struct Ids {
  uid_t uids[3];
  __user_cap_data_struct caps[2];
  bool operator==(const Ids& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
};

__attribute__((no_sanitize("address", "undefined", "thread"))) int note_ids(void* to) {
  auto& ids = *static_cast<Ids*>(to);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  syscall(SYS_getresuid, &ids.uids[0], &ids.uids[1], &ids.uids[2]);
  syscall(SYS_capget, &header, ids.caps);
  return 0;
}

// Many kernels take ambient capabilities away at exec where the real id is another one than the effective one.
TEST(Clone, BeginsWithAllIdsOfItsOwnerAndTheCapabilitiesOfWhoMakesIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root has ids to lend";
  Ids before{}, child{}, after{};
  (void)note_ids(&before);
  const auto cloned = clone_borrowing(0, -1, note_ids, &child, 0x12345);
  (void)note_ids(&after);
  ASSERT_TRUE(cloned) << cloned.error().message;
  EXPECT_TRUE(wait_for_end(cloned->pidfd.get(), 10'000));
  EXPECT_THAT(child.uids, testing::Each(0x12345u));
  EXPECT_EQ(std::memcmp(child.caps, before.caps, sizeof child.caps), 0);
  EXPECT_EQ(after, before);
  EXPECT_EQ(::prctl(PR_GET_KEEPCAPS), 0);
}

class IdRanges : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "a plain user has no range";
  }
  const rig::TemporaryFolder folder;
  const std::string place = folder.path() / "ids", file = place + "/locks";
  base::Result<IdLock> take(std::uint32_t slot) { return IdLock::take(slot, Range::at_slot, place.c_str()); }
  base::Result<IdLock> take_next() { return IdLock::take(0, Range::next, place.c_str()); }
};

TEST_F(IdRanges, OneIsNeverHeldTwiceAndIsFreeWhenItsLastHolderEnds) {
  auto first = take(5);
  ASSERT_TRUE(first) << first.error().message;
  auto second = take(5);
  EXPECT_EQ(first->slot(), 5u);
  EXPECT_EQ(second->slot(), 6u);
  base::Fd keeper(::fcntl(first->fd(), F_DUPFD_CLOEXEC, 3));
  first = take(7);
  EXPECT_EQ(take(5)->slot(), 8u) << "the keeper's copy still holds it";
  keeper.reset();
  EXPECT_EQ(take(5)->slot(), 5u);
}

TEST_F(IdRanges, TheyAreGivenOutInTurnSoThatOneComesBackLate) {
  for (const std::uint32_t slot : {0u, 1u, 2u}) EXPECT_EQ(take_next()->slot(), slot);
  const auto held = take(3);
  EXPECT_EQ(take_next()->slot(), 4u);
  std::ofstream(file, std::ios::binary | std::ios::in).write("\xff\xff\xff\xff", 4);
  EXPECT_EQ(take_next()->slot(), 0u) << "what is written there is not trusted";
  const std::uint32_t last = UidRange::slots - 1;
  std::ofstream(file, std::ios::binary | std::ios::in).write(reinterpret_cast<const char*>(&last), 4);
  EXPECT_EQ(take_next()->slot(), last);
  EXPECT_EQ(take_next()->slot(), 0u);
}

TEST_F(IdRanges, WhatOthersMayWriteIsRefused) {
  ASSERT_TRUE(take(0));
  for (const auto& path : {file, place}) {
    ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
    EXPECT_EQ(take(0).error().code, Code::denied) << path;
    ASSERT_EQ(::chmod(path.c_str(), 0700), 0);
  }
  ASSERT_EQ(::unlink(file.c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", file.c_str()), 0);
  EXPECT_FALSE(take(0));
  ASSERT_EQ(::unlink(file.c_str()), 0);
  ASSERT_EQ(::rmdir(place.c_str()), 0);
  ASSERT_EQ(::symlink("/tmp", place.c_str()), 0);
  EXPECT_FALSE(take(0));
}

TEST_F(IdRanges, SandboxesOfSeveralServersHaveRangesOfTheirOwn) {
  rig::Rig one, two, three;
  for (auto* rig : {&one, &two, &three}) {
    rig->slot = 31'000 + 4 * (static_cast<std::uint32_t>(::getpid()) % 1000);  // other suites run this, too
    const auto launched = rig->launch();
    ASSERT_TRUE(launched) << launched.error().message;
  }
  EXPECT_NE(one.given().base, two.given().base);
  EXPECT_NE(two.given().base, three.given().base);
  const auto given = two.given().base;
  two.end_keeper();
  rig::Rig four;
  four.slot = (given - UidRange::first) / UidRange::size;
  ASSERT_TRUE(four.launch());
  EXPECT_EQ(four.given().base, given) << "a dead keeper's range is free";
}

TEST(LocalLauncher, RefusesWhatCannotBeShown) {
  rig::Rig rig;
  rig.plan.binds.push_back({"/no/such/folder", "/opt/agent"});
  auto launched = rig.launch();
  ASSERT_FALSE(launched);
  EXPECT_EQ(launched.error().code, Code::not_found);
  EXPECT_EQ(launched.error().reason, "sandbox_unavailable");
  EXPECT_THAT(launched.error().message, HasSubstr("cannot show /no/such/folder in the sandbox"));
  for (const char* place :
       {"relative", "/proc/x", "/tmp", "/opt/../etc", "/home/agent", "/opt//x", "/workspace/x", "/"}) {
    rig.plan.binds.back() = {"/usr", place};
    launched = rig.launch();
    ASSERT_FALSE(launched) << place;
    EXPECT_EQ(launched.error().code, Code::invalid) << place;
  }
}

TEST(LocalLauncher, NamesTheStageThatFailedAndLeavesNothing) {
  rig::Rig rig;
  // A file where a folder must be: found out by init, in the middle of building the root.
  rig.plan.files.push_back({"/etc/passwd/below", "x"});
  const auto before = mounts();
  const auto launched = rig.launch();
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("cannot make file etc/passwd/below: Not a directory"));
  EXPECT_EQ(launched.error().reason, "sandbox_unavailable");
  EXPECT_THAT(find_cgroups(cgroup_label(rig.ref()), Match::whole), IsEmpty());
  EXPECT_EQ(mounts(), before);
  EXPECT_FALSE(std::filesystem::exists(rig.attempt_path() / "keeper.log"));
  rig.plan.files.pop_back();
  ASSERT_TRUE(rig.launch()) << "it may be tried again";
  EXPECT_EQ(rig.run("echo here > here; cat here").output, "here\n");
}

TEST(LocalLauncher, RefusesIdsThatAreNotAttempts) {
  rig::Rig rig;
  EXPECT_EQ(rig.the_launcher().release({rig.ref().attempts, "../etc"}, Remove::all).error().code,
            Code::invalid);
  EXPECT_EQ(rig.the_launcher().release({rig.ref().attempts, "attempt_x"}, Remove::all).error().code,
            Code::invalid);
}

TEST(LocalLauncher, RefusesToReleaseWhileTheKeeperLives) {
  rig::Rig rig;
  ASSERT_TRUE(rig.launch());
  ASSERT_EQ(rig.run("true").code, 0);
  EXPECT_EQ(rig.the_launcher().release(rig.ref(), Remove::all).error().code, Code::conflict);
  EXPECT_EQ(rig.run("echo alive").output, "alive\n");
}

TEST(LocalLauncher, ReleaseLeavesNoGroupMountProcessOrFile) {
  const auto before = mounts();
  rig::Rig rig;
  ASSERT_TRUE(rig.launch());
  ASSERT_EQ(rig.start("mkdir -p a/b; chmod 0 a; setsid sleep " + rig::own_sleep(612) + " & sleep " +
                      rig::own_sleep(612)),
            "");
  const bool has_groups = rig.launched().limits != LimitsMode::rlimit;
  EXPECT_EQ(find_cgroups(cgroup_label(rig.ref()), Match::whole).empty(), !has_groups);
  EXPECT_EQ(mounts(), before) << "a sandbox adds no mount to the host's namespace";
  rig.end_keeper();
  auto released = release_whole(rig.the_launcher(), rig.ref(), Remove::box);
  ASSERT_TRUE(released) << released.error().message;
  EXPECT_THAT(find_cgroups(cgroup_label(rig.ref()), Match::whole), IsEmpty());
  EXPECT_THAT(rig::processes_named(rig::own_sleep(612)), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(rig.attempt_path() / "box"));
  EXPECT_TRUE(std::filesystem::exists(rig.attempt_path() / "keeper.log"));
  ASSERT_TRUE(release_whole(rig.the_launcher(), rig.ref(), Remove::all));
  EXPECT_FALSE(std::filesystem::exists(rig.attempt_path()));
  EXPECT_TRUE(release_whole(rig.the_launcher(), rig.ref(), Remove::all)) << "may be repeated";
}

TEST(LocalLauncher, SweepRemovesOnlyWhatNoKeeperOwns) {
  rig::Rig live;
  ASSERT_TRUE(live.launch());
  ASSERT_EQ(live.run("true").code, 0);
  auto report = live.the_launcher().sweep(live.ref().attempts);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->live, ElementsAre(live.id()));
  EXPECT_EQ(report->cgroups_removed, 0u);
  EXPECT_EQ(live.run("echo alive").output, "alive\n");
  const auto groups = find_cgroups(cgroup_label(live.ref()), Match::whole).size();
  live.end_keeper();
  report = live.the_launcher().sweep(live.ref().attempts);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->live, IsEmpty());
  EXPECT_EQ(report->cgroups_removed, groups);
}

TEST(LocalLauncher, AllSandboxesTogetherAreUnderTheLimitsOfTheMachine) {
  rig::Rig rig;
  rig.plan.machine.pids = 30;
  ASSERT_TRUE(rig.launch());
  if (rig.launched().limits == LimitsMode::rlimit) GTEST_SKIP() << "no groups here";
  EXPECT_THAT(rig.run("for i in $(seq 60); do sleep 1 & done 2>&1; echo over").output, HasSubstr("annot fork"));
  EXPECT_THAT(find_cgroups(cgroup_around(rig.ref().attempts), Match::whole), testing::Not(IsEmpty()));
  rig.end_keeper();
  ASSERT_TRUE(release_whole(rig.the_launcher(), rig.ref(), Remove::all));
  EXPECT_THAT(find_cgroups(cgroup_around(rig.ref().attempts), Match::whole), IsEmpty());
}

TEST(LocalLauncher, AProgramThatOnlyItsOwnerMayExecuteStillBecomesAKeeper) {
  const rig::TemporaryFolder folder;
  const auto copy = folder.path() / "sandbox_test";
  std::filesystem::copy_file("/proc/self/exe", copy);
  ASSERT_EQ(::chmod(copy.c_str(), 0700), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execl(copy.c_str(), "sandbox_test",
            "--gtest_filter=Box.RunsAProgramAndReportsItsExitCode:Workspace.TheCollectorS*", nullptr);
    ::_exit(99);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(LocalLauncher, TheKeeperHasASessionOfItsOwn) {
  rig::Rig rig;
  ASSERT_TRUE(rig.launch());
  EXPECT_NE(::getpgid(rig.launched().keeper_pid), ::getpgid(0));
  EXPECT_EQ(::getsid(rig.launched().keeper_pid), rig.launched().keeper_pid);
}

TEST(Warden, LaunchesReleasesAndSweepsLikeALocalLauncher) {
  auto started = start_warden({"sandbox_test", "--warden"});
  ASSERT_TRUE(started) << started.error().message;
  {
    WardenLauncher warden(std::move(started->socket));
    rig::Rig rig;
    rig.launcher = &warden;
    const auto launched = rig.launch();
    ASSERT_TRUE(launched) << launched.error().message;
    EXPECT_EQ(rig.run("echo in; id -u").output, "in\n1000\n");
    EXPECT_THAT(warden.sweep(rig.ref().attempts)->live, ElementsAre(rig.id()));
    EXPECT_EQ(warden.release(rig.ref(), Remove::groups).error().code, Code::conflict);
    EXPECT_EQ(warden.release(rig.ref(), Remove::all).error().code, Code::conflict);
    rig.end_keeper();
    EXPECT_TRUE(warden.release(rig.ref(), Remove::groups));
    EXPECT_TRUE(std::filesystem::exists(rig.attempt_path() / "box")) << "of which no file is removed";
    auto released = release_whole(warden, rig.ref(), Remove::all);
    EXPECT_TRUE(released) << released.error().message;
    EXPECT_FALSE(std::filesystem::exists(rig.attempt_path()));
    rig.plan.binds.push_back({"/usr", "/proc/x"});
    EXPECT_EQ(rig.launch().error().code, Code::invalid);
  }
  EXPECT_TRUE(wait_for_end(started->process.get(), 10'000)) << "it ends with its socket";
}

TEST(Warden, RefusesRequestsThatAreNotOfItsSizeAndGoesOn) {
  auto pair = base::value_or_throw(base::make_seqpacket_pair());
  auto started = start_warden({"sandbox_test", "--warden"});
  ASSERT_TRUE(started);
  ASSERT_TRUE(base::send_message(started->socket.get(), "garbage"));
  char reply[65536];
  const auto size = ::recv(started->socket.get(), reply, sizeof reply, 0);
  ASSERT_GT(size, 100);
  EXPECT_THAT(std::string(reply, static_cast<std::size_t>(size)),
              HasSubstr("cannot serve a request of that size"));
  WardenLauncher warden(std::move(started->socket));
  rig::Rig rig;
  EXPECT_TRUE(warden.sweep(rig.ref().attempts));
}

TEST(Warden, OneThatHasEndedIsStartedAgain) {
  const auto start = [] { return start_warden({"sandbox_test", "--warden"}); };
  auto first = start();
  ASSERT_TRUE(first);
  const base::Fd process(::fcntl(first->process.get(), F_DUPFD_CLOEXEC, 3));
  WardenLauncher warden(std::move(*first), start);
  rig::Rig rig;
  rig.launcher = &warden;
  ASSERT_TRUE(rig.launch());
  ASSERT_TRUE(send_signal(process.get(), SIGKILL));
  ASSERT_TRUE(wait_for_end(process.get(), 10'000));
  EXPECT_EQ(rig.run("echo alive").output, "alive\n");
  EXPECT_THAT(warden.sweep(rig.ref().attempts)->live, ElementsAre(rig.id()));
  rig.end_keeper();
  EXPECT_TRUE(release_whole(warden, rig.ref(), Remove::all));
}

TEST(Warden, ItsEndIsAnErrorOfItsOwn) {
  auto started = start_warden({"sandbox_test", "--warden"});
  ASSERT_TRUE(started);
  ASSERT_TRUE(send_signal(started->process.get(), SIGKILL));
  ASSERT_TRUE(wait_for_end(started->process.get(), 10'000));
  WardenLauncher warden(std::move(started->socket));
  rig::Rig rig;
  EXPECT_EQ(warden.sweep(rig.ref().attempts).error().code, Code::unavailable);
  rig.launcher = &warden;
  EXPECT_EQ(rig.launch().error().reason, "launcher_lost");
  rig.launcher = nullptr;  // what is left is removed without it
}

TEST(RemoveTree, RemovesDeepForbiddenAndStrangeTreesButFollowsNothing) {
  const rig::TemporaryFolder outside, folder;
  std::ofstream(outside.path() / "precious") << "x";
  const auto top = folder.path() / "top";
  std::filesystem::create_directories(top / "plain" / "below");
  std::filesystem::create_symlink(outside.path(), top / "link");
  ::mkfifo((top / "pipe").c_str(), 0600);
  std::ofstream(top / "plain" / "below" / "file") << "x";
  ::chmod((top / "plain" / "below").c_str(), 0);
  ::chmod((top / "plain").c_str(), 0);
  int at = ::open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < 400; ++i) {
    ASSERT_EQ(::mkdirat(at, "d", 0755), 0);
    const int next = ::openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ::close(at);
    at = next;
  }
  ::close(at);
  const auto parent = base::value_or_throw(base::open_directory(folder.path()));
  auto removed = remove_tree(parent.get(), "top");
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(top)));
  EXPECT_TRUE(std::filesystem::exists(outside.path() / "precious"));
  EXPECT_TRUE(remove_tree(parent.get(), "top")) << "nothing there is success";
}

TEST(RemoveTree, StopsAtItsBoundAndGoesOnWhenCalledAgain) {
  const rig::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "top");
  for (int i = 0; i < 30; ++i) std::ofstream(folder.path() / "top" / std::to_string(i)) << "x";
  const auto parent = base::value_or_throw(base::open_directory(folder.path()));
  EXPECT_EQ(remove_tree(parent.get(), "top", {.entries = 10}).error().code, Code::exhausted);
  EXPECT_EQ(remove_tree(parent.get(), "top", {.entries = 12}).error().code, Code::exhausted);
  EXPECT_EQ(remove_tree(parent.get(), "top", {.time = std::chrono::milliseconds(-1)}).error().code,
            Code::exhausted);
  EXPECT_TRUE(remove_tree(parent.get(), "top", {.entries = 12}));
}

// Files in one folder.
struct FlatTree {
  explicit FlatTree(int files) {
    std::filesystem::create_directory(folder.path() / "top");
    for (int i = 0; i < files; ++i) std::ofstream(folder.path() / "top" / std::to_string(i)) << "x";
  }
  [[nodiscard]] long left() const {
    return std::distance(std::filesystem::directory_iterator(folder.path() / "top"), {});
  }
  const rig::TemporaryFolder folder;
  const base::Fd parent = base::value_or_throw(base::open_directory(folder.path()));
};

TEST(RemoveTree, MakesProgressInEverySliceHoweverShort) {
  const FlatTree tree(20);
  int calls = 1;
  while (!remove_tree(tree.parent.get(), "top", {.time = std::chrono::milliseconds(-1)}) && calls < 30)
    ++calls;
  EXPECT_LT(calls, 25);
  EXPECT_FALSE(std::filesystem::exists(tree.folder.path() / "top"));
}

TEST(RemoveTree, MakesProgressInATreeThatIsDeeperThanItsEntries) {
  const rig::TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "top/1/2/3/4/5/6/7/8");
  const auto parent = base::value_or_throw(base::open_directory(folder.path()));
  int calls = 1;
  while (!remove_tree(parent.get(), "top", {.entries = 1, .depth = 3}) && calls < 60) ++calls;
  EXPECT_LT(calls, 50);
}

// Each look at it is a millisecond later, but what comes before the first removal takes 30.
std::chrono::steady_clock::time_point slow_to_find() {
  static int looks = 0;
  const int at = looks++ == 0 ? 0 : 30 + looks;
  return std::chrono::steady_clock::time_point(std::chrono::milliseconds(at));
}

TEST(RemoveTree, ASliceRemovesForAsLongAsItHadToLookForTheFirst) {
  const FlatTree tree(100);
  const RemoveBounds bounds{.time = std::chrono::milliseconds(5), .now = slow_to_find};
  EXPECT_EQ(remove_tree(tree.parent.get(), "top", bounds).error().code, Code::exhausted);
  EXPECT_LE(tree.left(), 72);
  EXPECT_GE(tree.left(), 60);
}

TEST(Doctor, FindsEverythingRequiredHereAndLeavesNothing) {
  const rig::TemporaryFolder scratch;
  const auto probes = probe_machine(scratch.path());
  for (const auto& probe : probes) {
    EXPECT_TRUE(!probe.required || probe.found == Found::ok) << probe.name << ": " << probe.detail;
    EXPECT_EQ(probe.found == Found::ok, probe.remedy.empty()) << probe.name;
  }
  EXPECT_TRUE(require(probes));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(Doctor, RefusesWithReasonAndRemedyWhenARequiredControlIsMissing) {
  const auto refused = require({{"user namespace", Found::missing, true, "not permitted", "allow them"},
                                {"id-mapped mounts", Found::missing, false, "none", "other"},
                                {"seccomp", Found::ok, true, "fine", ""}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unsupported);
  EXPECT_EQ(refused.error().message,
            "cannot confine agents on this machine: user namespace (not permitted; remedy: allow them)");
}

TEST(Doctor, SaysWhatIsMissingWhenTheFolderCannotBeUsed) {
  const auto probes = probe_machine("/proc");
  const auto refused = require(probes);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("sandbox (cannot make a folder in /proc"));
}

TEST(UidRange, RangesNeverOverlapAndNeverHoldTheHostsIds) {
  EXPECT_GE(UidRange::of_slot(0).base, 0x100000u);
  EXPECT_EQ(UidRange::of_slot(1).base, UidRange::of_slot(0).base + UidRange::size);
  EXPECT_LT(static_cast<std::uint64_t>(UidRange::of_slot(UidRange::slots - 1).base) + UidRange::size,
            0xfffffffeull);
}

}  // namespace
}  // namespace agentrouter::sandbox
