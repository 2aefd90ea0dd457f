#include <gmock/gmock.h>

#include "workspace/checkpoint_test.h"

namespace agentrouter::workspace {
namespace {

using EntryKind = ArchiveEntry::Kind;
using testing::HasSubstr;

class HostileCheckpoint : public CheckpointTest {
 protected:
  HostileCheckpoint() {
    write_text(outside() / "secret", "untouched");
    write_text(base() / "file", "base");
    fs::create_directory_symlink(outside(), base() / "way-out");
  }
  void expect_refused(const std::vector<Planted>& all) {
    plant(all);
    EXPECT_THAT(restore(), HasSubstr("impossible entry")) << all.back().path;
    EXPECT_EQ("untouched", read_text(outside() / "secret"));
    EXPECT_EQ(1, std::distance(fs::directory_iterator(outside()), {}));
  }
};

TEST_F(HostileCheckpoint, PathsThatLeaveTheirFolderAreRefused) {
  for (const std::string path :
       {"../x", "/etc/x", "workspace/../x", "workspace/a/../../x", "workspace//x", "workspace/./x", "other/x",
        "workspacex", "", ".", "home/..", "workspace/.wh...", "workspace/.wh./x", "home/.wh.a/x",
        "workspace/.wh..wh.n.plain"}) {
    expect_refused({{EntryKind::file, path, {}, "x"}});
  }
}

TEST_F(HostileCheckpoint, NothingIsWrittenThroughALink) {
  const auto out = outside().string();
  expect_refused({{EntryKind::link, "workspace/l", out}, {EntryKind::file, "workspace/l/new", {}, "x"}});
  expect_refused({{EntryKind::file, "workspace/way-out/new", {}, "x"}});
  expect_refused({{EntryKind::file, "workspace/way-out/.wh.secret"}});
  expect_refused({{EntryKind::file, "workspace/way-out/.wh..wh..opq"}});
  expect_refused({{EntryKind::link, "home/l", out}, {EntryKind::folder, "home/l/new"}});
  expect_refused(
      {{EntryKind::link, "home/l", "/proc/self/root"}, {EntryKind::file, "home/l/tmp/x", {}, "x"}});
}

TEST_F(HostileCheckpoint, AFileTakesTheLinksPlaceInsteadOfItsTarget) {
  const auto secret = (outside() / "secret").string();
  plant({{EntryKind::link, "workspace/l", secret},
         {EntryKind::file, "workspace/l", {}, "changed"},
         {EntryKind::folder, "workspace/way-out"}});
  EXPECT_EQ("", restore());
  EXPECT_EQ("untouched", read_text(secret));
  EXPECT_EQ("changed", read_text(root / "upper/l"));
  EXPECT_TRUE(fs::is_directory(fs::symlink_status(root / "upper/way-out")));
}

TEST_F(HostileCheckpoint, AHardLinkReachesOnlyFilesOfTheCheckpoint) {
  const auto out = outside().string();
  expect_refused({{EntryKind::hard_link, "workspace/h", "../outside/secret"}});
  expect_refused({{EntryKind::hard_link, "workspace/h", out + "/secret"}});
  expect_refused({{EntryKind::hard_link, "workspace/h", "workspace/way-out/secret"}});
  expect_refused({{EntryKind::link, "home/l", out + "/secret"}, {EntryKind::hard_link, "home/h", "home/l"}});
  expect_refused({{EntryKind::hard_link, "workspace/h", "workspace/nowhere"}});
  expect_refused({{EntryKind::hard_link, "workspace/h", "workspace"}});
}

TEST_F(HostileCheckpoint, DevicesAreRefused) {
  ASSERT_EQ(0, shell("tar -C / -cf " + archive().string() + " --transform 's,^dev,workspace,' dev/null"));
  EXPECT_THAT(restore(), HasSubstr("impossible entry"));
}

TEST_F(HostileCheckpoint, AFolderThatIsReplacedWhileItIsFilledIsRefused) {
  expect_refused({{EntryKind::folder, "home/a"},
                  {EntryKind::link, "home/a", outside().string()},
                  {EntryKind::file, "home/a/x", {}, "x"}});
  expect_refused({{EntryKind::folder, "home/b"}, {EntryKind::link, "home/b", outside().string()}});
}

TEST_F(HostileCheckpoint, WhatIsDamagedOrNoArchiveIsAnError) {
  const auto refused = [this](std::string_view bytes) {
    write_text(archive(), bytes);
    return restore();
  };
  EXPECT_THAT(refused("this is no archive, not even a short one"), HasSubstr("cannot read the archive"));
  plant(
      {{EntryKind::folder, "workspace"}, {EntryKind::file, "workspace/a", {}, std::string(5000, 'a') + "b"}});
  const auto whole = read_text(archive());
  for (const std::size_t size : {whole.size() - 1, whole.size() / 2, std::size_t{10}}) {
    EXPECT_THAT(refused(std::string_view(whole).substr(0, size)), HasSubstr("cannot read the archive"))
        << size;
  }
  auto changed = whole;
  changed[whole.size() / 2] = static_cast<char>(changed[whole.size() / 2] ^ 0x55);
  EXPECT_NE("", refused(changed));
}

TEST(CheckpointReports, AreReadBackAndNothingElseIs) {
  const CheckpointReport report{7, std::string(64, 'a'), 3};
  const auto parsed = parse_checkpoint_report(to_json(report));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(7u, parsed->bytes);
  EXPECT_EQ(3u, parsed->entries);
  const auto failed = parse_checkpoint_report(to_json(base::Error{base::Code::exhausted, "too \xff much"}));
  ASSERT_FALSE(failed);
  EXPECT_EQ("too ? much", failed.error().message);
  EXPECT_FALSE(parse_checkpoint_report(""));
  EXPECT_FALSE(parse_checkpoint_report("{}"));
  EXPECT_TRUE(parse_restore_report("{}"));
  EXPECT_FALSE(parse_restore_report(""));
  EXPECT_FALSE(parse_restore_report(R"({"error":"x"})"));
}

}  // namespace
}  // namespace agentrouter::workspace
