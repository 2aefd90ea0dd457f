#include <sys/resource.h>

#include "workspace/collector.h"
#include "workspace/overlay_test.h"

namespace agentrouter::workspace {
namespace {

using CollectorLimits = OverlayTest;

TEST_F(CollectorLimits, LargeFileIsListedAndNamedButNotShown) {
  write_text(base() / "small", "1\n");
  commit_base();
  run_agent([] {
    write_text(fs::current_path() / "big \"one\"", std::string(5000, 'x'));
    write_text(fs::current_path() / "small", "2\n");
  });
  CollectLimits limits;
  limits.file_bytes = 4096;
  const auto report = collect_changes(limits);
  EXPECT_EQ("?? big \"one\"\n M small\n", index());
  EXPECT_FALSE(report.index.truncated);
  EXPECT_TRUE(report.patch.truncated);
  EXPECT_EQ(0u, patch().find("# left out: \"big \\\"one\\\"\": larger than 4096 bytes\n"));
  ASSERT_EQ(0, shell(git() + "clone -q " + base().string() + " " + (root / "clone").string()));
  EXPECT_EQ(0, shell("cd " + (root / "clone").string() + " && " + git() + "apply " + patch_path().string() +
                     " && grep -q 2 small"));
}

TEST_F(CollectorLimits, LargeFilesOfTheBaseAreDeletedReplacedAndChangedInModeExactly) {
  const std::string large(20'000, 'x');
  for (const auto* name : {"deleted", "shrunk", "mode", "to-link", "untouched"})
    write_text(base() / name, large);
  commit_base();
  run_agent([] {
    fs::remove("deleted");
    write_text(fs::current_path() / "shrunk", "small\n");
    ::chmod("mode", 0755);
    fs::remove("to-link");
    fs::create_symlink("x", "to-link");
    (void)::utimensat(AT_FDCWD, "untouched", nullptr, 0);
  });
  CollectLimits limits;
  limits.file_bytes = 4096;
  const auto report = collect_changes(limits);
  EXPECT_EQ(" D deleted\n M mode\n M shrunk\n T to-link\n", index());
  EXPECT_FALSE(report.patch.truncated);
  EXPECT_EQ(agents_tree(), tree_of_patched_clone());
}

TEST_F(CollectorLimits, SparseGiantIsNeverRead) {
  commit_base();
  run_agent([] {
    ASSERT_EQ(0, shell("truncate -s 8T giant"));
    ::_exit(0);  // git would read it
  });
  const auto report = collect_changes();
  EXPECT_EQ("?? giant\n", index());
  EXPECT_TRUE(report.patch.truncated);
  EXPECT_LT(report.patch.bytes, 200u);
}

TEST_F(CollectorLimits, PatchStopsAtItsSizeAndStillApplies) {
  commit_base();
  run_agent([] {
    for (int i = 0; i < 20; ++i) {
      std::string text;
      for (int line = 0; line < 200; ++line) text += std::to_string(i * line * 7919) + "\n";
      write_text(fs::current_path() / ("f" + std::to_string(i)), text);
    }
  });
  CollectLimits limits;
  limits.patch_bytes = 10'000;
  const auto report = collect_changes(limits);
  EXPECT_LE(report.patch.bytes, 10'000u);
  EXPECT_TRUE(report.patch.truncated);
  EXPECT_FALSE(report.index.truncated);
  EXPECT_EQ(20u, report.index.files);
  EXPECT_NE(std::string::npos, patch().find("the patch is full"));
  ASSERT_EQ(0,
            shell(git() + "clone -q " + base().string() + " " + (root / "clone").string() + " 2>/dev/null"));
  EXPECT_EQ(0, shell("cd " + (root / "clone").string() + " && " + git() + "apply " + patch_path().string()));
}

TEST_F(CollectorLimits, IndexStopsAtItsEntries) {
  commit_base();
  run_agent([] {
    for (int i = 0; i < 30; ++i) write_text(fs::current_path() / ("f" + std::to_string(i)), "x");
  });
  CollectLimits limits;
  limits.index_entries = 10;
  const auto report = collect_changes(limits);
  EXPECT_EQ(10u, report.index.files);
  EXPECT_TRUE(report.index.truncated);
  EXPECT_TRUE(index_document().at("truncated").as_bool());
}

TEST_F(CollectorLimits, WalkStopsAtItsEntries) {
  commit_base();
  run_agent([] {
    for (int i = 0; i < 30; ++i) write_text(fs::current_path() / ("f" + std::to_string(i)), "x");
  });
  CollectLimits limits;
  limits.walked_entries = 40;
  EXPECT_FALSE(collect_changes(limits).index.truncated);
  limits.walked_entries = 20;
  EXPECT_TRUE(collect_changes(limits).index.truncated);
}

TEST_F(CollectorLimits, WalkStopsAtItsTime) {
  commit_base();
  run_agent([] { write_text(fs::current_path() / "f", "x"); });
  CollectLimits limits;
  limits.wall_time = std::chrono::milliseconds(0);
  const auto report = collect_changes(limits);
  EXPECT_TRUE(report.index.truncated);
  EXPECT_TRUE(report.patch.truncated);
}

TEST_F(CollectorLimits, DeepTreeIsCutWithoutExhaustingAnything) {
  commit_base();
  run_agent([] {
    write_text(fs::current_path() / "zz", "found\n");
    for (int i = 0; i < 600; ++i) {
      ASSERT_EQ(0, ::mkdir("d", 0700));
      ASSERT_EQ(0, ::chdir("d"));
    }
    write_text("deep", "x");
    // git itself would not come back from there.
    ::_exit(0);
  });
  rlimit few{};
  ASSERT_EQ(0, ::getrlimit(RLIMIT_NOFILE, &few));
  const auto before = few;
  few.rlim_cur = 1024;
  ASSERT_EQ(0, ::setrlimit(RLIMIT_NOFILE, &few));
  const auto report = collect_changes();
  ASSERT_EQ(0, ::setrlimit(RLIMIT_NOFILE, &before));
  EXPECT_TRUE(report.index.truncated);
  EXPECT_EQ("?? zz\n", index());
  EXPECT_EQ(0, shell("rm -rf " + (root / "upper/d").string()));
}

TEST_F(CollectorLimits, NamesThatGitRefusesDoNotSpoilThePatch) {
  write_text(base() / "a", "1\n");
  run_agent([] {
    const auto here = fs::current_path();
    append_text("a", "2\n");
    write_text(here / ".GIT/config", "x");
    write_text(here / "git~1", "x");
    write_text(here / ".git ", "x");
    write_text(here / ".github/workflow", "x\n");
    fs::create_symlink("x", ".gitmodules");
  });
  const auto report = collect_changes();
  EXPECT_TRUE(report.patch.truncated);
  EXPECT_EQ("?? .git \n?? .github/workflow\n?? .gitmodules\n M a\n?? git~1\n", index());
  EXPECT_EQ(0, shell("cd " + base().string() + " && " + git() + "init -q . && " + git() + "add a && " +
                     git() + "apply --index " + patch_path().string() + " && test -f .github/workflow"));
}

TEST_F(CollectorLimits, HostileRepositoryRunsNothing) {
  write_text(base() / "a", "1\n");
  commit_base();
  const auto canary = root / "canary";
  run_agent([&] {
    append_text(".git/config", "[core]\n\tfsmonitor = touch " + canary.string() +
                                   "\n[filter \"x\"]\n\tclean = touch " + canary.string() +
                                   "\n[diff]\n\texternal = touch " + canary.string() + "\n");
    write_text(fs::current_path() / ".gitattributes", "* filter=x diff=x\n");
    append_text("a", "2\n");
  });
  (void)collect_changes();
  EXPECT_EQ("?? .gitattributes\n M a\n", index());
  EXPECT_FALSE(fs::exists(canary));
}

TEST_F(CollectorLimits, BrokenGitIndexHidesNothing) {
  write_text(base() / ".gitignore", "*.log\n");
  write_text(base() / "a.log", "1\n");
  fs::create_directories(base() / ".git");
  write_text(base() / ".git/index", "DIRC garbage");
  run_agent([] {
    append_text("a.log", "2\n");
    // No repository for git to judge.
    ::_exit(0);
  });
  (void)collect_changes();
  EXPECT_EQ(" M a.log\n", index());
}

TEST(CollectReport, OtherDocumentsAreRefused) {
  EXPECT_FALSE(parse_report(""));
  EXPECT_FALSE(parse_report("[]"));
  EXPECT_FALSE(parse_report("{\"index\":{\"bytes\":1}}"));
  EXPECT_FALSE(parse_report(
      "{\"index\":{\"bytes\":-1,\"sha256\":\"\",\"files\":0,\"truncated\":false},\"patch\":{}}"));
}

}  // namespace
}  // namespace agentrouter::workspace
