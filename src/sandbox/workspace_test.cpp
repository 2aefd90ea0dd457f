// The overlay workspace: what the agent may do with somebody else's folder, and what is kept of it.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "sandbox/idmap.h"
#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Workspace : public testing::Test {
 protected:
  Workspace() {
    rig.lower = folder.path();
    write("kept.txt", "kept\n");
    write("edited.txt", "old\n");
    write("deleted.txt", "x\n");
    std::filesystem::create_directory(folder.path() / "replaced");
    write("replaced/inside.txt", "x\n");
    write("script.sh", "#!/bin/sh\necho ran\n");
    ::chmod(folder.path().c_str(), 0755);
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder.path() / name) << text;
  }
  std::string read(const std::string& name) {
    return base::read_file(folder.path() / name).value_or("(none)");
  }
  // Content, modes, times and owners of the whole folder.
  std::string state() {
    std::string all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
      struct stat info{};
      ::lstat(entry.path().c_str(), &info);
      all += entry.path().string() + " " + std::to_string(info.st_mode) + " " + std::to_string(info.st_uid) +
             " " + std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec) + " " +
             (entry.is_regular_file() ? base::read_file(entry.path()).value_or("") : "") + "\n";
    }
    return all;
  }
  void launch() {
    const auto launched = rig.launch();
    ASSERT_TRUE(launched) << launched.error().message;
  }
  rig::TemporaryFolder folder;
  rig::Rig rig;
};

constexpr const char* change =
    "set -e; echo new > edited.txt; rm deleted.txt; rm -r replaced; mkdir replaced; echo y > "
    "replaced/other.txt; "
    "chmod +x script.sh; ./script.sh; echo a > added.txt; ln -s /etc/shadow link; mkfifo pipe; mv kept.txt "
    "moved.txt";

