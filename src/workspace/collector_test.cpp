#include "workspace/collector.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/hash.h"
#include "workspace/overlay_test.h"

namespace agentrouter::workspace {
namespace {

using Collector = OverlayTest;

TEST_F(Collector, NoChangeIsAnEmptyPatchAndAnEmptyIndex) {
  write_text(base() / "a", "a\n");
  commit_base();
  run_agent([] {});
  const auto report = collect_changes();
  EXPECT_EQ("", index());
  EXPECT_EQ(0u, report.patch.bytes);
  EXPECT_EQ(0u, report.index.files);
  EXPECT_EQ(base::Sha256::hex_of(""), report.patch.sha256);
}

TEST_F(Collector, ReportDescribesWhatWasWritten) {
  write_text(base() / "a", "a\n");
  commit_base();
  run_agent([] { write_text(fs::current_path() / "b", "b\n"); });
  const auto report = collect_changes();
  const auto index_text = read_text(root / "index.json");
  EXPECT_EQ(index_text.size(), report.index.bytes);
  EXPECT_EQ(base::Sha256::hex_of(index_text), report.index.sha256);
  EXPECT_EQ(patch().size(), report.patch.bytes);
  EXPECT_EQ(base::Sha256::hex_of(patch()), report.patch.sha256);
  const auto again = parse_report(to_json(report));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json(report), to_json(*again));
}

TEST_F(Collector, EditsAddsDeletesAndModesBecomeOnePatch) {
  write_text(base() / "edit", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n");
  write_text(base() / "dir/delete", "x\n");
  write_text(base() / "mode", "#!/bin/sh\n");
  write_text(base() / "both", "#!/bin/sh\n");
  commit_base();
  run_agent([] {
    write_text(fs::current_path() / "edit", "0\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\nlast");
    fs::remove("dir/delete");
    write_text(fs::current_path() / "dir/added", "new\n");
    ::chmod("mode", 0755);
    write_text(fs::current_path() / "both", "#!/bin/bash\n");
    ::chmod("both", 0755);
  });
  expect_faithful();
  EXPECT_EQ(" M both\n?? dir/added\n D dir/delete\n M edit\n M mode\n", index());
}

TEST_F(Collector, RenameIsADeletionAndAnAddition) {
  write_text(base() / "src/a.txt", "same\n");
  commit_base();
  run_agent([] { fs::rename("src/a.txt", "src/b.txt"); });
  expect_faithful();
  EXPECT_EQ(" D src/a.txt\n?? src/b.txt\n", index());
}

TEST_F(Collector, RenamedFolderIsReportedFileByFile) {
  write_text(base() / "old/one", "1\n");
  write_text(base() / "old/deep/two", "2\n");
  commit_base();
  run_agent([] { ASSERT_EQ(0, shell("mv old new")); });
  expect_faithful();
  EXPECT_EQ("?? new/deep/two\n?? new/one\n D old/deep/two\n D old/one\n", index());
}

TEST_F(Collector, TypeChangesBetweenFileLinkAndFolder) {
  write_text(base() / "file-to-link", "text\n");
  fs::create_symlink("target", base() / "link-to-file");
  write_text(base() / "file-to-folder", "text\n");
  write_text(base() / "folder-to-file/inner", "text\n");
  write_text(base() / "folder-to-link/inner", "text\n");
  fs::create_symlink("one", base() / "link");
  fs::create_symlink("gone", base() / "link-gone");
  commit_base();
  run_agent([] {
    fs::remove("file-to-link");
    fs::create_symlink("/etc/shadow", "file-to-link");
    fs::remove("link-to-file");
    write_text(fs::current_path() / "link-to-file", "now text\n");
    fs::remove("file-to-folder");
    write_text(fs::current_path() / "file-to-folder/x", "x\n");
    fs::remove_all("folder-to-file");
    write_text(fs::current_path() / "folder-to-file", "file\n");
    fs::remove_all("folder-to-link");
    fs::create_symlink("..", "folder-to-link");
    fs::remove("link");
    fs::create_symlink("two", "link");
    fs::remove("link-gone");
  });
  expect_faithful();
  EXPECT_EQ(agents_status().size(), index().size());
  EXPECT_NE(std::string::npos, index().find(" T file-to-link\n"));
  EXPECT_NE(std::string::npos, index().find(" T link-to-file\n"));
  EXPECT_NE(std::string::npos, index().find(" M link\n"));
  EXPECT_EQ(std::string::npos, patch().find("root:"));
}

TEST_F(Collector, BinariesGoThereAndBack) {
  const std::string bytes("\0\1\2\xff\n\0", 6);
  write_text(base() / "changed.bin", bytes + "old");
  write_text(base() / "deleted.bin", bytes);
  write_text(base() / "becomes-text", bytes);
  commit_base();
  run_agent([&] {
    std::string large;
    for (int i = 0; i < 100'000; ++i) large += static_cast<char>(i * 7919 >> 3);
    write_text(fs::current_path() / "changed.bin", bytes + "new" + large);
    write_text(fs::current_path() / "added.bin", large);
    write_text(fs::current_path() / "becomes-text", "text\n");
    fs::remove("deleted.bin");
  });
  expect_faithful();
  EXPECT_EQ(0, shell("cd " + (root / "clone").string() + " && " + git() + "apply -R --index " +
                     patch_path().string() + " && " + git() + "diff --quiet HEAD"));
}

TEST_F(Collector, LineEndsAndMissingNewlinesStay) {
  write_text(base() / "crlf", "a\r\nb\r\nc\r\n");
  write_text(base() / "no-newline", "a\nb");
  write_text(base() / "gets-newline", "a\nb");
  write_text(base() / "loses-newline", "a\nb\n");
  write_text(base() / "lone-cr", "a\rb\rc");
  write_text(base() / "emptied", "a\n");
  write_text(base() / "was-empty", "");
  commit_base();
  run_agent([] {
    const auto here = fs::current_path();
    write_text(here / "crlf", "a\r\nB\r\nc\n");
    write_text(here / "no-newline", "A\nb");
    write_text(here / "gets-newline", "a\nb\n");
    write_text(here / "loses-newline", "a\nb");
    write_text(here / "lone-cr", "a\rB\rc");
    write_text(here / "emptied", "");
    write_text(here / "was-empty", "no end");
    write_text(here / "new-empty", "");
    write_text(here / "new-empty-executable", "");
    ::chmod("new-empty-executable", 0755);
    write_text(here / "blank lines", "\n\n\n");
  });
  expect_faithful();
}

TEST_F(Collector, AnyNameSurvivesThePatch) {
  for (const auto* name :
       {"sp ace", "quo\"te", "back\\slash", "tab\there", "new\nline", "bad\xff\xfeutf", "ümlaut", "trailing ",
        " leading", "a b/c d", "-dash", "\x01\x7f", "#hash", "b/a/b", "ends with a/x"}) {
    write_text(base() / (std::string("t/") + name), "old\n");
    write_text(base() / (std::string("m/") + name), "old\n");
    write_text(base() / (std::string("d/") + name), "old\n");
  }
  commit_base();
  run_agent([] {
    for (const auto& entry : fs::recursive_directory_iterator("t")) {
      if (entry.is_regular_file()) append_text(entry.path(), "new\n");
    }
    for (const auto& entry : fs::recursive_directory_iterator("m")) {
      if (entry.is_regular_file()) ::chmod(entry.path().c_str(), 0755);
    }
    fs::remove_all("d");
    for (const auto* name : {"n\xe9w", "new sp ace", "n\"ew", "n\new"})
      write_text(fs::current_path() / name, "");
  });
  expect_faithful();
}

TEST_F(Collector, NamesThatAreNoUtf8AreEscapedInTheIndex) {
  commit_base();
  run_agent([] {
    write_text(fs::current_path() / "a\\b\xff\xc3\xbc", "x");
    write_text(fs::current_path() / "plain\\\xc3\xbc", "x");
  });
  (void)collect_changes();
  const auto document = index_document();
  const auto& files = document.at("files").as_array();
  ASSERT_EQ(2u, files.size());
  EXPECT_EQ("a\\x5cb\\xff\xc3\xbc", files[0].at("path").as_string());
  EXPECT_EQ("escaped", files[0].at("encoding").as_string());
  EXPECT_EQ("plain\\\xc3\xbc", files[1].at("path").as_string());
  EXPECT_FALSE(files[1].as_object().contains("encoding"));
}

TEST_F(Collector, IgnoredFilesAreLeftOutUnlessTracked) {
  write_text(base() / ".gitignore", "build/\n*.log\n!keep.log\n/only-root\n");
  write_text(base() / "sub/.gitignore", "local\n!*.log\n");
  write_text(base() / "tracked.log", "1\n");
  write_text(base() / "build/tracked", "1\n");
  write_text(base() / "build/untracked", "1\n");
  commit_base();
  ASSERT_EQ(0, shell("cd " + base().string() + " && " + git() + "add -f tracked.log build/tracked && " +
                     git() + "commit -q -m tracked"));
  write_text(base() / ".git/info/exclude", "secret\n");
  run_agent([] {
    const auto here = fs::current_path();
    for (const auto* name : {"a.log", "keep.log", "sub/b.log", "sub/local", "only-root", "sub/only-root",
                             "secret", "sub/secret", "build/new", "build/deep/new"}) {
      write_text(here / name, "new\n");
    }
    append_text("tracked.log", "2\n");
    append_text("build/tracked", "2\n");
    append_text("build/untracked", "2\n");
  });
  expect_faithful();
  EXPECT_EQ(" M build/tracked\n?? keep.log\n?? sub/b.log\n?? sub/only-root\n M tracked.log\n", index());
}

TEST_F(Collector, IgnoreRulesThatTheAgentWroteCountForNewFilesOnly) {
  write_text(base() / "known", "1\n");
  commit_base();
  run_agent([] {
    const auto here = fs::current_path();
    write_text(here / ".gitignore", "known\nnew\n");
    write_text(here / "known", "2\n");
    write_text(here / "new", "2\n");
    write_text(here / "other", "2\n");
  });
  expect_faithful();
  EXPECT_EQ("?? .gitignore\n M known\n?? other\n", index());
}

TEST_F(Collector, DeletedIgnoreFileNoLongerHidesButItsOldFilesMayGoSilently) {
  write_text(base() / ".gitignore", "*.o\n");
  write_text(base() / "sub/.gitignore", "*.tmp\n");
  write_text(base() / "sub/code", "1\n");
  commit_base();
  write_text(base() / "sub/x.tmp", "untracked\n");
  write_text(base() / "y.o", "untracked\n");
  run_agent([] {
    fs::remove(".gitignore");
    fs::remove("y.o");
    fs::remove_all("sub");
    write_text(fs::current_path() / "z.o", "new\n");
    write_text(fs::current_path() / "sub/w.tmp", "new\n");
  });
  expect_faithful();
  EXPECT_EQ(" D .gitignore\n D sub/.gitignore\n D sub/code\n?? sub/w.tmp\n?? z.o\n", index());
}

TEST_F(Collector, WithoutARepositoryTheBaseCountsAsTracked) {
  write_text(base() / ".gitignore", "*.log\n");
  write_text(base() / "old.log", "1\n");
  run_agent([] {
    append_text("old.log", "2\n");
    write_text(fs::current_path() / "new.log", "1\n");
    write_text(fs::current_path() / "new.txt", "1\n");
  });
  (void)collect_changes();
  EXPECT_EQ("?? new.txt\n M old.log\n", index());
}

TEST_F(Collector, AgentsOwnCommitsHideNothing) {
  write_text(base() / "a", "1\n");
  commit_base();
  run_agent([] {
    append_text("a", "2\n");
    write_text(fs::current_path() / "b", "1\n");
    ASSERT_EQ(0, shell(git() + "add -A && " + git() + "commit -q -m agent"));
  });
  expect_faithful();
  EXPECT_EQ(" M a\n?? b\n", index());
  EXPECT_EQ(std::string::npos, patch().find(".git"));
}

TEST_F(Collector, TouchedFilesAreNoChange) {
  write_text(base() / "touched", "1\n");
  write_text(base() / "private", "1\n");
  write_text(base() / "rewritten", "1\n");
  fs::create_symlink("x", base() / "link");
  commit_base();
  run_agent([] {
    (void)::utimensat(AT_FDCWD, "touched", nullptr, 0);
    ::chmod("private", 0600);
    write_text(fs::current_path() / "rewritten", "1\n");
    fs::remove("link");
    fs::create_symlink("x", "link");
  });
  (void)collect_changes();
  EXPECT_EQ("", index());
}

TEST_F(Collector, RecreatedFolderIsComparedFileByFile) {
  write_text(base() / "d/same", "1\n");
  write_text(base() / "d/changed", "1\n");
  write_text(base() / "d/gone", "1\n");
  write_text(base() / "d/sub/same", "1\n");
  write_text(base() / "d/sub/gone", "1\n");
  commit_base();
  run_agent([] {
    fs::remove_all("d");
    write_text(fs::current_path() / "d/same", "1\n");
    write_text(fs::current_path() / "d/changed", "2\n");
    write_text(fs::current_path() / "d/sub/same", "1\n");
    write_text(fs::current_path() / "d/sub/new", "1\n");
  });
  expect_faithful();
  EXPECT_EQ(" M d/changed\n D d/gone\n D d/sub/gone\n?? d/sub/new\n", index());
}

TEST_F(Collector, SpecialFilesAreSkippedAndNeverBlock) {
  write_text(base() / "was-file", "1\n");
  commit_base();
  run_agent([] {
    ASSERT_EQ(0, ::mkfifo("pipe", 0600));
    fs::remove("was-file");
    ASSERT_EQ(0, ::mkfifo("was-file", 0600));
    const base::Fd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    const sockaddr_un address{AF_UNIX, "socket"};
    ASSERT_EQ(0, ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address));
    ::_exit(0);  // git does not take them
  });
  const auto report = collect_changes();
  EXPECT_EQ(" D was-file\n", index());
  EXPECT_FALSE(report.index.truncated);
}

TEST_F(Collector, UpperLayerAloneIsAllNew) {
  run_agent([] {
    write_text(fs::current_path() / "a", "1\n");
    write_text(fs::current_path() / "d/b", "1\n");
  });
  const base::Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const base::Fd index_file(::open((root / "index.json").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const base::Fd patch_file(::open(patch_path().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(collect({null.get(), stack(), index_file.get(), patch_file.get()}));
  EXPECT_EQ("?? a\n?? d/b\n", index());
}

}  // namespace
}  // namespace agentrouter::workspace
