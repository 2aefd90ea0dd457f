// The cap of what an agent writes: what counts, what does not, and what happens at it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <cstdlib>
#include <sstream>

#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t mib = 1u << 20;

struct Stop {
  std::string cause;
  std::uint64_t bytes = 0, inodes = 0;
};

class Disk : public testing::Test {
 protected:
  Disk() { rig.plan.limits.disk_bytes = 32 * mib; }
  void launch() {
    const auto launched = rig.launch();
    ASSERT_TRUE(launched) << launched.error().message;
  }
  Stop stop() {
    Stop result;
    std::istringstream(rig.ask("disk_stop")) >> result.cause >> result.bytes >> result.inodes;
    return result;
  }
  // Runs a script that must not be stopped, nor be found too large at its end.
  std::string fits(const std::string& script) {
    const auto ran = rig.run(script);
    EXPECT_EQ(ran.signal, 0) << ran.output;
    EXPECT_EQ(ran.code, 0) << ran.output;
    EXPECT_EQ(rig.ask("kill_all"), "");
    EXPECT_EQ(rig.run("echo alive").output, "alive\n");
    return ran.output;
  }
  rig::Rig rig;
};

// Sleepers that share thousands of descriptors once made a look at all of them take seconds.
constexpr const char* sleepers =
    "python3 -c \"import os,time\nfor i in range(1200):\n  "
    "f=os.open('h%d'%i,os.O_CREAT|os.O_RDWR);os.unlink('h%d'%i)\nfor _ in range(40):\n"
    "  if os.fork()==0: time.sleep(600)\nopen('ready','w');time.sleep(600)\" & until [ -e ready ]; do :; "
    "done; ";

constexpr const char* bomb = "i=0; while :; do i=$((i+1)); head -c 4194304 /dev/zero > f$i || exit; done";

TEST_F(Disk, AnAgentIsStoppedAtItsBytesAndKeepsWhatItHasWritten) {
  launch();
  ASSERT_EQ(rig.start(bomb), "");
  const auto at = stop();
  EXPECT_EQ(at.cause, "bytes");
  EXPECT_GT(at.bytes, 32 * mib);
  EXPECT_LT(at.bytes, 160 * mib);
  RecordProperty("overshoot", std::to_string(at.bytes - 32 * mib));
  EXPECT_GT(std::atoi(rig.collect("ls /proc/self/fd/4/0/ | grep -c f").output.c_str()), 7);
  EXPECT_EQ(rig.ask("kill_all"), "") << "init still answers";
}

TEST_F(Disk, TheHomeCountsToo) {
  launch();
  ASSERT_EQ(rig.start(std::string("head -c 20000000 /dev/zero > a; cd; ") + bomb), "");
  EXPECT_EQ(stop().cause, "bytes");
}

