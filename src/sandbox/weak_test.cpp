// Each control, switched off, is seen to be off: otherwise the suites that find it on would prove nothing.

#include "sandbox/weak/weak.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>

#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string run_weakened(std::uint32_t weakenings, const std::string& script) {
  WeakLauncher launcher(weakenings);
  rig::Rig rig;
  rig.launcher = &launcher;
  const auto launched = rig.launch();
  if (!launched) return launched.error().message;
  return rig.run(script).output;
}

TEST(WeakLauncher, WithoutSeccompNestedNamespacesWork) {
  EXPECT_THAT(
      run_weakened(init::weaken_no_seccomp, "unshare -U echo nested; grep Seccomp: /proc/self/status"),
      testing::AllOf(HasSubstr("nested"), HasSubstr("Seccomp:\t0")));
}

TEST(WeakLauncher, WithCapabilitiesAndWithoutSeccompAndLandlockMountsWork) {
  EXPECT_THAT(run_weakened(init::weaken_keep_capabilities | init::weaken_no_seccomp | init::weaken_no_landlock,
                           "mount -t tmpfs x /mnt && echo mounted; grep CapEff /proc/self/status"),
              testing::AllOf(HasSubstr("mounted"), Not(HasSubstr("0000000000000000"))));
}

TEST(WeakLauncher, WithTheHostsViewItsFilesAreFound) {
  const rig::TemporaryFolder canary;
  std::ofstream(canary.path() / "secret") << "CANARY";
  ASSERT_EQ(::chmod(canary.path().c_str(), 0755), 0);
  EXPECT_EQ(run_weakened(init::weaken_host_view, "cat " + (canary.path() / "secret").string()), "CANARY");
}

// The first fence is taken away: what still holds is the second.
class SecondFence : public testing::Test {
 protected:
  void SetUp() override {
    if (::syscall(444, nullptr, 0, 1) < 6) GTEST_SKIP() << "this kernel's Landlock is too old or not there";
  }
  // What the command says with the second fence, and without.
  std::pair<std::string, std::string> both(std::uint32_t weakenings, const std::string& script) {
    return {run_weakened(weakenings, script), run_weakened(weakenings | init::weaken_no_landlock, script)};
  }
};

TEST_F(SecondFence, WhatIsMountedIntoTheViewIsStillNotRead) {
  const auto [held, open] = both(init::weaken_host_view, "head -c 5 /mnt/etc/passwd 2>&1");
  EXPECT_THAT(held, HasSubstr("Permission denied"));
  EXPECT_EQ(open, "root:");
}

TEST_F(SecondFence, WithCapabilitiesAndWithoutSeccompTheViewIsStillFixed) {
  const auto [held, open] = both(init::weaken_keep_capabilities | init::weaken_no_seccomp,
                                 "mount -t tmpfs x /mnt 2>/dev/null && echo mounted; touch /mnt/x 2>/dev/null && "
                                 "echo written; echo end");
  EXPECT_EQ(held, "end\n");
  EXPECT_EQ(open, "mounted\nwritten\nend\n");
}

TEST_F(SecondFence, InitIsOutOfReachOfSignals) {
  const auto [held, open] = both(init::weaken_keep_capabilities, "kill -0 1 2>/dev/null && echo reached; echo end");
  EXPECT_EQ(held, "end\n");
  EXPECT_EQ(open, "reached\nend\n");
}

TEST(WeakLauncher, WithTheHostsNetworkItsInterfacesAreSeen) {
  const std::string inode = std::filesystem::read_symlink("/proc/self/ns/net").string();
  EXPECT_EQ(run_weakened(init::weaken_host_network, "readlink /proc/self/ns/net"), inode + "\n");
}

TEST(WeakLauncher, WithTheHostsProcessesTheyAreSeen) {
  EXPECT_THAT(run_weakened(init::weaken_host_processes, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
              HasSubstr("sandbox_test"));
}

TEST(WeakLauncher, ALeakedDescriptorIsSeen) {
  EXPECT_THAT(run_weakened(init::weaken_leak_descriptor, "ls -l /proc/self/fd"), HasSubstr("socket:"));
}

}  // namespace
}  // namespace agentrouter::sandbox
