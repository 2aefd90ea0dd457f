#include "workspace/checkpoint_test.h"

#include <gmock/gmock.h>

#include "workspace/entry_name.h"

namespace agentrouter::workspace {
namespace {

using testing::HasSubstr;

TEST_F(CheckpointTest, GivesAnIdenticalTreeInAFreshOverlay) {
  ASSERT_EQ(0,
            shell("cd " + base().string() + R"sh( && mkdir -p keep gone-dir/deep to-file to-link opaque/sub ro
    for f in keep/a keep/b gone gone-dir/deep/x to-file/x to-link/x opaque/old opaque/sub/old to-dir
    do echo base > $f; done; echo base > ro/old; echo base > .wh.base; echo base > mode; chmod 555 ro)sh"));
  first_turn([] {
    ASSERT_EQ(0, shell(R"sh(set -e
      echo changed >> keep/a; rm gone; rm -r gone-dir; rm -r to-file; echo f > to-file
      rm -r to-link; ln -s keep to-link; rm to-dir; mkdir -p to-dir/in; echo d > to-dir/in/d
      rm -r opaque; mkdir opaque; echo new > opaque/new; chmod 755 ro; echo n > ro/new; chmod 555 ro
      rm .wh.base; echo real > .wh.real; mkdir .wh.dir; echo in > .wh.dir/.wh..wh..opq; echo q > .wh.n.x
      chmod 751 mode; mkdir -p .git/objects empty sticky; echo ref > .git/HEAD; chmod 3775 sticky
      printf 'x' > "$(printf 'not-utf8-\377\376')"; printf 'x' > "$(printf 'line\nbreak|')"; echo s > ' space '
      n=$(printf 'n%.0s' $(seq 255)); echo l > "$n"; p=$(printf 'dir-of-forty-characters-in-its-name-0001/%.0s' 1 2 3 4 5 6 7 8)
      mkdir -p "$p"; echo p > "${p}file"; ln -s /etc/passwd absolute; ln -s nowhere/at/all dangling
      echo h > hard1; ln hard1 hard2; mkdir zz; ln hard1 zz/hard3; echo umlaut > ü
      head -c 3000000 /dev/urandom > big; : > zero; echo secret > unreadable; chmod 000 unreadable
      touch -d '2001-02-03 04:05:06.123456789' big empty mode opaque zz; touch -h -d '1999-01-01' dangling
      touch -d '1985-10-26 01:21:00' . )sh"));
  });
  write_text(home() / ".codex/sessions/2026/rollout.jsonl", "{}\n");
  ASSERT_EQ(0, shell("cd " + home().string() + " && chmod 700 .codex && touch -d 2002-02-02 .codex"));
  const auto first_home = describe(home().string());
  const auto report = checkpoint();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(fs::file_size(archive()), report->bytes);
  EXPECT_EQ(base::Sha256::hex_of(read_text(archive())), report->sha256);
  start_afresh();
  EXPECT_EQ("", restore());
  EXPECT_EQ(read_text(root / "before"), read_text(root / "after"));
  EXPECT_EQ(first_home, describe(home().string()));
}

TEST_F(CheckpointTest, ASecondCheckpointOfARestoredTreeGivesTheSameTreeAgain) {
  write_text(base() / "folder/old", "old");
  first_turn([] { ASSERT_EQ(0, shell("rm -r folder; mkdir folder; echo new > folder/new; echo x > y")); });
  for (int turn = 0; turn < 2; ++turn) {
    ASSERT_TRUE(checkpoint());
    start_afresh();
    EXPECT_EQ("", restore());
    EXPECT_EQ(read_text(root / "before"), read_text(root / "after"));
    ASSERT_EQ(0, shell("cd " + root.string() + " && rm -rf first-upper first-work first-home"));
  }
}

TEST_F(CheckpointTest, EqualLayersGiveEqualBytes) {
  first_turn([] { write_text("a/b", "1"); });
  const auto first = checkpoint();
  const auto second = checkpoint();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->sha256, second->sha256);
}

TEST_F(CheckpointTest, UnchangedTreesCostTwoEntries) {
  write_text(base() / "a", "1");
  first_turn([] {});
  const auto report = checkpoint();
  ASSERT_TRUE(report);
  EXPECT_EQ(2u, report->entries);
  EXPECT_LT(report->bytes, 512u);
}

TEST_F(CheckpointTest, PipesAndSocketsAreLeftOutAndHideNothingNew) {
  write_text(base() / "was-file", "base");
  first_turn([] {
    ASSERT_EQ(0, shell("mkfifo pipe; rm was-file; mkfifo was-file; echo x > file; python3 -c \"import socket;"
                       "socket.socket(socket.AF_UNIX).bind('socket')\""));
  });
  ASSERT_TRUE(checkpoint());
  start_afresh();
  EXPECT_EQ("", restore({}, [this] { (void)shell("ls -A > " + (root / "names").string()); }));
  EXPECT_EQ("file\n", read_text(root / "names"));
}

TEST_F(CheckpointTest, LeavesOutWhatTheNextTurnMakesByItself) {
  write_text(home() / ".codex/config.toml", "fixed");
  write_text(home() / ".codex/keep", "kept");
  write_text(home() / ".cache/pip/x", "again");
  ASSERT_TRUE(checkpoint({}, {".codex/config.toml", ".cache"}));
  start_afresh();
  EXPECT_EQ("", restore());
  EXPECT_EQ("kept", read_text(home() / ".codex/keep"));
  EXPECT_FALSE(fs::exists(home() / ".codex/config.toml"));
  EXPECT_FALSE(fs::exists(home() / ".cache"));
}

TEST_F(CheckpointTest, LimitsOfWritingAreErrors) {
  first_turn([] { ASSERT_EQ(0, shell("mkdir -p a/b/c; head -c 20000 /dev/urandom > one; echo 2 > two")); });
  const auto message = [this](const CheckpointLimits& limits) {
    const auto report = checkpoint(limits);
    return report ? std::string("none") : report.error().message;
  };
  EXPECT_EQ("none", message({}));
  EXPECT_EQ("there are too many files", message({.entries = 4}));
  EXPECT_EQ("the files are too large", message({.bytes = 19'999}));
  EXPECT_THAT(message({.bytes = 20'010}), HasSubstr("over its limit"));  // what does not compress has a frame
  EXPECT_EQ("the folders are too deep", message({.depth = 2}));
  EXPECT_EQ("it takes too long", message({.wall_time = std::chrono::milliseconds(0)}));
}

TEST_F(CheckpointTest, LimitsOfRestoringAreErrors) {
  first_turn([] { ASSERT_EQ(0, shell("mkdir -p a/b/c; head -c 20000 /dev/urandom > one; echo 2 > two")); });
  ASSERT_TRUE(checkpoint());
  start_afresh();
  EXPECT_EQ("the checkpoint has too many files", restore({.entries = 4}));
  EXPECT_EQ("the checkpoint's files are too large", restore({.bytes = 19'999}));
  EXPECT_EQ("the checkpoint's folders are too deep", restore({.depth = 1}));
  EXPECT_EQ("restoring the checkpoint takes too long", restore({.wall_time = std::chrono::milliseconds(0)}));
}

TEST_F(CheckpointTest, AReadOnlyWorkspaceKeepsOnlyTheHome) {
  write_text(home() / "note", "kept");
  plant({{ArchiveEntry::Kind::folder, "workspace"},
         {ArchiveEntry::Kind::file, "workspace/new", {}, "x"},
         {ArchiveEntry::Kind::file, "home/note", {}, "kept"}});
  start_afresh();
  run_agent([this] {
    ASSERT_EQ(0, ::mount(nullptr, (root / "merged").c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr));
    const base::Fd in(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
    const base::Fd merged(::open((root / "merged").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const base::Fd home_fd(::open(home().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto restored = restore_checkpoint({in.get(), merged.get(), home_fd.get()});
    write_text(root / "said", restored ? "restored" : restored.error().message);
  });
  EXPECT_EQ("restored", read_text(root / "said"));
  EXPECT_EQ("kept", read_text(home() / "note"));
}

TEST(EntryName, EveryNameComesBackAsItWas) {
  for (const std::string name :
       {"a", ".wh.a", ".wh..wh..opq", ".wh..wh.n.x", ".wh.", ".w", "\xff", ".wh..opq"}) {
    const auto present = decode_name(encode_name(name));
    const auto deleted = decode_name(encode_deletion(name));
    ASSERT_TRUE(present && deleted) << name;
    EXPECT_EQ(name, present->name);
    EXPECT_EQ(DecodedName::Kind::present, present->kind);
    EXPECT_EQ(name, deleted->name);
    EXPECT_EQ(DecodedName::Kind::deleted, deleted->kind);
  }
}

TEST(EntryName, WhatNoEncoderWritesIsRefused) {
  for (const auto* text : {"", ".", "..", ".wh.", ".wh..", ".wh...", ".wh..wh.", ".wh..wh.x", ".wh..wh.n.x",
                           ".wh..wh.d.", "a/b"}) {
    EXPECT_FALSE(decode_name(text)) << text;
  }
}

TEST_F(CheckpointTest, WithoutAHomeOnlyTheWorkspaceIsRestored) {
  first_turn([&] {
    write_text("new", "file");
    write_text(home() / "memory", "remembered");
  });
  ASSERT_TRUE(checkpoint());
  start_afresh();
  run_agent([&] {
    const base::Fd in(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
    const base::Fd merged(::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto restored = restore_checkpoint({.archive = in.get(), .workspace = merged.get()});
    write_text(root / "said", restored ? "" : restored.error().message);
  });
  EXPECT_EQ("", read_text(root / "said"));
  EXPECT_EQ("file", read_text(root / "upper/new"));
  EXPECT_FALSE(fs::exists(home() / "memory"));
}

}  // namespace
}  // namespace agentrouter::workspace
