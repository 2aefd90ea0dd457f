// What only a sandbox in an image can get wrong. What every sandbox must be is the rest of the room's suite, which
// CTest runs a second time with --driver=oci.

#include "sandbox/oci/guest.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "sandbox/clone.h"
#include "sandbox/oci/config.h"
#include "sandbox/oci/probe.h"
#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using testing::HasSubstr;
using testing::Not;

class Guest : public testing::Test {
 protected:
  Guest() {
    rig.plan = image_plan("/bin/sh");
    rig.image = rig::test_image();
  }
  // One that can be changed.
  std::filesystem::path copy_image() {
    const auto image = changed.path() / "rootfs";
    std::filesystem::copy(
        rig::test_image(), image,
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
    rig.image = image;
    return image;
  }
  void launch() {
    const auto launched = rig.launch();
    ASSERT_TRUE(launched) << launched.error().message;
  }
  const rig::TemporaryFolder changed;
  rig::Rig rig;
};

TEST_F(Guest, SeesTheImageReadOnlyAndNotTheHost) {
  launch();
  EXPECT_EQ(rig.run("cat /etc/image-mark; ls /usr/share; touch /usr/x /etc/x /opt/x 2>&1 | grep -c Read-only").output,
            "image\ngit-core\n3\n");
  EXPECT_EQ(rig.run("tail -n 2 /etc/passwd | head -n 1; grep -c 'of the image' /etc/passwd").output,
            "agent:x:1000:1000:agent:/home/agent:/bin/sh\n0\n");
  EXPECT_FALSE(std::filesystem::exists(rig.image / "workspace")) << "nothing is made in the image itself";
}

TEST_F(Guest, NothingInsideNamesTheImagesFolderOrTheBundle) {
  launch();
  const auto table = rig.run("cat /proc/self/mountinfo /proc/1/mountinfo /proc/self/cgroup; tr '\\0' ' ' < /proc/1/cmdline").output;
  EXPECT_THAT(table, HasSubstr("lowerdir=skeleton:image"));
  EXPECT_THAT(table, Not(HasSubstr(rig.image.parent_path())));
  EXPECT_THAT(table, Not(HasSubstr("bundle")));
  EXPECT_THAT(table, Not(HasSubstr("sources")));
  EXPECT_EQ(rig.run("ls -d /.init /sources 2>/dev/null").output, "");
}

TEST_F(Guest, LinksOfTheImageLeadNoMountAstray) {
  const auto hostile = copy_image();
  std::filesystem::remove_all(hostile / "etc");
  std::filesystem::remove_all(hostile / "tmp");
  for (const char* name : {"proc", "dev", "tmp", "workspace", "home", "etc", ".init", "opt"})
    std::filesystem::create_symlink("usr/lib", hostile / name);
  std::ofstream(hostile / "usr/lib/passwd") << "unchanged";
  rig.plan.binds.push_back({rig::test_image(), "/opt/agent/deep"});
  rig.plan.files.push_back({"/home/agent/.codex/config.toml", "x\n"});
  launch();
  EXPECT_EQ(rig.run("ls -d /proc/self/status; stat -c %F /proc /dev /tmp /workspace /home /etc; ls /opt/agent/deep/etc; "
                    "cat ~/.codex/config.toml; grep -c agent /etc/passwd; cat /usr/lib/passwd; "
                    "(echo 1 > /proc/sys/kernel/core_pattern) 2>/dev/null && echo OPEN; echo x > /dev/null && echo null")
                .output,
            "/proc/self/status\ndirectory\ndirectory\ndirectory\ndirectory\ndirectory\ndirectory\nimage-mark\npasswd\n"
            "x\n1\nunchangednull\n");
}

TEST_F(Guest, FoldersThatAreEmptiedShowNothingOfTheImage) {
  const auto image = copy_image();
  std::filesystem::create_directories(image / "etc/codex/rules");
  std::ofstream(image / "etc/codex/managed_config.toml") << "of the image";
  std::filesystem::create_symlink("/usr", image / "etc/claude-code");
  rig.plan.emptied = {"/etc/codex", "/etc/claude-code", "/srv/none"};
  launch();
  EXPECT_EQ(
      rig.run("ls -A /etc/codex /etc/claude-code /srv/none; touch /etc/codex/x 2>&1 | grep -c Read-only; "
              "cat /etc/image-mark")
          .output,
      "/etc/claude-code:\n\n/etc/codex:\n\n/srv/none:\n1\nimage\n");
  rig.plan.emptied = {"/etc/../proc"};
  EXPECT_EQ(rig.launch().error().code, base::Code::invalid);
  rig.plan.emptied = {"/a", "/b", "/c", "/d", "/e"};
  EXPECT_EQ(rig.launch().error().code, base::Code::invalid);
}

TEST_F(Guest, ProgramsOfOursPreloadNothingOfTheImage) {
  const auto image = copy_image();
  std::ofstream(image / "etc/ld.so.preload") << "/usr/lib/of-the-image.so\n";
  launch();
  EXPECT_EQ(rig.run("cat /etc/ld.so.preload; echo seen 2>&1").output, "seen\n");
  EXPECT_THAT(rig.collect("echo seen; cat /proc/self/maps").output,
              testing::AllOf(HasSubstr("seen"), Not(HasSubstr("of-the-image"))));
}

TEST_F(Guest, AnImageWithoutProgramsStillServesOurOwn) {
  const rig::TemporaryFolder empty;
  ASSERT_EQ(::chmod(empty.path().c_str(), 0755), 0);
  rig.image = empty.path();
  launch();
  EXPECT_THAT(rig.ask("exec /bin/sh"), HasSubstr("cannot start the program: No such file or directory"));
  EXPECT_THAT(rig.collect("echo seen").output, HasSubstr("seen")) << "our own programs need nothing of the image";
}

TEST_F(Guest, ALockOnTheImageLastsAsLongAsTheKeeper) {
  const rig::TemporaryFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  rig.image = folder.path();
  launch();
  const base::Fd remover(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(remover);
  EXPECT_NE(::flock(remover.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(errno, EWOULDBLOCK);
  rig.end_keeper();
  ASSERT_TRUE(release_whole(rig.the_launcher(), rig.ref(), Remove::all));
  EXPECT_EQ(::flock(remover.get(), LOCK_EX | LOCK_NB), 0);
}

TEST_F(Guest, CrunEndsWithTheSandbox) {
  launch();
  EXPECT_THAT(rig::processes_named("--cgroup-manager=disabled"), Not(testing::IsEmpty()));
  EXPECT_EQ(rig.ask("destroy").substr(0, 4), "gone");
  rig.end_keeper();
  ASSERT_TRUE(release_whole(rig.the_launcher(), rig.ref(), Remove::all));
  EXPECT_THAT(rig::processes_named("--cgroup-manager=disabled"), testing::IsEmpty());
}

TEST_F(Guest, TheEndOfCrunIsTheEndOfTheSandbox) {
  launch();
  ASSERT_EQ(rig.start("sleep " + rig::own_sleep(614)), "");
  const auto runtimes = rig::processes_named("--cgroup-manager=disabled");
  ASSERT_EQ(runtimes.size(), 1u);
  ::kill(runtimes.front(), SIGKILL);
  EXPECT_EQ(rig.ask("notice"), "gone");
  for (int i = 0; i < 2000 && !rig::processes_named(rig::own_sleep(614)).empty(); ++i) ::poll(nullptr, 0, 5);
  EXPECT_THAT(rig::processes_named(rig::own_sleep(614)), testing::IsEmpty());
}

TEST_F(Guest, AFolderThatNobodyElseMayEnterFailsWithItsStageAndLeavesNothing) {
  if (!rig.is_root()) GTEST_SKIP() << "a plain user's own folder is open to it";
  const rig::TemporaryFolder closed;
  rig.image = closed.path();
  const auto launched = rig.launch();
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("Permission denied"));
  EXPECT_THAT(rig::processes_named("--cgroup-manager=disabled"), testing::IsEmpty());
}

TEST_F(Guest, WhatCannotBeMountedFailsWithItsStage) {
  rig.plan.files.push_back({"/etc/passwd/below", "x"});
  const auto launched = rig.launch();
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("cannot make file etc/passwd/below: Not a directory"));
  EXPECT_EQ(launched.error().reason, "sandbox_unavailable");
  EXPECT_THAT(rig::processes_named("--cgroup-manager=disabled"), testing::IsEmpty());
}

TEST(ImageProbe, StartsASandboxInAnImageAndLeavesNothing) {
  const rig::TemporaryFolder scratch;
  const auto probe = probe_images(scratch.path());
  EXPECT_EQ(probe.found, Found::ok) << probe.detail;
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
  EXPECT_EQ(probe_images("/proc").found, Found::degraded);
}

TEST(ContainerConfig, ShowsNothingButTheSourcesAndMapsTheRangeWithoutTheKeeper) {
  const auto config = base::parse_json(container_config({.range = UidRange{1'048'576}, .sources = {}}));
  ASSERT_TRUE(config);
  const auto& linux_part = config->at("linux").as_object();
  EXPECT_EQ(base::to_text(linux_part.at("uidMappings")),
            R"([{"containerID":0,"hostID":1048576,"size":2000},{"containerID":2001,"hostID":1050577,"size":63535}])");
  EXPECT_EQ(config->at("mounts").as_array().size(), 2u);
  const auto user = base::parse_json(container_config({.range = {}, .sources = {"/data/a \"b\"", "/lower"}}));
  ASSERT_TRUE(user) << "paths are quoted";
  const auto& mounts = user->at("mounts").as_array();
  ASSERT_EQ(mounts.size(), 4u);
  EXPECT_EQ(mounts[2].at("source").as_string(), "/data/a \"b\"");
  EXPECT_EQ(base::to_text(mounts[2].at("options")), R"(["rbind","nosuid","nodev","rw"])");
  EXPECT_EQ(base::to_text(mounts[3].at("options")), R"(["rbind","nosuid","nodev","ro"])");
}

}  // namespace
}  // namespace agentrouter::sandbox