TEST_F(Workspace, ChangesGoToTheUpperLayerAndTheLowerStaysAsItWas) {
  const auto before = state();
  launch();
  const auto ran = rig.run(change);
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_EQ(
      rig.run("ls; cat edited.txt; ls replaced; stat -c %U edited.txt .").output,
      "added.txt\nedited.txt\nlink\nmoved.txt\npipe\nreplaced\nscript.sh\nnew\nother.txt\nagent\nagent\n");
  EXPECT_EQ(state(), before);
  const auto upper = rig.attempt_path() / "box/upper";
  struct stat info{};
  ASSERT_EQ(::lstat((upper / "deleted.txt").c_str(), &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode) && info.st_rdev == 0) << "a deletion is a character device 0:0";
  ASSERT_EQ(::lstat((upper / "edited.txt").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, rig.is_root() ? rig.given().agent() : ::getuid());
}

TEST_F(Workspace, TheCollectorSeesBothLayersAndNothingElse) {
  launch();
  ASSERT_EQ(rig.run(std::string(change) + "; mkdir -m 0 locked; chmod 0 added.txt; chmod 0 .").code, 0);
  ASSERT_EQ(rig.ask("kill_all"), "");
  const auto ran = rig.collect(
      "cd /proc/self/fd/4/0 && ls && cat added.txt && ls locked && stat -c %t:%T deleted.txt && cat "
      "replaced/other.txt && "
      "getfattr -n user.overlay.opaque --only-values replaced 2>/dev/null; cd /proc/self/fd/3 && ls && cat "
      "edited.txt; "
      "(echo x > /proc/self/fd/4/0/x) 2>&1; ls -a /proc/self/fd/4/.. | wc -l; ls -a /proc/self/fd/5/0; (echo x > "
      "/proc/self/fd/5/0/x) 2>&1; echo out >&6");
  EXPECT_EQ(ran.error, "");
  EXPECT_THAT(
      ran.output,
      StartsWith("added.txt\ndeleted.txt\nedited.txt\nkept.txt\nlink\nlocked\nmoved.txt\npipe\nreplaced\n"
                 "script.sh\na\n0:0\ny\n"));
  EXPECT_THAT(ran.output, HasSubstr("deleted.txt\nedited.txt\nkept.txt\nreplaced\nscript.sh\nold\n"));
  EXPECT_THAT(ran.output, HasSubstr("Read-only file system"));
  EXPECT_THAT(ran.output, HasSubstr("\nout\n"));
}

TEST_F(Workspace, TheRestorerHasTheAgentsRightsAndItsFilesOnly) {
  launch();
  const auto ran = rig.restore(
      "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t'; id -u; cat <&3; pwd; "
      "echo made > /workspace/made; for f in /proc/self/fd/*; do echo ${f##*/}; done | tr '\\n' ' '");
  EXPECT_EQ(ran.error, "");
  EXPECT_THAT(ran.output,
              StartsWith("CapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n1000\n"
                         "a file\n/\n0 1 2 3 4 "));
  EXPECT_EQ(rig.run("cat made; rm made").output, "made\n");
}

TEST_F(Workspace, TheCollectorHasOnlyTheCapabilitiesOfReading) {
  launch();
  const auto ran =
      rig.collect("grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t'; id -u");
  EXPECT_EQ(ran.output,
            std::string("CapEff:000000000000000e\nCapBnd:000000000000000e\nNoNewPrivs:1\nSeccomp:2\n") +
                (rig.is_root() ? "0\n" : "1000\n"));
}

TEST_F(Workspace, AFolderOfAnotherUserIsTheAgentsOwnInside) {
  if (!rig.is_root()) GTEST_SKIP() << "needs id-mapped mounts";
  ::chmod((folder.path() / "edited.txt").c_str(), 0600);
  write("foreign.txt", "f\n");
  ASSERT_EQ(::chown((folder.path() / "foreign.txt").c_str(), 4321, 4321), 0);
  launch();
  EXPECT_EQ(rig.run("echo more >> edited.txt && cat edited.txt; stat -c '%u %g' edited.txt foreign.txt; cat "
                    "foreign.txt; "
                    "(echo z >> foreign.txt) 2>/dev/null || echo refused; rm foreign.txt && echo removed")
                .output,
            "old\nmore\n1000 1000\n4321 4321\nf\nrefused\nremoved\n");
  EXPECT_EQ(read("foreign.txt"), "f\n");
}

TEST_F(Workspace, WithoutAFolderItIsEmptyAndWritable) {
  rig.lower.clear();
  launch();
  EXPECT_EQ(rig.run("ls -A; echo x > f && cat f; git init -q . && git status --short").output, "x\n?? f\n");
}

TEST_F(Workspace, SetuidFilesBelongToNobodyOfTheHost) {
  launch();
  ASSERT_EQ(rig.run("cp /bin/sh s; chmod 6755 s").code, 0);
  struct stat info{};
  ASSERT_EQ(::lstat((rig.attempt_path() / "box/upper/s").c_str(), &info), 0);
  EXPECT_NE(info.st_uid, 0u);
  EXPECT_EQ(info.st_uid, rig.is_root() ? rig.given().agent() : ::getuid());
}

TEST(ExchangeMap, ShiftsEveryIdAndExchangesOwnerAndAgent) {
  const UidRange range{1'000'000};
  EXPECT_EQ(exchange_map(0, range), "0 1001000 1\n1 1000001 999\n1000 1000000 1\n1001 1001001 64535\n");
  EXPECT_EQ(exchange_map(1000, range), "0 1000000 1000\n1000 1001000 64536\n");
  EXPECT_EQ(exchange_map(1001, range),
            "0 1000000 1000\n1000 1001001 1\n1001 1001000 1\n1002 1001002 64534\n");
  EXPECT_EQ(exchange_map(70'000, range), "0 1000000 1000\n1001 1001001 64535\n70000 1001000 1\n");
}

}  // namespace
}  // namespace agentrouter::sandbox