TEST_F(Disk, AnAgentIsStoppedAtItsInodes) {
  rig.plan.limits.disk_inodes = 3000;
  launch();
  ASSERT_EQ(
      rig.start("python3 -c 'import os\nfor i in range(10**6):\n  if i % 100 == 0: os.mkdir(f\"d{i}\")\n"
                "  open(f\"d{i // 100 * 100}/{i}\", \"w\")'"),
      "");
  const auto at = stop();
  EXPECT_EQ(at.cause, "inodes");
  EXPECT_GT(at.inodes, 3000u);
  EXPECT_LT(at.inodes, 30'000u);
}

TEST_F(Disk, AFileThatIsOpenAndHasNoNameCounts) {
  launch();
  ASSERT_EQ(
      rig.start("exec python3 -c 'import os,time\nk=[]\nfor i in range(20):\n  f=open(\"x\",\"wb\")\n"
                "  os.unlink(\"x\")\n  k.append(f)\n  f.write(b\"x\"*(4<<20));f.flush()\ntime.sleep(60)'"),
      "");
  const auto at = stop();
  EXPECT_EQ(at.cause, "bytes");
  EXPECT_LT(at.bytes, mib) << "they went with the process that held them";
}

TEST_F(Disk, ADescriptorThatManyProcessesShareCountsOnce) {
  launch();
  fits(
      "python3 -c 'import "
      "os,time\nf=open(\"x\",\"wb\")\nos.unlink(\"x\")\nf.write(b\"x\"*(4<<20))\nf.flush()\n"
      "n=[os.fork() for i in range(4)]\ntime.sleep(.4)'");
}

TEST_F(Disk, NamesOfOneFileAndHolesCountAsWhatTheyTake) {
  launch();
  fits(
      "head -c 8000000 /dev/zero > a; for i in $(seq 50); do ln a l$i; done; "
      "for i in $(seq 10); do truncate -s 30M hole$i; done; sleep .3");
}

TEST_F(Disk, TheRootsOwnNamesCountAsWhatTheyTake) {
  rig.plan.limits.disk_bytes = mib;
  rig.plan.limits.disk_inodes = 1'000'000;
  launch();
  ASSERT_EQ(rig.start("exec python3 -c 'import os\nopen(\"f\",\"w\")\nfor i in range(10**6):\n"
                      "  os.link(\"f\",\"%0250d\"%i)'"),
            "");
  const auto at = stop();
  EXPECT_EQ(at.cause, "bytes");
  EXPECT_GT(at.bytes, mib);
}

TEST_F(Disk, MoreNamesThanCanBeCountedAreAnEnd) {
  rig.plan.limits.disk_inodes = 1000;
  launch();
  ASSERT_EQ(rig.start("exec python3 -c 'import os\nopen(\"f\",\"w\")\nfor i in range(10**6):\n"
                      "  os.link(\"f\",\"l%d\"%i)'"),
            "");
  const auto at = stop();
  EXPECT_EQ(at.cause, "inodes");
  EXPECT_LT(at.inodes, 1100u) << "it is not counted to the end";
}

TEST_F(Disk, WhatIsRemovedIsGivenBack) {
  launch();
  fits("for i in $(seq 30); do head -c 12000000 /dev/zero > f; rm f; done");
}

TEST_F(Disk, OneFileEndsAtTheCapWithAnError) {
  launch();
  EXPECT_THAT(
      rig.run(
             "python3 -c 'import signal\nsignal.signal(signal.SIGXFSZ,signal.SIG_IGN)\nf=open(\"b\",\"wb\")\n"
             "f.truncate(33<<20)' 2>&1")
          .output,
      HasSubstr("File too large"));
}

TEST_F(Disk, FoldersNestedBeyondCountingAreAnEnd) {
  launch();
  ASSERT_EQ(
      rig.start("exec python3 -c 'import os,time\nfor i in range(2300):\n  os.mkdir(\"d\"); os.chdir(\"d\")\n"
                "time.sleep(60)'"),
      "");
  EXPECT_EQ(stop().cause, "depth");
}

TEST_F(Disk, DeepFoldersAreCountedToTheirEnd) {
  rig.plan.limits.disk_inodes = 700;
  launch();
  ASSERT_EQ(
      rig.start("exec python3 -c 'import os,time\nfor i in range(300):\n  os.mkdir(\"d\"); os.chdir(\"d\")\n"
                "for i in range(500): open(str(i),\"w\")\ntime.sleep(60)'"),
      "");
  const auto at = stop();
  EXPECT_EQ(at.cause, "inodes");
  EXPECT_LE(at.inodes, 802u);
}

TEST_F(Disk, WhatWasRestoredIsNotTheAgentsOwn) {
  launch();
  EXPECT_EQ(rig.restore("cd /workspace; head -c 24000000 /dev/zero > restored; echo done").output, "done\n");
  fits("head -c 24000000 /dev/zero > own; sleep .3");
  ASSERT_EQ(rig.start(bomb), "");
  EXPECT_GT(stop().bytes, 32 * mib + 24'000'000);
}

TEST_F(Disk, AnAgentThatHasLeftBeforeItWasSeenIsFoundAtTheEnd) {
  launch();
  (void)rig.run(
      "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do cp /dev/stdin f$i < /usr/bin/python3; "
      "head -c 8000000 /dev/zero >> f$i; done");
  EXPECT_EQ(rig.ask("kill_all"), "");
  EXPECT_EQ(stop().cause, "bytes");
}

TEST_F(Disk, WithTheReserveOfTheMachineReachedWhoWritesIsStopped) {
  struct statvfs system {};
  ASSERT_EQ(::statvfs("/tmp", &system), 0);
  const auto available = system.f_bavail * system.f_frsize;
  rig.plan.limits.disk_bytes = 1024 * mib;
  rig.plan.limits.disk_reserve_bytes = available * 2;
  launch();
  EXPECT_EQ(rig.run("echo quiet > f; sleep 1; cat f").output, "quiet\n");
  ASSERT_EQ(rig.start("while :; do head -c 1000000 /dev/zero >> f; sleep .1; done"), "");
  EXPECT_EQ(stop().cause, "reserve");
}

TEST_F(Disk, FarBelowTheReserveOfTheMachineNothingGoesOn) {
  struct statvfs system {};
  ASSERT_EQ(::statvfs("/tmp", &system), 0);
  rig.plan.limits.disk_reserve_bytes = system.f_bavail * system.f_frsize * 5;
  launch();
  ASSERT_EQ(rig.start("sleep 60"), "");
  EXPECT_EQ(stop().cause, "reserve");
}

TEST_F(Disk, WithTheReserveOfInodesReachedWhoMakesFilesIsStopped) {
  struct statvfs system{};
  ASSERT_EQ(::statvfs("/tmp", &system), 0);
  if (system.f_files == 0) GTEST_SKIP() << "the file system has no number of inodes";
  rig.plan.limits.disk_reserve_inode_percent =
      static_cast<std::uint32_t>(200 * system.f_favail / system.f_files + 2);
  launch();
  EXPECT_EQ(rig.run("echo quiet > f; sleep 1; cat f").output, "quiet\n");
  ASSERT_EQ(rig.start("while :; do for i in $(seq 100); do mktemp -p .; done; sleep .1; done"), "");
  EXPECT_EQ(stop().cause, "reserve");
}

TEST_F(Disk, FarBelowTheReserveOfInodesNothingGoesOn) {
  struct statvfs system{};
  ASSERT_EQ(::statvfs("/tmp", &system), 0);
  if (system.f_files == 0) GTEST_SKIP() << "the file system has no number of inodes";
  rig.plan.limits.disk_reserve_inode_percent =
      static_cast<std::uint32_t>(500 * system.f_favail / system.f_files + 5);
  launch();
  ASSERT_EQ(rig.start("sleep 60"), "");
  EXPECT_EQ(stop().cause, "reserve");
}

TEST_F(Disk, AFileThatWasClosedOrGotItsNameIsNotCountedTwice) {
  launch();
  fits(
      "python3 -c \"import ctypes,os\nL=ctypes.CDLL(None)\nb=b'x'*(20<<20)\nfor i in range(30):\n"
      "  f=os.open('.',os.O_TMPFILE|os.O_RDWR);os.write(f,b)\n"
      "  assert L.linkat(-100,b'/proc/self/fd/%d'%f,-100,b'named',0x400)==0\n  "
      "os.close(f);os.unlink('named')\n"
      "  f=os.open('h',os.O_CREAT|os.O_RDWR);os.unlink('h');os.write(f,b);os.close(f)\n"
      "  open('n','wb').write(b);os.unlink('n')\"");
}

TEST_F(Disk, ManyWhoHoldManyFilesDoNotHideAWriter) {
  rig.plan.limits.open_files = 4096;
  launch();
  ASSERT_EQ(rig.start(std::string(sleepers) + bomb), "");
  const auto at = stop();
  EXPECT_EQ(at.cause, "bytes");
  EXPECT_LT(at.bytes, 400 * mib);
}

TEST_F(Disk, MoreOpenFilesThanCanBeCountedStopTheAgent) {
  rig.plan.limits.open_files = 4096;
  rig.plan.limits.pids = 200;
  launch();
  ASSERT_EQ(rig.start("python3 -c \"import os,time\nfor i in range(4000): os.dup(1)\nfor _ in range(60):\n  "
                      "if os.fork()==0: time.sleep(600)\n"
                      "f=open('x','wb')\nwhile 1: f.write(b'x'*65536);f.flush();time.sleep(.002)\""),
            "");
  EXPECT_EQ(stop().cause, "depth");
}

}  // namespace
}  // namespace agentrouter::sandbox
