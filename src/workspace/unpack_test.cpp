#include "workspace/unpack.h"

#include "workspace/archive.h"
#include "workspace/archive_test.h"
#include "workspace/tree_path.h"

namespace agentrouter::workspace {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Unpack : public ArchiveTest {
 protected:
  void expect_refused(const json::array& entries, const std::string& why,
                      const std::vector<std::string>& forms = {"tar", "zip"}) {
    for (const auto& form : forms) {
      make(form, entries);
      EXPECT_THAT(refusal(), AllOf(HasSubstr("archive_refused"), HasSubstr(why))) << form;
    }
  }
};

TEST_F(Unpack, EveryFormatGivesTheSameTree) {
  const json::array entries{folder("src", 0755),        file("src/a.sh", "echo\n", 0755),
                            file("./top", "t"),         file("deep/er/file", "d"),
                            link("src/link", "../top"), file("\xc3\xbc", "u")};
  for (const std::string form : {"tar", "tar.gz", "zip"}) {
    make(form, entries);
    const auto report = unpack_here();
    ASSERT_TRUE(report) << form << ": " << report.error().message;
    EXPECT_EQ(5u, report->files) << form;
    EXPECT_EQ(3u, report->folders) << form;
    EXPECT_EQ("echo\n", read_text(tree() / "src/a.sh")) << form;
    EXPECT_EQ("t", read_text(tree() / "src/link")) << form;
    EXPECT_EQ("d", read_text(tree() / "deep/er/file")) << form;
    EXPECT_EQ("u", read_text(tree() / "\xc3\xbc")) << form;
    struct stat info{};
    ASSERT_EQ(0, ::stat((tree() / "src/a.sh").c_str(), &info));
    EXPECT_EQ(0755u, info.st_mode & 07777) << form;
    EXPECT_EQ(1'000'000'000, info.st_mtime) << form;
  }
}

TEST_F(Unpack, TarInZstdAsCheckpointsAre) {
  const base::Fd out(::open(archive().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  Sink sink(out.get(), 1 << 20);
  ArchiveWriter writer(sink);
  ASSERT_TRUE(writer.begin({ArchiveEntry::Kind::file, "a/b", {}, 0600, {}, 3}));
  ASSERT_TRUE(writer.write("abc"));
  ASSERT_TRUE(writer.finish());
  ASSERT_TRUE(unpack_here());
  EXPECT_EQ("abc", read_text(tree() / "a/b"));
}

TEST_F(Unpack, HardLinksOfTheArchivesOwnFilesAreKept) {
  make("tar", {file("a/one", "1"), link("b/two", "a/one", "hard")});
  const auto report = unpack_here();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(2u, fs::hard_link_count(tree() / "b/two"));
}

TEST_F(Unpack, ALaterFileOfTheSameNameCounts) {
  make("tar", {file("a", "old"), file("a", "new")});
  const auto report = unpack_here();
  ASSERT_TRUE(report);
  EXPECT_EQ(1u, report->files);
  EXPECT_EQ("new", read_text(tree() / "a"));
}

TEST_F(Unpack, FoldersAndFilesStayWritableForTheirOwner) {
  make("tar", {folder("locked", 0), file("locked/in", "x", 0)});
  ASSERT_TRUE(unpack_here());
  struct stat info{};
  ASSERT_EQ(0, ::stat((tree() / "locked").c_str(), &info));
  EXPECT_EQ(0700u, info.st_mode & 07777);
  ASSERT_EQ(0, ::stat((tree() / "locked/in").c_str(), &info));
  EXPECT_EQ(0600u, info.st_mode & 07777);
}

TEST_F(Unpack, NothingUnderTheSameNameAsAnythingIsMadeOfDevicesPipesAndSockets) {
  expect_refused({special("device", "d")}, "device");
  expect_refused({special("fifo", "d")}, "device");
  expect_refused({special("socket", "d")}, "device", {"zip"});
}

TEST_F(Unpack, SetuidAndSetgidAreRefused) {
  expect_refused({file("s", "x", 04755)}, "setuid");
  expect_refused({file("s", "x", 02755)}, "setuid");
  expect_refused({folder("s", 02755)}, "setuid");
}

TEST_F(Unpack, PathsThatLeaveTheTreeAreRefused) {
  for (const std::string path : {"../outside/new", "a/../../outside/new", "a/..", ".."})
    expect_refused({file(path)}, "..");
  expect_refused({file((root / "outside/new").string())}, "absolute");
  expect_refused({file(".")}, "the tree itself", {"tar"});
}

TEST_F(Unpack, LinksThatLeadOutAreRefused) {
  const auto out = (root / "outside").string();
  for (const std::string& target :
       {out, std::string("../outside"), std::string("a/../../x"), std::string("/")})
    expect_refused({link("l", target)}, "leads out");
  expect_refused({link("a/b/l", "../../../x")}, "leads out");
}

TEST_F(Unpack, LinksThatLeadOutByWayOfOtherLinksAreRefused) {
  expect_refused({folder("s/t"), link("s/t/d", ".."), link("s/t/x", "d/../..")}, "leads out");
  // In the other order the first one dangles when it is made.
  expect_refused({folder("s/t"), link("s/t/x", "d/../.."), link("s/t/d", "..")}, "leads out");
}

TEST_F(Unpack, LinksThatStayInsideDangleOrTurnInCirclesAreFine) {
  make("tar",
       {link("a/up", "../b"), link("nowhere", "not/there"), link("circle", "circle"), link("dot", ".")});
  const auto report = unpack_here();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(4u, report->files);
}

TEST_F(Unpack, ARepositorysLinksAreKeptWhereverTheyLead) {
  make("tar", {link("l", "/etc/passwd"), link("m", "../../x")});
  const auto report = unpack_here({.links = LinkRule::any});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ("/etc/passwd", fs::read_symlink(tree() / "l").string());
}

TEST_F(Unpack, NothingIsWrittenThroughALink) {
  const auto out = (root / "outside").string();
  for (const auto rule : {LinkRule::inside, LinkRule::any}) {
    for (const std::string form : {"tar", "zip"}) {
      make(form, {folder("real"), link("l", rule == LinkRule::any ? out : "real"), file("l/new")});
      EXPECT_THAT(refusal({.links = rule}), HasSubstr("archive_refused")) << form;
      make(form, {link("l", rule == LinkRule::any ? out + "/secret" : "real"), file("l", "changed")});
      EXPECT_THAT(refusal({.links = rule}), HasSubstr("has this name already")) << form;
      make(form, {link("l", rule == LinkRule::any ? out : "real"), folder("l")});
      EXPECT_THAT(refusal({.links = rule}), HasSubstr("archive_refused")) << form;
    }
  }
  make("tar", {file("a"), file("a/b")});
  EXPECT_THAT(refusal(), HasSubstr("not a folder"));
  make("tar", {folder("a"), file("a")});
  EXPECT_THAT(refusal(), HasSubstr("has this name already"));
}

TEST_F(Unpack, AHardLinkReachesOnlyFilesOfTheArchive) {
  const auto secret = (root / "outside/secret").string();
  expect_refused({link("h", "../outside/secret", "hard")}, "..", {"tar"});
  expect_refused({link("h", secret, "hard")}, "absolute", {"tar"});
  expect_refused({link("h", "nowhere", "hard")}, "stands before it", {"tar"});
  expect_refused({folder("d"), link("h", "d", "hard")}, "stands before it", {"tar"});
  make("tar", {link("l", (root / "outside").string()), link("h", "l/secret", "hard")});
  EXPECT_THAT(refusal({.links = LinkRule::any}), HasSubstr("archive_refused"));
  make("tar", {link("l", secret), link("h", "l", "hard")});
  EXPECT_THAT(refusal({.links = LinkRule::any}), HasSubstr("archive_refused"));
}

TEST_F(Unpack, WhatIsNoArchiveOrDamagedIsUnreadable) {
  for (const std::string& text : {std::string(), std::string("this is no archive"), std::string("PK\3\4"),
                                  std::string("\x1f\x8b\x08 broken"), std::string(4096, 'x')}) {
    write_text(archive(), text);
    EXPECT_THAT(refusal(), HasSubstr("archive_unreadable")) << text.substr(0, 20);
  }
  for (const std::string form : {"tar", "tar.gz", "zip"}) {
    make(form, {file("a", std::string(100'000, 'a') + "b"), file("c")});
    const auto whole = read_text(archive());
    write_text(archive(), std::string_view(whole).substr(0, whole.size() / 2));
    EXPECT_THAT(refusal(), HasSubstr("archive_unreadable")) << form;
  }
  make("tar", {file("a")});
  ASSERT_EQ(0, shell("cd " + root.string() + " && gzip -c archive | gzip -c > twice && mv twice archive"));
  EXPECT_THAT(refusal(), HasSubstr("more than once"));
}

TEST_F(Unpack, EachLimitIsReachedAndTold) {
  make("tar", {file("a"), file("b"), file("c")});
  EXPECT_EQ("unpacked", refusal({.entries = 3}));
  EXPECT_THAT(refusal({.entries = 2}), AllOf(HasSubstr("archive_limit"), HasSubstr("too many")));
  make("tar", {file("a/b/c/d")});
  EXPECT_THAT(refusal({.entries = 3}), HasSubstr("too many files and folders"));
  EXPECT_EQ("unpacked", refusal({.depth = 4}));
  EXPECT_THAT(refusal({.depth = 3}), HasSubstr("too many parts"));
  EXPECT_THAT(refusal({.path_bytes = 6}), HasSubstr("the path is too long"));
  make("tar", {file(std::string(256, 'n'))});
  EXPECT_THAT(refusal(), HasSubstr("part of the path is too long"));
  make("tar", {file("a", "12345"), file("b", "12345")});
  EXPECT_EQ("unpacked", refusal({.bytes = 10}));
  EXPECT_THAT(refusal({.bytes = 9}), HasSubstr("too large together"));
  EXPECT_THAT(refusal({.wall_time = std::chrono::milliseconds(0)}), HasSubstr("takes too long"));
  const auto report = unpack_here({.bytes = 9});
  EXPECT_EQ(report.error().details, R"({"entry":"b","limit":"bytes","most":9})");
}

TEST_F(Unpack, ABombIsStoppedByItsRatio) {
  for (const std::string form : {"tar.gz", "zip"}) {
    json::object zeros = file("zeros", "");
    zeros["zeros"] = 2'000'000;
    make(form, {zeros});
    EXPECT_EQ("unpacked", refusal()) << form;
    EXPECT_THAT(refusal({.ratio = 100, .ratio_free = 100'000}), HasSubstr("too strongly")) << form;
  }
}

TEST(UnpackPaths, OfLinksAreFollowedAsText) {
  EXPECT_TRUE(stays_inside(0, "a"));
  EXPECT_TRUE(stays_inside(1, ".."));
  EXPECT_TRUE(stays_inside(2, "../x/../../y"));
  EXPECT_FALSE(stays_inside(0, ".."));
  EXPECT_FALSE(stays_inside(1, "a/../../.."));
  EXPECT_FALSE(stays_inside(5, "/a"));
  EXPECT_FALSE(stays_inside(5, ""));
}

TEST(UnpackReports, AreReadBackWithErrorsAndTheirDetails) {
  const auto report = parse_unpack_report(to_json(UnpackReport{1, 2, 3}));
  ASSERT_TRUE(report);
  EXPECT_EQ(3u, report->bytes);
  const base::Error error{base::Code::invalid, "cannot \xff", "archive_limit", R"({"limit":"bytes"})"};
  const auto read = parse_unpack_report(unpack_error_json(error));
  ASSERT_FALSE(read);
  EXPECT_EQ(base::Code::invalid, read.error().code);
  EXPECT_EQ("cannot ?", read.error().message);
  EXPECT_EQ("archive_limit", read.error().reason);
  EXPECT_EQ(R"({"limit":"bytes"})", read.error().details);
  for (const char* text : {"", "{}", "[]", R"({"files":-1,"folders":0,"bytes":0})"})
    EXPECT_EQ(base::Code::internal, parse_unpack_report(text).error().code) << text;
}

TEST(UnpackReports, LimitsSurviveACommandLine) {
  const UnpackLimits limits{.entries = 1,
                            .bytes = 2,
                            .ratio = 3,
                            .ratio_free = 4,
                            .depth = 5,
                            .path_bytes = 6,
                            .wall_time = std::chrono::milliseconds(7),
                            .links = LinkRule::any,
                            .disk_reserve = 8};
  const auto again = parse_unpack_argument(to_argument(limits));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_argument(*again), to_argument(limits));
  EXPECT_FALSE(parse_unpack_argument("{}"));
  EXPECT_FALSE(parse_unpack_argument(""));
}

}  // namespace
}  // namespace agentrouter::workspace
