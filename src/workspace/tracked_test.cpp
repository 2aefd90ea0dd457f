#include "workspace/tracked.h"

#include "workspace/overlay_test.h"

namespace agentrouter::workspace {
namespace {

class TrackedPathsOfGit : public OverlayTest {
 protected:
  base::Result<TrackedPaths> parse_after(const std::string& commands) {
    for (const auto* name : {"a", "dir/b", "dir/deep/c", "dir-x", "z\xff",
                             "long/"
                             "0123456789012345678901234567890123456789"}) {
      write_text(base() / name, "x");
    }
    commit_base();
    EXPECT_EQ(0, shell("cd " + base().string() + " && " + commands));
    index = read_text(base() / ".git/index");
    return TrackedPaths::parse(index);
  }
  void expect_all(const TrackedPaths& tracked) {
    for (const auto* name : {"a", "dir/b", "dir/deep/c", "dir-x", "z\xff"})
      EXPECT_TRUE(tracked.contains(name)) << name;
    EXPECT_FALSE(tracked.contains("dir"));
    EXPECT_FALSE(tracked.contains("b"));
    EXPECT_TRUE(tracked.has_below("dir/"));
    EXPECT_TRUE(tracked.has_below("dir/deep/"));
    EXPECT_FALSE(tracked.has_below("di/"));
    EXPECT_FALSE(tracked.has_below("zz/"));
  }
  std::string index;
};

TEST_F(TrackedPathsOfGit, Version2) {
  const auto tracked = parse_after(git() + "update-index --index-version 2");
  ASSERT_TRUE(tracked);
  EXPECT_EQ(6u, tracked->size());
  expect_all(*tracked);
}

TEST_F(TrackedPathsOfGit, Version3WithExtendedFlags) {
  const auto tracked = parse_after("echo x > later && " + git() + "add -N later && " + git() +
                                   "update-index --skip-worktree a");
  ASSERT_TRUE(tracked);
  ASSERT_EQ('\3', index[7]);
  EXPECT_TRUE(tracked->contains("later"));
  expect_all(*tracked);
}

TEST_F(TrackedPathsOfGit, Version4SharesPrefixes) {
  const auto tracked = parse_after(git() + "update-index --index-version 4");
  ASSERT_TRUE(tracked);
  ASSERT_EQ('\4', index[7]);
  expect_all(*tracked);
}

TEST_F(TrackedPathsOfGit, FilesBelowASubmoduleCountAsTracked) {
  const auto tracked =
      parse_after(git() + "update-index --add --cacheinfo 160000,$(" + git() + "rev-parse HEAD),mod");
  ASSERT_TRUE(tracked);
  EXPECT_TRUE(tracked->contains("mod/any/file"));
  EXPECT_TRUE(tracked->has_below("mod/any/"));
  EXPECT_FALSE(tracked->contains("module"));
}

TEST_F(TrackedPathsOfGit, SplitIndexIsRefused) {
  const auto tracked = parse_after(git() + "update-index --split-index");
  ASSERT_FALSE(tracked);
  EXPECT_EQ(base::Code::unsupported, tracked.error().code);
}

TEST_F(TrackedPathsOfGit, EveryCutAndEveryBrokenByteIsSurvived) {
  for (const auto* version : {"2", "4"}) {
    (void)parse_after(git() + "update-index --index-version " + version);
    for (std::size_t size = 0; size < index.size(); ++size) {
      const auto cut = TrackedPaths::parse(std::string_view(index).substr(0, size));
      if (cut) {
        EXPECT_LE(cut->size(), 6u);
      }
    }
    for (std::size_t at = 0; at < index.size(); ++at) {
      auto broken = index;
      broken[at] = static_cast<char>(~broken[at]);
      (void)TrackedPaths::parse(broken);
    }
    fs::remove_all(base());
  }
}

TEST(TrackedPaths, OtherFilesAreRefused) {
  EXPECT_FALSE(TrackedPaths::parse(""));
  EXPECT_FALSE(TrackedPaths::parse(std::string(100, 'x')));
  EXPECT_FALSE(TrackedPaths::parse(std::string("DIRC\0\0\0\7\0\0\0\0", 12) + std::string(20, '\0')));
  EXPECT_FALSE(TrackedPaths::parse(std::string("DIRC\0\0\0\2\xff\xff\xff\xff", 12) + std::string(20, '\0')));
}

}  // namespace
}  // namespace agentrouter::workspace
